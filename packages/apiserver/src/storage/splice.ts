/**
 * Puts the resourceVersion into stored JSON, and the watch frame around it, in one copy.
 *
 * Stored:  {"kind":"Pod","apiVersion":"v1","metadata":{"name":"web",...}...}
 * Served:  {"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"web",...}...}}\n
 *          '------- frame ---------'                                                                                    '--'
 * The object that GET and LIST send is the middle of the same Buffer, so an object and its most likely frame cost one allocation.
 * JSON from other writers (an upstream API server on the same etcd) is understood too: any order of keys, any white space, and a
 * resourceVersion that should not be there is cut out. Nothing is parsed or re-encoded: numbers and escapes stay as they are.
 */
import { StorageError } from "./storage-error.ts";

export type FrameType = "ADDED" | "MODIFIED" | "DELETED";

const PREFIXES: Readonly<Record<FrameType, Buffer>> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const SUFFIX = Buffer.from("}\n");

/** Where things are in stored JSON. Offsets in bytes. */
export interface MetadataPlace {
  /** Just after the opening brace of metadata. */
  readonly insertAt: number;
  /** metadata has no other members, so no comma must follow. */
  readonly isEmpty: boolean;
  /** A resourceVersion member to leave out, with its comma. */
  readonly cut: { readonly from: number; readonly to: number } | undefined;
  /** End of the document without trailing white space. */
  readonly end: number;
}

/** A served object inside its frame. */
export interface SplicedFrame {
  /** The whole frame, newline included. */
  readonly frame: Buffer;
  /** The object alone: a view on `frame`. */
  readonly bytes: Buffer;
  /** The revision member inside `bytes`, comma included: what to leave out to get back what is stored. */
  readonly insertAt: number;
  readonly insertLength: number;
}

export function spliceFrame(stored: Buffer, revision: number, type: FrameType): SplicedFrame {
  const place = locateMetadata(stored);
  const prefix = PREFIXES[type];
  const member = `"resourceVersion":"${revision}"${place.isEmpty ? "" : ","}`;
  const cutLength = place.cut === undefined ? 0 : place.cut.to - place.cut.from;
  const objectLength = place.end - cutLength + member.length;
  // Not from Node's shared pool: one long-lived object must not keep its neighbours' slab alive.
  const frame = Buffer.allocUnsafeSlow(prefix.length + objectLength + SUFFIX.length);
  let at = prefix.copy(frame, 0);
  at += stored.copy(frame, at, 0, place.insertAt);
  at += frame.write(member, at, "latin1");
  if (place.cut === undefined) {
    at += stored.copy(frame, at, place.insertAt, place.end);
  } else {
    at += stored.copy(frame, at, place.insertAt, place.cut.from);
    at += stored.copy(frame, at, place.cut.to, place.end);
  }
  SUFFIX.copy(frame, at);
  return {
    frame,
    bytes: frame.subarray(prefix.length, prefix.length + objectLength),
    insertAt: place.insertAt,
    insertLength: member.length,
  };
}

/** A frame of another type around bytes that are served already. */
export function frameOf(bytes: Buffer, type: FrameType): Buffer {
  return Buffer.concat([PREFIXES[type], bytes, SUFFIX]);
}

/** What is stored of a served object: its bytes without the revision member. A copy. */
export function unspliced(bytes: Buffer, insertAt: number, insertLength: number): Buffer {
  return Buffer.concat([bytes.subarray(0, insertAt), bytes.subarray(insertAt + insertLength)]);
}

