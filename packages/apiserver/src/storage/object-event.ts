/**
 * One change of one object, and what it means to a watcher: entering the selector is ADDED, leaving it is DELETED (with the old object
 * under the event's version), staying is MODIFIED. Each meaning is framed once and shared by all watchers that see it that way.
 */

import type { Status } from "@knarr/apimachinery/generated/meta-v1.ts";
import { apiVersionOf, type ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { ObjectRecord } from "./record.ts";
import type { FrameType } from "./splice.ts";
import type { ObjectEvent, ObjectSelector, StoredObject } from "./types.ts";

export class Change {
  /** The change's own revision: the write's, or the deletion's. */
  readonly revision: number;
  /** The object after a write; undefined for a deletion. */
  readonly current: ObjectRecord | undefined;
  /** The object before; undefined when it is new. */
  readonly previous: ObjectRecord | undefined;
  #added: ObjectEvent | undefined;
  #modified: ObjectEvent | undefined;
  #deleted: ObjectEvent | undefined;

  constructor(revision: number, current: ObjectRecord | undefined, previous: ObjectRecord | undefined) {
    this.revision = revision;
    this.current = current;
    this.previous = previous;
  }

  /** What a watcher with this selector sees; undefined for nothing. */
  seenBy(selector: ObjectSelector): ObjectEvent | undefined {
    const { current, previous } = this;
    const matched = previous?.matches(selector) ?? false;
    if (current?.matches(selector) === true) {
      if (matched) {
        this.#modified ??= eventOf("MODIFIED", current);
        return this.#modified;
      }
      this.#added ??= eventOf("ADDED", current);
      return this.#added;
    }
    if (previous === undefined || !matched) return undefined;
    this.#deleted ??= eventOf("DELETED", previous.at(this.revision, "DELETED"));
    return this.#deleted;
  }
}

/** An event around a record. */
export function eventOf(type: FrameType, record: ObjectRecord): ObjectEvent {
  return { type, object: record, frame: record.frameAs(type) };
}

/** An event that stands for the state when a watch began; its frame is made when it is sent and kept by nobody. */
export function initialEventOf(record: ObjectRecord): ObjectEvent {
  return eventOf("ADDED", record);
}

const INITIAL_EVENTS_END = { "k8s.io/initial-events-end": "true" };

/** A bookmark: every event up to `revision` has been sent. Source: KEP-956, KEP-3157 */
export function bookmarkOf(ref: ResourceRef<unknown>, revision: number, initialEventsEnd: boolean): ObjectEvent {
  const object = {
    kind: ref.kind,
    apiVersion: apiVersionOf(ref),
    metadata: {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(initialEventsEnd ? { annotations: INITIAL_EVENTS_END } : {}),
    },
  };
  return {
    type: "BOOKMARK",
    ...framed("BOOKMARK", object, revision),
    ...(initialEventsEnd ? { initialEventsEnd: true } : {}),
  };
}

/** The last event of a watch that cannot go on. */
export function errorEventOf(status: Status): ObjectEvent {
  return { type: "ERROR", ...framed("ERROR", status, 0) };
}

function framed(type: string, object: unknown, revision: number): { object: StoredObject; frame: Buffer } {
  const json = JSON.stringify(object);
  const head = `{"type":"${type}","object":`;
  const frame = Buffer.from(`${head}${json}}\n`);
  return {
    object: {
      key: { namespace: "", name: "" },
      revision,
      bytes: frame.subarray(head.length, frame.length - 2),
    },
    frame,
  };
}
