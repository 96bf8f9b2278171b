/** Frames of HTTP/2: their numbers, how they are written, and how a stream of bytes is cut into them. Source: RFC 9113 4, 6, 7 */

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

export const SETTING = { tableSize: 1, push: 2, maxStreams: 3, initialWindow: 4, maxFrame: 5 } as const;

export const CODE = {
  none: 0,
  protocol: 1,
  flowControl: 3,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
} as const;

export const FRAME_HEADER_BYTES = 9;
/** What both sides may send until they are told otherwise. */
export const DEFAULT_MAX_FRAME = 16_384;
export const DEFAULT_WINDOW = 65_535;
export const MAX_WINDOW = 2 ** 31 - 1;
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** The peer breaks the protocol; the connection is of no more use. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: number;

  constructor(message: string, code: number = CODE.protocol) {
    super(message);
    this.code = code;
  }
}

/** Writes a frame's header at `at`. */
export function writeFrameHeader(
  into: Buffer,
  at: number,
  { length, type, flags, id }: { length: number; type: number; flags: number; id: number },
): void {
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  into.writeUInt32BE(id, at + 5);
}

/** A whole frame. */
export function frameOf(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(frame, 0, { length: payload.length, type, flags, id });
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6);
  for (const [i, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return frameOf(FRAME.settings, 0, 0, payload);
}

/** A frame whose payload is one number: RST_STREAM, WINDOW_UPDATE. */
export function numberFrame(type: number, id: number, value: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(value);
  return frameOf(type, 0, id, payload);
}

export interface FrameHeader {
  readonly type: number;
  readonly flags: number;
  /** The stream, 0 for the connection. */
  readonly id: number;
}

/** Cuts what arrives into frames; payloads are views on it wherever they lie in one piece. */
export class FrameReader {
  readonly #onFrame: (header: FrameHeader, payload: Buffer) => void;
  #rest: Buffer | undefined;

  constructor(onFrame: (header: FrameHeader, payload: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  /** Throws ProtocolError, and what the handler throws. */
  push(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
      if (length > DEFAULT_MAX_FRAME) throw new ProtocolError("a frame is too long", CODE.frameSize);
      const from = at + FRAME_HEADER_BYTES;
      if (bytes.length < from + length) break;
      const header = {
        type: bytes[at + 3] as number,
        flags: bytes[at + 4] as number,
        id: bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
      };
      at = from + length;
      this.#onFrame(header, bytes.subarray(from, at));
    }
    if (at < bytes.length) this.#rest = bytes.subarray(at);
  }
}

/** A payload of DATA or HEADERS without its padding and priority. Throws ProtocolError. */
export function unpadded({ type, flags }: FrameHeader, payload: Buffer): Buffer {
  let from = 0;
  let padding = 0;
  if ((flags & FLAG.padded) !== 0) {
    padding = payload[0] ?? 0;
    from = 1;
  }
  if (type === FRAME.headers && (flags & FLAG.priority) !== 0) from += 5;
  if (from + padding > payload.length) throw new ProtocolError("a frame is all padding");
  return from + padding === 0 ? payload : payload.subarray(from, payload.length - padding);
}
