/**
 * The last changes of one resource, in order, for watchers that come back: a sliding window bounded by age, number and bytes.
 *
 *   start = 100          105        107        112          A watch from 105 gets 107 and 112; one from 100 gets all three;
 *   (all before: gone)   change     change     change       one from 99 is too old.
 */
import type { Change } from "./object-event.ts";

/** Changes younger than this are kept, within the bounds below. Source: k8s.io/apiserver cacher, eventFreshDuration. */
const FRESH_MS = 75_000;
/** Always kept, however old. */
const MIN_CHANGES = 100;
const MAX_CHANGES = 20_000;
/** Bytes of superseded objects that the window may keep alive, beyond MIN_CHANGES. */
const MAX_BYTES = 16 * 1024 * 1024;

interface Entry {
  readonly change: Change;
  readonly atMs: number;
  readonly bytes: number;
}

export class EventWindow {
  #entries: Entry[] = [];
  /** Entries before this index are gone; the array is cut when half of it is. */
  #head = 0;
  #bytes = 0;
  #start = 0;

  /** The revision before the first change: a watch from `start` or later misses nothing. */
  get start(): number {
    return this.#start;
  }

  get size(): number {
    return this.#entries.length - this.#head;
  }

  reset(revision: number): void {
    this.#entries = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#start = revision;
  }

  push(change: Change, nowMs: number): void {
    const bytes = change.previous?.frame.length ?? 0;
    this.#entries.push({ change, atMs: nowMs, bytes });
    this.#bytes += bytes;
    this.#trim(nowMs);
  }

  /** Every change after `revision`, oldest first. Only for revisions from `start` on. */
  after(revision: number): readonly Change[] {
    let low = this.#head;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle] as Entry).change.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#entries.slice(low).map((entry) => entry.change);
  }

  #trim(nowMs: number): void {
    while (this.size > MIN_CHANGES) {
      const oldest = this.#entries[this.#head] as Entry;
      const isOver = this.size > MAX_CHANGES || this.#bytes > MAX_BYTES;
      if (!isOver && nowMs - oldest.atMs < FRESH_MS) break;
      this.#bytes -= oldest.bytes;
      this.#start = oldest.change.revision;
      // A change can be one of several of its revision (a lease that ran out): they stay or go together.
      this.#head++;
      while (this.#entries[this.#head]?.change.revision === this.#start) {
        this.#bytes -= (this.#entries[this.#head] as Entry).bytes;
        this.#head++;
      }
    }
    if (this.#head > 1_024 && this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}
