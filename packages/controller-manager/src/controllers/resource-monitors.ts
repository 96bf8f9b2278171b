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

export interface MonitorOptions {
  readonly client: Client;
  readonly informers: InformerSet;
  readonly handler: InformerHandler<KubeObject>;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Monitor {
  readonly informer: Informer<KubeObject>;
  readonly stop: () => void;
}

export class ResourceMonitors {
  readonly #options: MonitorOptions;
  readonly #monitors = new Map<string, Monitor>();
  /** "group/Kind" -> its resource, in the preferred version; whether it is monitored or not. */
  #kinds = new Map<string, DiscoveredResource>();

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Whether everything known has been listed. */
  get synced(): boolean {
    return this.#monitors.size > 0 && [...this.#monitors.values()].every(({ informer }) => informer.synced);
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
    }
    for (const [id, resource] of wanted) {
      if (!this.#monitors.has(id)) this.#monitors.set(id, this.#start(resource, signal));
    }
  }

  #start(resource: DiscoveredResource, signal: AbortSignal): Monitor {
    const { client, informers, handler, clock, log } = this.#options;
    const shared = informers.existing(resource);
    if (shared !== undefined) return { informer: shared, stop: shared.subscribe(handler) };
    const stopping = new AbortController();
    const informer = new Informer<KubeObject>(client, resource, { metadataOnly: true, clock, log });
    const unsubscribe = informer.subscribe(handler);
    informer.run(AbortSignal.any([signal, stopping.signal])).catch((error: unknown) => {
      log.error({ err: error, resource: resource.resource }, "monitor ended");
    });
    return {
      informer,
      stop: () => {
        unsubscribe();
        stopping.abort(new DOMException("the resource is gone", "AbortError"));
      },
    };
  }
}
