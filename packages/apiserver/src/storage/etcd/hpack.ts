/**
 * Header blocks without memory: ours name no entry of a dynamic table, and the peer is told (SETTINGS_HEADER_TABLE_SIZE 0) to do without
 * one too. So a block of ours can be made once and sent again and again, and the same block from the peer always says the same.
 * Source: RFC 7541
 */
import { decodeHuffman } from "./huffman.ts";

/** The peer breaks HPACK's rules, or uses a table that it was told not to use. */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

export type Headers = Readonly<Record<string, string>>;

/** Entries 1 to 61. Source: RFC 7541 appendix A */
const STATIC: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  ...["200", "204", "206", "304", "400", "404", "500"].map((status) => [":status", status] as const),
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...[
    ...["accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age", "allow", "authorization"],
    ...["cache-control", "content-disposition", "content-encoding", "content-language", "content-length"],
    ...["content-location", "content-range", "content-type", "cookie", "date", "etag", "expect", "expires", "from"],
    ...["host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified"],
    ...["link", "location", "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer"],
    ...["refresh", "retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding"],
    ...["user-agent", "vary", "via", "www-authenticate"],
  ].map((name) => [name, ""] as const),
];

/** A block of literal headers, none of which the peer shall keep. Names in lower case; names and values in ASCII. */
export function encodeHeaders(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of headers) {
    parts.push(Buffer.from([0]));
    for (const text of [name, value]) {
      const bytes = Buffer.from(text, "latin1");
      parts.push(encodeInteger(bytes.length, 7), bytes);
    }
  }
  return Buffer.concat(parts);
}

/** With the bits before the prefix zero. Source: RFC 7541 5.1 */
function encodeInteger(value: number, prefixBits: number): Buffer {
  const limit = 2 ** prefixBits - 1;
  if (value < limit) return Buffer.from([value]);
  const bytes = [limit];
  let rest = value - limit;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Of headers that come twice, the last counts: gRPC has none such. Throws HpackError. */
export function decodeHeaders(block: Buffer): Headers {
  const reader = new BlockReader(block);
  const headers: Record<string, string> = Object.create(null);
  while (!reader.isAtEnd) {
    const first = reader.peek();
    if (first >= 0x80) {
      const [name, value] = staticEntry(reader.integer(7));
      headers[name] = value;
    } else if (first >= 0x20 && first < 0x40) {
      // A new size of the table, of which nothing but none is left to the peer.
      if (reader.integer(5) !== 0) throw new HpackError("the peer wants a table of headers");
    } else {
      const index = reader.integer(first >= 0x40 ? 6 : 4);
      const name = index === 0 ? reader.text() : staticEntry(index)[0];
      headers[name] = reader.text();
    }
  }
  return headers;
}

function staticEntry(index: number): readonly [name: string, value: string] {
  const entry = STATIC[index - 1];
  if (entry === undefined) throw new HpackError(`the peer names header ${index} of a table that there is not`);
  return entry;
}

class BlockReader {
  readonly #block: Buffer;
  #at = 0;

  constructor(block: Buffer) {
    this.#block = block;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#block.length;
  }

  peek(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw new HpackError("a header block ends in the middle");
    return byte;
  }

  integer(prefixBits: number): number {
    const limit = 2 ** prefixBits - 1;
    let value = this.peek() & limit;
    this.#at++;
    if (value < limit) return value;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.peek();
      this.#at++;
      value += (byte & 0x7f) * scale;
      if (value > 0xff_ffff || scale > 0xff_ffff) throw new HpackError("a number in a header block is too large");
      if (byte < 0x80) return value;
    }
  }

  text(): string {
    const isHuffman = this.peek() >= 0x80;
    const length = this.integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw new HpackError("a header block ends in the middle");
    const bytes = this.#block.subarray(this.#at, end);
    this.#at = end;
    if (!isHuffman) return bytes.toString("latin1");
    const text = decodeHuffman(bytes);
    if (text === undefined) throw new HpackError("a header's text is no Huffman code");
    return text;
  }
}
