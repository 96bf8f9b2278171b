/**
 * Writes the protobuf wire format from the end to the front, as upstream's generated code does: the length of a nested
 * message is known when its tag is written, so nothing is measured or copied twice.
 *
 * Worked example, {1: "ab"}: text("ab") puts 61 62 at the end, length(2) puts 02 before it, tag(1, bytes) puts 0a.
 * One writer may be used again and again: `take` hands out a copy and starts afresh. Not for use across an await.
 */
const INITIAL_BYTES = 16 * 1024;
/** A buffer grown above this is given back after use. */
const KEEP_BYTES = 1024 * 1024;

export class BackwardWriter {
  #buffer: Buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #at: number = INITIAL_BYTES;

  /** Bytes written so far; differences of it are lengths of messages. */
  get written(): number {
    return this.#buffer.length - this.#at;
  }

  /** A copy of what was written, and an empty writer. */
  take(): Buffer {
    const bytes = Buffer.from(this.#buffer.subarray(this.#at));
    if (this.#buffer.length > KEEP_BYTES) this.#buffer = Buffer.allocUnsafe(INITIAL_BYTES);
    this.#at = this.#buffer.length;
    return bytes;
  }

  /** Forgets what was written, after a failure. */
  reset(): void {
    this.#at = this.#buffer.length;
  }

  tag(number: number, wireType: number): void {
    this.varint(number * 8 + wireType);
  }

  /** Closes a message or string of which `before` was `written` when it began (its end, that is). */
  lengthSince(before: number): void {
    this.varint(this.written - before);
  }

  /** Any 64-bit integer, negative ones in two's complement. */
  varint(value: number | bigint): void {
    if (typeof value === "number" && value >= 0 && value < 0x80) {
      this.#need(1);
      this.#buffer[--this.#at] = value;
      return;
    }
    if (typeof value === "bigint" || value < 0 || !Number.isSafeInteger(value)) {
      this.#bigVarint(BigInt.asUintN(64, BigInt(value)));
      return;
    }
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
    this.#need(length);
    this.#at -= length;
    let at = this.#at;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#buffer[at++] = (rest % 0x80) | 0x80;
    this.#buffer[at] = rest;
  }

  #bigVarint(value: bigint): void {
    const bytes: number[] = [];
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    this.bytes(Buffer.from(bytes));
  }

  double(value: number): void {
    this.#need(8);
    this.#at -= 8;
    this.#buffer.writeDoubleLE(value, this.#at);
  }

  /** The bytes alone, without length and tag. */
  bytes(bytes: Buffer): void {
    this.#need(bytes.length);
    this.#at -= bytes.length;
    bytes.copy(this.#buffer, this.#at);
  }

  /** The UTF-8 text alone, without length and tag. */
  text(text: string): void {
    const length = Buffer.byteLength(text);
    this.#need(length);
    this.#at -= length;
    this.#buffer.write(text, this.#at, length);
  }

  #need(length: number): void {
    if (length <= this.#at) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.written + length));
    const at = grown.length - this.written;
    this.#buffer.copy(grown, at, this.#at);
    this.#buffer = grown;
    this.#at = at;
  }
}
