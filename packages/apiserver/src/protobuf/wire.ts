/**
 * The protobuf wire format: one reader over a Buffer, bounded by its end. Throws WireError for anything malformed.
 * Source: protobuf.dev/programming-guides/encoding
 */
export class WireError extends Error {
  override readonly name = "WireError";
}

export const WireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Field number and wire type of what follows. */
  tag(): { number: number; type: number } {
    const tag = Number(this.varint());
    const number = Math.floor(tag / 8);
    if (number === 0) throw new WireError("illegal tag 0");
    return { number, type: tag % 8 };
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new WireError("unexpected EOF");
      this.#at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return BigInt.asUintN(64, value);
    }
    throw new WireError("integer overflow");
  }

  /** A signed integer, as a number where it is exact. */
  integer(): number | bigint {
    const value = BigInt.asIntN(64, this.varint());
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  double(): number {
    this.#need(8);
    const value = this.#bytes.readDoubleLE(this.#at);
    this.#at += 8;
    return value;
  }

  /** Length-delimited bytes: a view. */
  bytes(): Buffer {
    const length = Number(this.varint());
    this.#need(length);
    const slice = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return slice;
  }

  skip(type: number): void {
    switch (type) {
      case WireType.varint:
        this.varint();
        return;
      case WireType.fixed64:
        this.#need(8);
        this.#at += 8;
        return;
      case WireType.bytes:
        this.bytes();
        return;
      case WireType.fixed32:
        this.#need(4);
        this.#at += 4;
        return;
      default:
        throw new WireError(`wrong wireType = ${type}`);
    }
  }

  #need(length: number): void {
    if (length > this.#bytes.length - this.#at) throw new WireError("unexpected EOF");
  }
}
