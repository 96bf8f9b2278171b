/**
 * Decodes what a runtime lists, each sandbox and container once: a kubelet lists them every second, and next to nothing
 * has changed since. What an item says is recognized by its bytes:
 *
 *   id | metadata | state | ... | labels | annotations        one item, as it came
 *   ^^^^^^^^^^^^^^^^^^^^^^^^^^                                 compared byte by byte, and the length of the whole
 *                                 ^^^^^^^^^^^^^^^^^^^^         left out: runtimes write maps in any order
 *
 * Labels and annotations of what is there never change: CRI has no call for it. Items are shared by all lists that hold
 * them, and frozen. Bytes that are not as expected are decoded as a whole, by the decoder that is given.
 */

export interface ListShape {
  /** The numbers of the item's fields that are maps. */
  readonly mapFields: ReadonlySet<number>;
}

/** Items that so many answers did not hold are forgotten after at most twice as many. */
const ANSWERS_PER_GENERATION = 64;

const LENGTH_DELIMITED = 2;
/** The list itself is the first field of every list answer of CRI. */
const ITEM_TAG = (1 << 3) | LENGTH_DELIMITED;

/** Walks through protobuf's fields. Source: protobuf.dev/programming-guides/encoding */
class Fields {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** Of at most 32 bits; NaN for what is longer or cut off, which makes every comparison with it false. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) return Number.NaN;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    return Number.NaN;
  }

  /** Goes behind a field's value; false when its type is none of protobuf's. */
  skip(wireType: number): boolean {
    if (wireType === LENGTH_DELIMITED) {
      const length = this.varint();
      this.at += length;
    } else if (wireType === 0) while ((this.#bytes[this.at++] ?? 0) >= 0x80);
    else if (wireType === 1) this.at += 8;
    else if (wireType === 5) this.at += 4;
    else return false;
    return true;
  }
}

/** What tells an item from others and from itself in another state; undefined when the bytes make no sense. */
function itemKey(bytes: Buffer, start: number, end: number, { mapFields }: ListShape): string | undefined {
  const fields = new Fields(bytes, start);
  let key = `${end - start}:`;
  let runStart = start;
  while (fields.at < end) {
    const tagAt = fields.at;
    const tag = fields.varint();
    if (!fields.skip(tag & 7)) return undefined;
    if (!mapFields.has(tag >>> 3)) continue;
    key += bytes.toString("latin1", runStart, tagAt);
    runStart = fields.at;
  }
  return fields.at === end ? key + bytes.toString("latin1", runStart, end) : undefined;
}

/** `decode` gives the items of an answer; the function returned does the same, and remembers. */
export function rememberingDecoder<Item extends object>(
  decode: (bytes: Buffer) => readonly Item[],
  shape: ListShape,
): (bytes: Buffer) => Item[] {
  let young = new Map<string, Item>();
  let old = new Map<string, Item>();
  let answers = 0;
  return (bytes) => {
    if (++answers % ANSWERS_PER_GENERATION === 0) {
      old = young;
      young = new Map();
    }
    const items: Item[] = [];
    const fields = new Fields(bytes, 0);
    while (fields.at < bytes.length) {
      const itemAt = fields.at;
      if (fields.varint() !== ITEM_TAG) return [...decode(bytes)];
      const length = fields.varint();
      const [start, end] = [fields.at, fields.at + length];
      const key = end <= bytes.length ? itemKey(bytes, start, end, shape) : undefined;
      if (key === undefined) return [...decode(bytes)];
      const known = young.get(key) ?? old.get(key);
      const item = known ?? decode(bytes.subarray(itemAt, end))[0];
      if (item === undefined) return [...decode(bytes)];
      if (known === undefined) for (const value of [item, ...Object.values(item)]) Object.freeze(value);
      young.set(key, item);
      items.push(item);
      fields.at = end;
    }
    return items;
  };
}
