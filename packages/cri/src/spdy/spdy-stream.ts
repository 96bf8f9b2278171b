/** One stream of a SPDY/3.1 connection, on either side of it. */
import { Duplex } from "node:stream";
import { dataFrame } from "./frames.ts";

/** Large writes are cut, so that streams share the connection. */
const MAX_DATA_BYTES = 32 * 1024;

type SendFrame = (frame: Buffer, done: (error?: Error | null) => void) => void;

/** One stream: what is written goes out as data frames, `end()` half-closes, what comes is read. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly #send: SendFrame;
  readonly #wantMore: () => void;

  constructor(id: number, send: SendFrame, wantMore: () => void) {
    super({ allowHalfOpen: true });
    this.id = id;
    this.#send = send;
    this.#wantMore = wantMore;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const frames: Buffer[] = [];
    for (let at = 0; at < chunk.length; at += MAX_DATA_BYTES) {
      frames.push(dataFrame(this.id, chunk.subarray(at, at + MAX_DATA_BYTES)));
    }
    this.#send(Buffer.concat(frames), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send(dataFrame(this.id, Buffer.alloc(0), true), done);
  }

  override _read(): void {
    this.#wantMore();
  }
}
