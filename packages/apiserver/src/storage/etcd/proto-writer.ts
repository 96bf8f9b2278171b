/**
 * Writes protobuf messages from their end to their beginning, so that the length of what is nested is known when it is written, and a
 * whole request is one Buffer that was allocated once. Fields are therefore added last first.
 *
 *   writer = new ProtoWriter(capacity)                { key: "a", op: { value: "b" } }
 *   end = writer.at; writer.bytes(1, "b"); writer.wrap(2, end); writer.bytes(1, "a")
 *
 * Source: protobuf.dev/programming-guides/encoding
 */

const VARINT = 0;
const LENGTH_DELIMITED = 2;
/** gRPC puts one byte (compressed or not) and four of length before a message. */
const GRPC_HEADER_BYTES = 5;

export class ProtoWriter {
  readonly #buffer: Buffer;
  #at: number;

  /** `capacity`: at least the size of the message; a varint has at most ten bytes. */
  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity + GRPC_HEADER_BYTES);
    this.#at = this.#buffer.length;
  }

  /** Where the next field will end. */
  get at(): number {
    return this.#at;
  }

  int(field: number, value: number): void {
    this.#varint(value);
    this.#varint(field * 8 + VARINT);
  }

  /** Of 64 bits, in decimal: leases. */
  int64(field: number, value: string): void {
    const digits: number[] = [];
    let rest = BigInt.asUintN(64, BigInt(value));
    do {
      digits.push(Number(rest & 0x7fn));
      rest >>= 7n;
    } while (rest > 0n);
    for (const [index, digit] of digits.toReversed().entries()) {
      this.#buffer[--this.#at] = index === 0 ? digit : digit | 0x80;
    }
    this.#varint(field * 8 + VARINT);
  }

  bool(field: number, value: boolean): void {
    if (value) this.int(field, 1);
  }

  bytes(field: number, value: Uint8Array): void {
    this.#at -= value.length;
    this.#buffer.set(value, this.#at);
    this.#varint(value.length);
    this.#varint(field * 8 + LENGTH_DELIMITED);
  }

  /** Makes one nested message of everything written since `end`. */
  wrap(field: number, end: number): void {
    this.#varint(end - this.#at);
    this.#varint(field * 8 + LENGTH_DELIMITED);
  }

  /** The message behind its gRPC header. */
  finish(): Buffer {
    const length = this.#buffer.length - this.#at;
    this.#buffer.writeUInt32BE(length, this.#at - 4);
    this.#buffer[this.#at - GRPC_HEADER_BYTES] = 0;
    return this.#buffer.subarray(this.#at - GRPC_HEADER_BYTES);
  }

  /** Whole numbers from 0 to 2^53. */
  #varint(value: number): void {
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
    this.#at -= size;
    let at = this.#at;
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[at] = rest;
  }
}
