/**
 * Ranges of pod addresses for nodes, cut from the cluster's range. Pure but for its memory of what is taken.
 *
 * Example: 10.244.0.0/16 cut into /24 -> 10.244.0.0/24, 10.244.1.0/24, ... 10.244.255.0/24: 256 nodes.
 */

/** An address range; `bits` is 32 or 128. */
export interface Cidr {
  readonly base: bigint;
  readonly prefix: number;
  readonly bits: 32 | 128;
}

/** Throws RangeError when `text` is no CIDR. Host bits are cleared. */
export function parseCidr(text: string): Cidr {
  const [address = "", length = ""] = text.split("/");
  const bits = address.includes(":") ? 128 : 32;
  const value = bits === 32 ? parseIPv4(address) : parseIPv6(address);
  const prefix = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (value === undefined || !(prefix >= 0 && prefix <= bits)) throw new RangeError(`${text} is not a CIDR`);
  const shift = BigInt(bits - prefix);
  return { base: (value >> shift) << shift, prefix, bits };
}

function parseIPv4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function parseIPv6(text: string): bigint | undefined {
  const [head = "", tail, more] = text.split("::");
  if (more !== undefined) return undefined;
  const groups = (part: string | undefined) => (part === undefined || part === "" ? [] : part.split(":"));
  const [first, last] = [groups(head), groups(tail)];
  const missing = 8 - first.length - last.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const all = [...first, ...Array.from({ length: missing }, () => "0"), ...last];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

export function formatCidr({ base, prefix, bits }: Cidr): string {
  if (bits === 32) return `${[24n, 16n, 8n, 0n].map((shift) => (base >> shift) & 255n).join(".")}/${prefix}`;
  const groups = Array.from({ length: 8 }, (_, i) => ((base >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  // The longest run of zero groups becomes "::". Source: RFC 5952
  const text = groups.join(":");
  const longest = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length)[0];
  if (longest === undefined) return `${text}/${prefix}`;
  const before = text.slice(0, longest.index);
  return `${before}::${text.slice(longest.index + longest[0].length).replace(/^:/, "")}/${prefix}`;
}

export class CidrAllocator {
  readonly #range: Cidr;
  readonly #prefix: number;
  readonly #taken = new Set<bigint>();
  #next = 0n;

  constructor(range: Cidr, prefix: number) {
    if (prefix < range.prefix || prefix > range.bits) {
      throw new RangeError(`a mask of ${prefix} doesn't fit into ${formatCidr(range)}`);
    }
    if (prefix - range.prefix > 16) {
      throw new RangeError(`${formatCidr(range)} holds more than 65536 ranges with a mask of ${prefix}`);
    }
    this.#range = range;
    this.#prefix = prefix;
  }

  get bits(): 32 | 128 {
    return this.#range.bits;
  }

  get #count(): bigint {
    return 1n << BigInt(this.#prefix - this.#range.prefix);
  }

  /** Marks everything that overlaps `cidr` as taken; what lies outside the range is no concern. */
  occupy(cidr: Cidr): void {
    for (const index of this.#overlap(cidr)) this.#taken.add(index);
  }

  release(cidr: Cidr): void {
    for (const index of this.#overlap(cidr)) this.#taken.delete(index);
  }

  /** The next free range, going round; undefined when all are taken. */
  allocate(): Cidr | undefined {
    const count = this.#count;
    if (BigInt(this.#taken.size) >= count) return undefined;
    while (this.#taken.has(this.#next)) this.#next = (this.#next + 1n) % count;
    const index = this.#next;
    this.#taken.add(index);
    this.#next = (index + 1n) % count;
    return { base: this.#range.base + (index << this.#blockShift), prefix: this.#prefix, bits: this.#range.bits };
  }

  get #blockShift(): bigint {
    return BigInt(this.#range.bits - this.#prefix);
  }

  *#overlap(cidr: Cidr): Iterable<bigint> {
    if (cidr.bits !== this.#range.bits) return;
    const size = 1n << BigInt(cidr.bits - cidr.prefix);
    const first = cidr.base - this.#range.base;
    const last = first + size - 1n;
    const end = (this.#count << this.#blockShift) - 1n;
    if (last < 0n || first > end) return;
    const from = (first < 0n ? 0n : first) >> this.#blockShift;
    const to = (last > end ? end : last) >> this.#blockShift;
    for (let index = from; index <= to; index++) yield index;
  }
}
