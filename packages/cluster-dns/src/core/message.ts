/**
 * Whole messages as data, for the paths that are not hot: answers of upstream resolvers, CNAME chains, tests.
 * Names inside are wire form without compression; encoding compresses owner names. Source: RFC 1035 4.1, RFC 3597 4
 */
import { CLASS_IN, types } from "./codes.ts";
import { MAX_NAME_BYTES } from "./name.ts";

export interface ResourceRecord {
  readonly name: Buffer;
  readonly type: number;
  readonly class: number;
  readonly ttlSeconds: number;
  /** Without compression pointers. */
  readonly data: Buffer;
}

export interface Message {
  readonly id: number;
  readonly flags: number;
  /** Name (as sent, case kept), type and class; undefined when the message has none. */
  readonly question: { readonly name: Buffer; readonly type: number; readonly class: number } | undefined;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  readonly additionals: readonly ResourceRecord[];
}

/** A message that breaks the rules of the wire format. */
export class MalformedMessageError extends Error {
  override readonly name: string = "MalformedMessageError";
}

/** Throws MalformedMessageError, and nothing else, for whatever bytes. */
export function decodeMessage(bytes: Buffer): Message {
  return new Decoder(bytes).message();
}

class Decoder {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  message(): Message {
    const id = this.#uint16();
    const flags = this.#uint16();
    const [questions, answers, authorities, additionals] = [
      this.#uint16(),
      this.#uint16(),
      this.#uint16(),
      this.#uint16(),
    ];
    if (questions > 1) throw new MalformedMessageError("more than one question");
    const question = questions === 0 ? undefined : { name: this.#name(), type: this.#uint16(), class: this.#uint16() };
    return {
      id,
      flags,
      question,
      answers: this.#records(answers),
      authorities: this.#records(authorities),
      additionals: this.#records(additionals),
    };
  }

