/**
 * What this server wrote and the store has not told of yet: a few records at a time, each for about a millisecond. Readers never see them,
 * as the order of what they see is the store's.
 *
 * An array to look through, not a Map by key: see @knarr/daemon/bag.ts for what a Map of short-lived records costs.
 */
import type { KeyValueEvent } from "./key-value.ts";
import type { ObjectRecord } from "./record.ts";

/** Normally as many as are under way; more only while etcd's watch is lost. */
const MAX_RECORDS = 256;

export class OwnWrites {
  readonly #records: ObjectRecord[] = [];

  add(record: ObjectRecord): void {
    const at = this.#find(record.storeKey);
    if (at >= 0) this.#records[at] = record;
    else if (this.#records.length < MAX_RECORDS) this.#records.push(record);
  }

  get(storeKey: string): ObjectRecord | undefined {
    return this.#records[this.#find(storeKey)];
  }

  /**
   * Forgets the key's write if the event is it or a later one; returns the record if the event tells of it. Bytes are compared, because a
   * restored etcd counts revisions anew.
   */
  take(event: KeyValueEvent): ObjectRecord | undefined {
    const at = this.#find(event.key);
    const own = this.#records[at];
    if (own === undefined || own.revision > event.revision) return undefined;
    const last = this.#records.pop();
    if (last !== undefined && last !== own) this.#records[at] = last;
    const isIt = own.revision === event.revision && event.type === "put" && own.holds(event.value);
    return isIt && own.frameType === (event.isCreate ? "ADDED" : "MODIFIED") ? own : undefined;
  }

  clear(): void {
    this.#records.length = 0;
  }

  #find(storeKey: string): number {
    for (let at = 0; at < this.#records.length; at++) if (this.#records[at]?.storeKey === storeKey) return at;
    return -1;
  }
}
