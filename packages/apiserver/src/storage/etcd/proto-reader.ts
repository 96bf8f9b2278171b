/**
 * Walks the fields of a protobuf message in place: byte fields are views on the message, nothing is copied. Unknown fields are skipped.
 * Source: protobuf.dev/programming-guides/encoding
 */

export class ProtoError extends Error {
  override readonly name = "ProtoError";
}

export class ProtoReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;
  #wireType = 0;

  constructor(buffer: Buffer, from = 0, end: number = buffer.length) {
    this.#buffer = buffer;
    this.#at = from;
    this.#end = end;
  }

  /** The number of the next field, 0 at the end. Its value must then be read, or skipped. */
  next(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.int();
    this.#wireType = tag % 8;
    return Math.floor(tag / 8);
  }

  /** Whole numbers up to 2^53; negative ones, which etcd does not send where this is used, come out as 2^64 - n. */
  int(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  /** All 64 bits, in decimal. */
  int64(): string {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value).toString();
    }
  }

  /** A view on the message. */
  bytes(): Buffer {
    const [from, to] = this.#range();
    return this.#buffer.subarray(from, to);
  }

  text(): string {
    const [from, to] = this.#range();
    return this.#buffer.toString("utf8", from, to);
  }

  /** A nested message. */
  message(): ProtoReader {
    const [from, to] = this.#range();
    return new ProtoReader(this.#buffer, from, to);
  }

  skip(): void {
    switch (this.#wireType) {
      case 0:
        this.int();
        return;
      case 1:
        this.#at += 8;
        return;
      case 2:
        this.#range();
        return;
      case 5:
        this.#at += 4;
        return;
      default:
        throw new ProtoError(`a field has the wire type ${this.#wireType}`);
    }
  }

  #range(): [from: number, to: number] {
    const length = this.int();
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#end) throw new ProtoError("a field is longer than its message");
    return [from, this.#at];
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new ProtoError("a message ends inside a number");
    return this.#buffer[this.#at++] as number;
  }
}
