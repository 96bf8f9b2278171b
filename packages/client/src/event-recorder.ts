/**
 * Records core/v1 Events about objects in the background. Never throws and never makes its caller wait: events are
 * queued (1000 at most unless told otherwise, then the newest are dropped), aggregated and limited, and written one after
 * the other, or by several writers where many are about different objects.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Event, ObjectReference } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Client } from "./client.ts";
import { EventCorrelator, type EventPlan } from "./event-correlator.ts";

export interface EventRecorderOptions {
  readonly client: Client;
  /** "deployment-controller", "kubelet". */
  readonly component: string;
  /** The node, for the kubelet and other per-node components. */
  readonly host?: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Events that may wait; 1000 when absent. */
  readonly maxQueued?: number;
  /** Requests under way at once; 1 when absent. */
  readonly writers?: number;
}

const MAX_QUEUED = 1000;
/** Source: client-go tools/record/event.go: 12 tries, 10 s apart. */
const MAX_TRIES = 12;
const RETRY_MS = 10_000;
const REQUEST_TIMEOUT_MS = 10_000;

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #correlator = new EventCorrelator();
  readonly #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #sequence = 0;
  #dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** `about` is an object with apiVersion and kind (an informer's have them), or a reference to one. */
  event(about: KubeObject | ObjectReference, type: "Normal" | "Warning", reason: string, message: string): void {
    if (this.#queue.length >= (this.#options.maxQueued ?? MAX_QUEUED)) {
      this.#dropped++;
      return;
    }
    const atMs = this.#options.clock.now();
    this.#queue.push({ involvedObject: referenceTo(about), text: { type, reason, message }, atMs });
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when nothing is queued any more. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  #makeEvent({ involvedObject, text, atMs }: Waiting): Event {
    const { component, host } = this.#options;
    const timestamp = new Date(atMs).toISOString().replace(/\.\d+Z$/, "Z");
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name: this.#nameFor(involvedObject, atMs),
        namespace: involvedObject.namespace ?? "default",
      },
      involvedObject,
      ...text,
      source: { component, ...(host === undefined ? {} : { host }) },
      reportingComponent: component,
      reportingInstance: host ?? "",
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      count: 1,
    };
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const count = Math.min(this.#options.writers ?? 1, this.#queue.length);
      await Promise.all(Array.from({ length: count }, () => this.#writeQueued()));
    }
    if (this.#dropped > 0) {
      this.#options.log.warn({ dropped: this.#dropped }, "events dropped, the queue was full");
      this.#dropped = 0;
    }
  }

  async #writeQueued(): Promise<void> {
    for (let waiting = this.#queue.shift(); waiting !== undefined; waiting = this.#queue.shift()) {
      const plan = this.#correlator.plan(this.#makeEvent(waiting), this.#options.clock.now());
      if (plan.kind !== "drop") await this.#write(plan);
    }
  }

  async #write(plan: Exclude<EventPlan, { kind: "drop" }>): Promise<void> {
    const { clock, log } = this.#options;
    const { reason, message } = plan.event;
    for (let tries = 1; ; tries++) {
      try {
        await this.#send(plan);
        return;
      } catch (error) {
        // An answer, whatever it is, is final: the namespace goes away, the quota is full, we may not.
        if (error instanceof StatusError && error.code < 500 && error.code !== 429) {
          log.debug({ err: error, reason, message }, "event refused");
          return;
        }
        if (tries >= MAX_TRIES) {
          log.warn({ err: error, reason, message }, "event not recorded");
          return;
        }
        await clock.sleep(RETRY_MS * (tries === 1 ? Math.random() : 1));
      }
    }
  }

  async #send({ kind, event, key }: Exclude<EventPlan, { kind: "drop" }>): Promise<void> {
    const { client } = this.#options;
    const options = { timeoutMs: REQUEST_TIMEOUT_MS };
    if (kind === "patch") {
      const { count, message, lastTimestamp } = event;
      const { name = "", namespace = "" } = event.metadata;
      try {
        const body = { count, message, lastTimestamp };
        await client.patch(core.events, { namespace, name }, { type: "merge", body }, options);
        return;
      } catch (error) {
        // Events live an hour: the one we were counting on is gone, so a new one goes on with the count.
        if (!isNotFound(error)) throw error;
      }
    }
    const fresh = kind === "create" ? event : { ...event, metadata: this.#renamed(event) };
    await client.create(core.events, fresh, options);
    this.#correlator.renamed(key, fresh.metadata.name ?? "");
  }

  #renamed({ metadata, involvedObject }: Event): Event["metadata"] {
    return { namespace: metadata.namespace, name: this.#nameFor(involvedObject, this.#options.clock.now()) };
  }

  /** Unique within the process and very likely beyond it: nanoseconds as upstream, the digits below a ms counted. */
  #nameFor({ name = "" }: ObjectReference, atMs: number): string {
    const nanoseconds = BigInt(Math.floor(atMs)) * 1_000_000n + BigInt(this.#sequence++ % 1_000_000);
    return `${name}.${nanoseconds.toString(16)}`;
  }
}

/** An event not made yet: thousands may wait. */
interface Waiting {
  readonly involvedObject: ObjectReference;
  readonly text: { readonly type: string; readonly reason: string; readonly message: string };
  readonly atMs: number;
}

/** A reference to an object as events and endpoints carry it. */
export function referenceTo(about: KubeObject | ObjectReference): ObjectReference {
  if (!("metadata" in about)) return about;
  const { name, namespace, uid, resourceVersion } = about.metadata;
  return {
    apiVersion: about.apiVersion,
    kind: about.kind,
    name,
    ...(namespace === undefined || namespace === "" ? {} : { namespace }),
    uid,
    resourceVersion,
  };
}
