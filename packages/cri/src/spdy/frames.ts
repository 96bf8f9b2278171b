/**
 * SPDY/3.1 frames: building them, and cutting a byte stream into those that come. Pure.
 *
 *   control  1vvv vvvv vvvv vvvv  type(16)  flags(8) length(24)  payload
 *   data     0iii iiii iiii iiii iiii...    flags(8) length(24)  data
 * Source: SPDY protocol draft 3.1, 2.2
 */

export const FrameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
} as const;
export const FLAG_FIN = 1;
const VERSION = 3;
const HEAD = 8;

export type Frame =
  | { readonly kind: "data"; readonly streamId: number; readonly fin: boolean; readonly data: Buffer }
  | { readonly kind: "control"; readonly type: number; readonly flags: number; readonly payload: Buffer };

export function controlFrame(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEAD);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(flags * 2 ** 24 + payload.length, 4);
  return Buffer.concat([head, payload]);
}

export function dataFrame(streamId: number, data: Buffer, fin = false): Buffer {
  const head = Buffer.alloc(HEAD);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt32BE((fin ? FLAG_FIN : 0) * 2 ** 24 + data.length, 4);
  return Buffer.concat([head, data]);
}

/** Opens a stream; `headerBlock` is compressed already. */
export function synStream(streamId: number, headerBlock: Buffer): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(streamId, 0);
  return controlFrame(FrameType.synStream, 0, Buffer.concat([head, headerBlock]));
}

/** Names and values with their lengths, before compression. */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const number = (value: number) => {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32BE(value);
    return buffer;
  };
  const texts = Object.entries(headers).flatMap(([name, value]) => [
    Buffer.from(name.toLowerCase()),
    Buffer.from(value),
  ]);
  return Buffer.concat([number(texts.length / 2), ...texts.flatMap((text) => [number(text.length), text])]);
}

/** Names (lower case) and values of a decompressed block. Throws RangeError when it is cut short. */
export function parseHeaderBlock(block: Buffer): Map<string, string> {
  let at = 0;
  const number = () => {
    const value = block.readUInt32BE(at);
    at += 4;
    return value;
  };
  const text = () => {
    const length = number();
    if (length > block.length - at) throw new RangeError("a header is longer than its block");
    const value = block.toString("utf8", at, at + length);
    at += length;
    return value;
  };
  const headers = new Map<string, string>();
  for (let count = number(); count > 0; count--) headers.set(text().toLowerCase(), text());
  return headers;
}

/** Cuts what arrives into frames, however it was split on the way. */
export class FrameParser {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are complete now. */
  push(chunk: Buffer): Frame[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    while (this.#rest.length >= HEAD) {
      const word = this.#rest.readUInt32BE(4);
      const length = word % 2 ** 24;
      if (this.#rest.length < HEAD + length) break;
      frames.push(frameOf(this.#rest, word >>> 24, this.#rest.subarray(HEAD, HEAD + length)));
      this.#rest = this.#rest.subarray(HEAD + length);
    }
    return frames;
  }
}

function frameOf(head: Buffer, flags: number, payload: Buffer): Frame {
  const first = head.readUInt32BE(0);
  if (first >= 0x8000_0000) return { kind: "control", type: first % 2 ** 16, flags, payload };
  return { kind: "data", streamId: first, fin: (flags & FLAG_FIN) !== 0, data: payload };
}
