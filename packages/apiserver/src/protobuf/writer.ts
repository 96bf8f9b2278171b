/** Writes the protobuf wire format, messages inside out. Zero values are left out, as proto3 does. */
export class WireWriter {
  readonly #parts: Buffer[] = [];

  string(number: number, text: unknown): this {
    if (typeof text === "string" && text !== "") this.bytes(number, Buffer.from(text));
    return this;
  }

  strings(number: number, texts: unknown): this {
    if (Array.isArray(texts)) for (const text of texts) this.bytes(number, Buffer.from(String(text)));
    return this;
  }

  bool(number: number, value: unknown): this {
    if (value === true) this.#parts.push(varint(number * 8), Buffer.from([1]));
    return this;
  }

  /** Written also when it is zero. */
  varint(number: number, value: number): this {
    this.#parts.push(varint(number * 8), varint(value));
    return this;
  }

  /** Written also when it is zero. */
  double(number: number, value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#parts.push(varint(number * 8 + 1), bytes);
    return this;
  }

  message(number: number, inner: WireWriter | undefined): this {
    if (inner !== undefined) this.bytes(number, inner.finish());
    return this;
  }

  bytes(number: number, bytes: Buffer): this {
    this.#parts.push(varint(number * 8 + 2), varint(bytes.length), bytes);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
