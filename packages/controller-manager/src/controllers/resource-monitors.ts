/**
 * Informers over every resource that can be listed, watched and deleted, following discovery: for the garbage collector.
 * Collections that other controllers watch anyway are shared; of the others only metadata is kept.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import { type DiscoveredResource, discoverResources } from "@knarr/client/discover-resources.ts";
import { Informer, type InformerHandler, type InformerSet } from "@knarr/client/informer.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { groupOf } from "../core/owner-graph.ts";

/** Source: kubernetes/pkg/controller/garbagecollector DefaultIgnoredResources: events own nothing and are not owned. */
const IGNORED: ReadonlySet<string> = new Set(["/events", "events.k8s.io/events"]);
const NEEDED_VERBS = ["delete", "list", "watch"];
/** A collection that still can't be listed when all others could be for so long holds nobody up any more. */
const GIVE_UP_MS = 60_000;

export interface MonitorOptions {
  readonly client: Client;
  readonly informers: InformerSet;
  readonly handler: InformerHandler<KubeObject>;
  /** What was watched and is no longer: nothing is known of these any more. */
  readonly unwatched: (objects: readonly KubeObject[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Monitor {
  readonly informer: Informer<KubeObject>;
  readonly stop: () => void;
  readonly startedMs: number;
}

export class ResourceMonitors {
  readonly #options: MonitorOptions;
  readonly #monitors = new Map<string, Monitor>();
  /** "group/Kind" -> its resource, in the preferred version; whether it is monitored or not. */
  #kinds = new Map<string, DiscoveredResource>();
  #unsynced = 0;
  /** When `#unsynced` last changed. */
  #progressMs = 0;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /**
   * Whether everything known has been listed, but for collections (of a broken conversion webhook, say) that refuse to be
   * while the others don't. Source: kubernetes/pkg/controller/garbagecollector InitialSyncTimeout
   */
  get synced(): boolean {
    const monitors = [...this.#monitors.values()];
    const unsynced = monitors.filter(({ informer }) => !informer.synced);
    const nowMs = this.#options.clock.monotonicMs();
    if (unsynced.length !== this.#unsynced) {
      this.#unsynced = unsynced.length;
      this.#progressMs = nowMs;
    }
    if (monitors.length === unsynced.length) return false;
    return unsynced.every(({ startedMs }) => nowMs - Math.max(startedMs, this.#progressMs) > GIVE_UP_MS);
  }

  /** The resource of a kind, whatever version the reference names. */
  resourceOf(apiVersion: string, kind: string): DiscoveredResource | undefined {
    return this.#kinds.get(`${groupOf(apiVersion)}/${kind}`);
  }

  /** Whether objects of this resource are seen here at all. */
  has(resource: DiscoveredResource): boolean {
    return this.#monitors.has(`${apiVersionOf(resource)}/${resource.resource}`);
  }

  /** Asks the server what there is, starts informers for what is new and stops those of what has gone. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { client, log } = this.#options;
    const { resources, failures } = await discoverResources(client, { signal });
    const unknown = new Set(failures.map(({ groupVersion }) => groupVersion));
    if (unknown.size > 0) log.warn({ failures }, "some groups can't be discovered");
    const kinds = new Map(resources.map((resource) => [`${resource.group}/${resource.kind}`, resource]));
    // A group that can't be asked keeps what was known of it.
    for (const [id, resource] of this.#kinds)
      if (unknown.has(apiVersionOf(resource)) && !kinds.has(id)) kinds.set(id, resource);
    this.#kinds = kinds;
    const wanted = new Map(
      [...kinds.values()]
        .filter(({ verbs }) => NEEDED_VERBS.every((verb) => verbs.includes(verb)))
        .filter(({ group, resource }) => !IGNORED.has(`${group}/${resource}`))
        .map((resource) => [`${apiVersionOf(resource)}/${resource.resource}`, resource]),
    );
    for (const [id, monitor] of this.#monitors) {
      if (wanted.has(id)) continue;
      monitor.stop();
      this.#monitors.delete(id);
      this.#options.unwatched(monitor.informer.list());
    }
    for (const [id, resource] of wanted) {
      if (!this.#monitors.has(id)) this.#monitors.set(id, this.#start(resource, signal));
    }
  }

  #start(resource: DiscoveredResource, signal: AbortSignal): Monitor {
    const { client, informers, handler, clock, log } = this.#options;
    const shared = informers.existing(resource);
    const startedMs = clock.monotonicMs();
    if (shared !== undefined) return { informer: shared, stop: shared.subscribe(handler), startedMs };
    const stopping = new AbortController();
    const informer = new Informer<KubeObject>(client, resource, { metadataOnly: true, clock, log });
    const unsubscribe = informer.subscribe(handler);
    informer.run(AbortSignal.any([signal, stopping.signal])).catch((error: unknown) => {
      log.error({ err: error, resource: resource.resource }, "monitor ended");
    });
    return {
      informer,
      startedMs,
      stop: () => {
        unsubscribe();
        stopping.abort(new DOMException("the resource is gone", "AbortError"));
      },
    };
  }
}
