/** The current objects of one resource: by key, and in key order (the order of LIST). Keys compare as etcd compares them. */
import type { ObjectRecord } from "./record.ts";

export class SortedRecords {
  #sorted: ObjectRecord[] = [];
  readonly #byKey = new Map<string, ObjectRecord>();

  get size(): number {
    return this.#sorted.length;
  }

  get(storeKey: string): ObjectRecord | undefined {
    return this.#byKey.get(storeKey);
  }

  /** Replaces everything; the array becomes this one's own. */
  replaceAll(records: ObjectRecord[]): void {
    // etcd orders by bytes, JavaScript by UTF-16 units: they differ for names with rare characters, and the binary search needs its own.
    const isSorted = records.every(
      (record, i) => i === 0 || (records[i - 1] as ObjectRecord).storeKey < record.storeKey,
    );
    this.#sorted = isSorted ? records : records.sort((a, b) => (a.storeKey < b.storeKey ? -1 : 1));
    this.#byKey.clear();
    for (const record of records) this.#byKey.set(record.storeKey, record);
  }

  set(record: ObjectRecord): void {
    const index = this.#indexOf(record.storeKey);
    if (this.#byKey.has(record.storeKey)) this.#sorted[index] = record;
    else this.#sorted.splice(index, 0, record);
    this.#byKey.set(record.storeKey, record);
  }

  delete(storeKey: string): void {
    if (this.#byKey.delete(storeKey)) this.#sorted.splice(this.#indexOf(storeKey), 1);
  }

  /** A snapshot of the objects whose keys start with `prefix`, in order. */
  withPrefix(prefix: string): readonly ObjectRecord[] {
    const from = this.#indexOf(prefix);
    let to = from;
    // Keys are folders, so the range is contiguous; find its end by its first key beyond.
    let high = this.#sorted.length;
    while (to < high) {
      const middle = (to + high) >>> 1;
      if ((this.#sorted[middle] as ObjectRecord).storeKey.startsWith(prefix)) to = middle + 1;
      else high = middle;
    }
    return this.#sorted.slice(from, to);
  }

  /** Index of the first record at or after `storeKey`. */
  #indexOf(storeKey: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as ObjectRecord).storeKey < storeKey) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