/** How every writer we know begins an object. */
const USUAL_HEAD = /^\{(?:"(?:kind|apiVersion)":"[^"\\]*",)*"metadata":\{/;
const RESOURCE_VERSION = Buffer.from('"resourceVersion"');
const CLOSING_BRACE = 0x7d;

/** Throws StorageError "internal" when there is no object `metadata` to be found. It does not check that the rest is sound JSON. */
export function locateMetadata(json: Buffer): MetadataPlace {
  const head = USUAL_HEAD.exec(json.toString("latin1", 0, 320));
  const insertAt = head?.[0].length ?? -1;
  if (insertAt > 0 && !isSpace(json[insertAt]) && json.at(-1) === CLOSING_BRACE && !json.includes(RESOURCE_VERSION)) {
    return { insertAt, isEmpty: json[insertAt] === CLOSING_BRACE, cut: undefined, end: json.length };
  }
  return new Scanner(json).locate();
}

/** Walks JSON token by token, without building values. */
class Scanner {
  readonly #json: Buffer;
  #at = 0;

  constructor(json: Buffer) {
    this.#json = json;
  }

  locate(): MetadataPlace {
    let place: Omit<MetadataPlace, "end"> | undefined;
    this.#members((name) => {
      if (name === '"metadata"' && this.#peek() === 0x7b) place = this.#metadata();
      else this.#value();
    });
    if (place === undefined) this.#fail();
    return { ...place, end: this.#at };
  }

  #metadata(): Omit<MetadataPlace, "end"> {
    const insertAt = this.#at + 1;
    let count = 0;
    let cut: { from: number; to: number } | undefined;
    let previousEnd = insertAt;
    this.#members((name, from) => {
      this.#value();
      if (name === '"resourceVersion"' && cut === undefined) {
        // With its following comma if it is the first, else with the one before it.
        const isFirst = count === 0 && this.#peek() === 0x2c;
        cut = isFirst ? { from, to: this.#at + 1 } : { from: previousEnd, to: this.#at };
      } else {
        count++;
      }
      previousEnd = this.#at;
    });
    return { insertAt, isEmpty: count === 0, cut };
  }

  /** Reads `{"a":1,...}` and calls back before each value, which the callback must consume. */
  #members(onMember: (name: string, from: number) => void): void {
    this.#expect(0x7b);
    if (this.#peek() === CLOSING_BRACE) {
      this.#at++;
      return;
    }
    for (;;) {
      this.#peek();
      const from = this.#at;
      this.#string();
      const name = this.#json.toString("latin1", from, this.#at);
      this.#expect(0x3a);
      this.#peek();
      onMember(name, from);
      if (this.#peek() !== 0x2c) break;
      this.#at++;
    }
    this.#expect(CLOSING_BRACE);
  }

  /** Skips one value; brackets are counted, not recursed into, so depth costs nothing. */
  #value(): void {
    let depth = 0;
    do {
      const byte = this.#peek();
      if (byte === 0x22) this.#string();
      else if (byte === 0x7b || byte === 0x5b) {
        depth++;
        this.#at++;
      } else if (byte === CLOSING_BRACE || byte === 0x5d) {
        depth--;
        this.#at++;
      } else if (depth > 0 && (byte === 0x2c || byte === 0x3a)) this.#at++;
      else this.#scalar();
    } while (depth > 0);
  }

  #scalar(): void {
    const from = this.#at;
    for (;;) {
      const byte = this.#json[this.#at];
      if (byte === undefined || byte === 0x2c || byte === CLOSING_BRACE || byte === 0x5d || isSpace(byte)) break;
      this.#at++;
    }
    if (this.#at === from) this.#fail();
  }

  #string(): void {
    this.#expect(0x22);
    for (;;) {
      const byte = this.#json[this.#at++];
      if (byte === 0x22) return;
      if (byte === 0x5c) this.#at++;
      else if (byte === undefined) this.#fail();
    }
  }

  #expect(byte: number): void {
    if (this.#peek() !== byte) this.#fail();
    this.#at++;
  }

  /** The next byte that is no white space; the position moves to it. */
  #peek(): number | undefined {
    while (isSpace(this.#json[this.#at])) this.#at++;
    return this.#json[this.#at];
  }

  #fail(): never {
    throw new StorageError("internal", `stored data is no object with metadata (at byte ${this.#at})`);
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