  #records(count: number): ResourceRecord[] {
    const records: ResourceRecord[] = [];
    for (let i = 0; i < count; i++) {
      const name = this.#name();
      const type = this.#uint16();
      const recordClass = this.#uint16();
      const ttlSeconds = this.#uint16() * 65536 + this.#uint16();
      const end = this.#uint16() + this.#at;
      if (end > this.#bytes.length) throw new MalformedMessageError("record data runs out of the message");
      const data = this.#data(type, end);
      if (this.#at !== end) throw new MalformedMessageError("record data has another length than announced");
      records.push({ name, type, class: recordClass, ttlSeconds, data });
    }
    return records;
  }

  /** Only the types of RFC 1035 (and SRV, by old servers) may have compressed names in their data. */
  #data(type: number, end: number): Buffer {
    switch (type) {
      case types.NS:
      case types.CNAME:
      case types.PTR:
        return this.#name();
      case types.MX:
        return Buffer.concat([this.#take(2), this.#name()]);
      case types.SRV:
        return Buffer.concat([this.#take(6), this.#name()]);
      case types.SOA:
        return Buffer.concat([this.#name(), this.#name(), this.#take(20)]);
      default:
        return this.#take(end - this.#at);
    }
  }

  #take(length: number): Buffer {
    if (length < 0 || this.#at + length > this.#bytes.length) throw new MalformedMessageError("message is cut off");
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }

  #uint16(): number {
    return this.#take(2).readUInt16BE(0);
  }

  #name(): Buffer {
    const bytes = this.#bytes;
    const parts: Buffer[] = [];
    let total = 1;
    let at = this.#at;
    let after = -1;
    for (;;) {
      const length = bytes[at];
      if (length === undefined) throw new MalformedMessageError("name runs out of the message");
      if (length >= 0xc0) {
        const low = bytes[at + 1];
        if (low === undefined) throw new MalformedMessageError("pointer runs out of the message");
        if (after < 0) after = at + 2;
        const target = ((length & 0x3f) << 8) | low;
        // Pointers lead backwards only, so that no chain of them can be a circle.
        if (target >= at) throw new MalformedMessageError("pointer does not lead backwards");
        at = target;
        continue;
      }
      if (length > 63) throw new MalformedMessageError("unknown kind of label");
      if (length === 0) break;
      total += length + 1;
      if (total > MAX_NAME_BYTES) throw new MalformedMessageError("name is too long");
      if (at + 1 + length > bytes.length) throw new MalformedMessageError("label runs out of the message");
      parts.push(bytes.subarray(at, at + 1 + length));
      at += 1 + length;
    }
    this.#at = after < 0 ? at + 1 : after;
    parts.push(ROOT);
    return Buffer.concat(parts);
  }
}

const ROOT = Buffer.from([0]);

/** Grows while records are appended; remembers where names stand, and points to them. */
export class MessageEncoder {
  #bytes = Buffer.allocUnsafe(512);
  #length = 0;
  readonly #offsets = new Map<string, number>();

  get length(): number {
    return this.#length;
  }

  /** The bytes so far; a view that later appends don't change. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  uint16(value: number): void {
    this.#reserve(2);
    this.#length = this.#bytes.writeUInt16BE(value, this.#length);
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#length = this.#bytes.writeUInt32BE(value >>> 0, this.#length);
  }

  /** Longest known suffix as a pointer, the labels before it written out. The case is kept, and must match to be shared. */
  name(wire: Buffer): void {
    let at = 0;
    while (wire[at] !== 0) {
      const suffix = wire.toString("latin1", at);
      const known = this.#offsets.get(suffix);
      if (known !== undefined) {
        this.uint16(0xc000 | known);
        return;
      }
      if (this.#length < 0x4000) this.#offsets.set(suffix, this.#length);
      const end = at + 1 + (wire[at] ?? 0);
      this.append(wire.subarray(at, end));
      at = end;
    }
    this.append(ROOT);
  }

  record(record: ResourceRecord): void {
    this.name(record.name);
    this.uint16(record.type);
    this.uint16(record.class);
    this.uint32(record.ttlSeconds);
    this.uint16(record.data.length);
    this.append(record.data);
  }

  /** Counts of answers, authorities and additionals, once they are known. */
  setCounts(answers: number, authorities: number, additionals: number): void {
    this.#bytes.writeUInt16BE(answers, 6);
    this.#bytes.writeUInt16BE(authorities, 8);
    this.#bytes.writeUInt16BE(additionals, 10);
  }

  setFlags(flags: number): void {
    this.#bytes.writeUInt16BE(flags, 2);
  }

  /** Takes back everything after `length`. */
  rewind(length: number): void {
    this.#length = length;
    for (const [suffix, offset] of this.#offsets) if (offset >= length) this.#offsets.delete(suffix);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + more));
    larger.set(this.bytes());
    this.#bytes = larger;
  }
}

/** Encodes a query for one name, with an OPT record that announces `udpBytes`. */
export function encodeQuery(
  question: { readonly name: Buffer; readonly type: number; readonly class?: number },
  options: { readonly id: number; readonly flags: number; readonly udpBytes: number; readonly dnssecOk?: boolean },
): Buffer {
  const encoder = new MessageEncoder();
  for (const word of [options.id, options.flags, 1, 0, 0, 1]) encoder.uint16(word);
  encoder.append(question.name);
  encoder.uint16(question.type);
  encoder.uint16(question.class ?? CLASS_IN);
  encoder.append(encodeOpt(options.udpBytes, { dnssecOk: options.dnssecOk === true, extendedRcode: 0 }));
  return encoder.bytes();
}

/** The OPT pseudo-record. Source: RFC 6891 6.1 */
export function encodeOpt(
  udpBytes: number,
  options: { readonly dnssecOk: boolean; readonly extendedRcode: number },
): Buffer {
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(types.OPT, 1);
  opt.writeUInt16BE(udpBytes, 3);
  opt[5] = options.extendedRcode;
  opt[7] = options.dnssecOk ? 0x80 : 0;
  return opt;
}
