/**
 * The client's side of a SPDY/3.1 connection, as far as container streams need it: it opens streams, writes to them, half
 * closes them and reads them. Streams opened by the server are refused; flow control is not used, as Kubernetes' own
 * servers don't: a stream that nobody reads holds up the connection.
 */
import type { Duplex } from "node:stream";
import { constants, createDeflate, type Deflate } from "node:zlib";
import { SPDY_DICTIONARY } from "@knarr/cri/spdy/dictionary.ts";
import { controlFrame, type Frame, FrameParser, FrameType, headerBlock, synStream } from "@knarr/cri/spdy/frames.ts";
import { SpdyStream } from "@knarr/cri/spdy/spdy-stream.ts";

export class SpdyClient {
  readonly #socket: Duplex;
  readonly #parser = new FrameParser();
  readonly #deflate: Deflate;
  readonly #streams = new Map<number, SpdyStream>();
  /** Streams whose reader is behind; while there is one, nothing is read from the connection. */
  readonly #full = new Set<SpdyStream>();
  #nextId = 1;
  #opening: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** `head`: what came with the upgrade's answer. */
  constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    this.#deflate = createDeflate({ dictionary: SPDY_DICTIONARY });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.once("close", () => this.#end());
    socket.once("error", () => this.#end());
    socket.once("end", () => this.#end());
    if (head.length > 0) this.#receive(head);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Opens a stream; streams appear at the server in the order of the calls. */
  openStream(headers: Readonly<Record<string, string>>): Promise<SpdyStream> {
    const opened = this.#opening.then(async () => {
      const block = await this.#compress(headerBlock(headers));
      const id = this.#nextId;
      this.#nextId += 2;
      const stream: SpdyStream = new SpdyStream(
        id,
        (frame, done) => {
          if (this.#closed) done(new Error("the connection is closed"));
          else this.#socket.write(frame, done);
        },
        () => this.#drained(stream),
      );
      this.#streams.set(id, stream);
      // A stream that is read to its end, or given up, never asks for more, and the others must not wait for that.
      stream.once("end", () => this.#drained(stream));
      stream.once("close", () => {
        this.#streams.delete(id);
        this.#drained(stream);
      });
      this.#socket.write(synStream(id, block));
      return stream;
    });
    this.#opening = opened.catch(() => undefined);
    return opened;
  }

  destroy(): void {
    this.#socket.destroy();
    this.#end();
  }

  /** One zlib stream for the whole connection, flushed after each block. */
  #compress(block: Buffer): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const parts: Buffer[] = [];
    const onData = (part: Buffer) => parts.push(part);
    this.#deflate.on("data", onData);
    this.#deflate.once("error", reject);
    this.#deflate.write(block);
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => {
      this.#deflate.off("data", onData);
      this.#deflate.off("error", reject);
      resolve(Buffer.concat(parts));
    });
    return promise;
  }

  #receive(chunk: Buffer): void {
    for (const frame of this.#parser.push(chunk)) this.#handle(frame);
  }

  #handle(frame: Frame): void {
    if (frame.kind === "data") {
      const stream = this.#streams.get(frame.streamId);
      if (stream === undefined) return;
      if (frame.data.length > 0 && !stream.push(frame.data)) {
        this.#full.add(stream);
        this.#socket.pause();
      }
      if (frame.fin) stream.push(null);
      return;
    }
    const id = frame.payload.length >= 4 ? frame.payload.readUInt32BE(0) & 0x7fff_ffff : 0;
    switch (frame.type) {
      case FrameType.synReply:
        if ((frame.flags & 1) !== 0) this.#streams.get(id)?.push(null);
        break;
      case FrameType.rstStream:
        this.#streams.get(id)?.push(null);
        break;
      case FrameType.synStream:
        this.#socket.write(controlFrame(FrameType.rstStream, 0, refusal(id)));
        break;
      case FrameType.ping:
        this.#socket.write(controlFrame(FrameType.ping, 0, frame.payload));
        break;
      default:
        // Settings, windows, headers: nothing that container streams depend on.
        break;
    }
  }

  #drained(stream: SpdyStream): void {
    if (this.#full.delete(stream) && this.#full.size === 0) this.#socket.resume();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deflate.close();
    for (const stream of this.#streams.values()) stream.push(null);
  }
}

/** RST_STREAM's body: the stream, and REFUSED_STREAM. */
function refusal(streamId: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(streamId, 0);
  payload.writeUInt32BE(3, 4);
  return payload;
}
