/**
 * Decides what becomes of an event about to be recorded: a new Event, one more count on an existing one, one of a
 * combined lot, or nothing because its source says too much. Pure but for its memory.
 *
 * Source: client-go tools/record/events_cache.go: more than 10 events within 10 minutes that differ only in their message
 * become one "(combined from similar events)"; per source and object a burst of 25, then one every 5 minutes.
 */
import type { Event } from "@knarr/api/generated/types/core-v1.ts";

export type EventPlan =
  | { readonly kind: "create"; readonly event: Event; readonly key: string }
  /** The Event `event.metadata.name` gets the new count, message and last timestamp. */
  | { readonly kind: "patch"; readonly event: Event; readonly key: string }
  | { readonly kind: "drop" };

const MAX_SIMILAR = 10;
const SIMILAR_WINDOW_MS = 600_000;
const BURST = 25;
const REFILL_PER_MS = 1 / 300_000;
const MEMORY = 4096;
const COMBINED_PREFIX = "(combined from similar events): ";

export class EventCorrelator {
  readonly #similar = new LruMap<{ messages: string[]; lastMs: number }>(MEMORY);
  readonly #counts = new LruMap<{ count: number; name: string; firstTimestamp: string | undefined }>(MEMORY);
  readonly #buckets = new LruMap<{ tokens: number; atMs: number }>(MEMORY);

  plan(event: Event, nowMs: number): EventPlan {
    if (!this.#mayPass(event, nowMs)) return { kind: "drop" };
    const combined = this.#aggregate(event, nowMs);
    const key = combined ?? `${groupOf(event)}\0${event.message}`;
    const message = combined === undefined ? event.message : `${COMBINED_PREFIX}${event.message}`;
    const known = this.#counts.get(key);
    if (known === undefined) {
      this.#counts.set(key, { count: 1, name: event.metadata.name ?? "", firstTimestamp: event.firstTimestamp });
      return { kind: "create", event: { ...event, message, count: 1 }, key };
    }
    const count = known.count + 1;
    this.#counts.set(key, { ...known, count });
    const metadata = { ...event.metadata, name: known.name };
    return { kind: "patch", event: { ...event, metadata, message, count, firstTimestamp: known.firstTimestamp }, key };
  }

  /** The Event behind `key` is gone from the server: a new one under `name` takes over its count. */
  renamed(key: string, name: string): void {
    const known = this.#counts.get(key);
    if (known !== undefined) this.#counts.set(key, { ...known, name });
  }

  #mayPass(event: Event, nowMs: number): boolean {
    const key = `${event.source?.component}\0${event.source?.host}\0${objectOf(event)}`;
    const bucket = this.#buckets.get(key) ?? { tokens: BURST, atMs: nowMs };
    const tokens = Math.min(BURST, bucket.tokens + (nowMs - bucket.atMs) * REFILL_PER_MS);
    const passes = tokens >= 1;
    this.#buckets.set(key, { tokens: passes ? tokens - 1 : tokens, atMs: nowMs });
    return passes;
  }

  /** The key of the lot that this event disappears in; undefined while there are few like it. */
  #aggregate(event: Event, nowMs: number): string | undefined {
    const group = groupOf(event);
    let record = this.#similar.get(group);
    if (record === undefined || nowMs - record.lastMs > SIMILAR_WINDOW_MS) record = { messages: [], lastMs: nowMs };
    const message = event.message ?? "";
    // Ten at most: a list is smaller than a set, and there are thousands of them.
    if (!record.messages.includes(message)) record.messages.push(message);
    record.lastMs = nowMs;
    this.#similar.set(group, record);
    if (record.messages.length < MAX_SIMILAR) return undefined;
    // Remembering one message less keeps the set small while the next different one still counts.
    record.messages.shift();
    return group;
  }
}

/** A uid says it all; these keys are kept by the thousand. */
function objectOf({ involvedObject: o }: Event): string {
  if (o.uid !== undefined && o.uid !== "") return o.uid;
  return [o.kind, o.namespace, o.name, o.uid, o.apiVersion].join("\0");
}

function groupOf(event: Event): string {
  const { source, involvedObject, type, reason, reportingComponent, reportingInstance } = event;
  const object = [objectOf(event), involvedObject.fieldPath].join("\0");
  return [source?.component, source?.host, object, type, reason, reportingComponent, reportingInstance].join("\0");
}

/** A Map that forgets what was used least recently. */
class LruMap<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#limit) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
  }
}
