/**
 * The server's side of a SPDY/3.1 connection, as far as container streams need it: clients open streams, both sides write and
 * half-close them. No flow control, as Kubernetes' own servers and clients use none: a stream that nobody reads holds
 * up the connection.
 */
import type { Duplex } from "node:stream";
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";
import { SPDY_DICTIONARY } from "./dictionary.ts";
import { controlFrame, FLAG_FIN, type Frame, FrameParser, FrameType, headerBlock, parseHeaderBlock } from "./frames.ts";
import { SpdyStream } from "./spdy-stream.ts";

/** A client may not make us unpack more than this for one stream's headers. */
const MAX_HEADER_BYTES = 64 * 1024;
const MAX_STREAMS = 1000;
const PROTOCOL_ERROR = 1;
const REFUSED_STREAM = 3;

export type OnSpdyStream = (headers: ReadonlyMap<string, string>, stream: SpdyStream) => void;

/** A zlib stream for a whole connection, flushed after each block. */
function transform(zlib: Deflate | Inflate, block: Buffer, maxBytes: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const parts: Buffer[] = [];
  let length = 0;
  const done = (error?: Error) => {
    zlib.off("data", onData);
    zlib.off("error", done);
    if (error === undefined) resolve(Buffer.concat(parts));
    else reject(error);
  };
  const onData = (part: Buffer) => {
    parts.push(part);
    length += part.length;
    if (length > maxBytes) done(new Error("headers are too large"));
  };
  zlib.on("data", onData);
  zlib.once("error", done);
  zlib.write(block);
  zlib.flush(constants.Z_SYNC_FLUSH, () => done());
  return promise;
}

export class SpdyServer {
  readonly #socket: Duplex;
  readonly #onStream: OnSpdyStream;
  readonly #parser = new FrameParser();
  readonly #inflate = createInflate({ dictionary: SPDY_DICTIONARY });
  readonly #deflate = createDeflate({ dictionary: SPDY_DICTIONARY });
  readonly #streams = new Map<number, SpdyStream>();
  /** Who waits for a stream to be read. */
  #wanted: (() => void) | undefined;
  /** Resolves when the connection is over, for whatever reason. */
  readonly closed: Promise<void>;
  #over = false;

  /** `head`: what came with the upgrade. */
  constructor(socket: Duplex, head: Buffer, onStream: OnSpdyStream) {
    this.#socket = socket;
    this.#onStream = onStream;
    if (head.length > 0) socket.unshift(head);
    socket.once("close", () => this.#wanted?.());
    this.closed = this.#serve();
  }

  /** Sends what is left to send, then closes. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #serve(): Promise<void> {
    try {
      for await (const chunk of this.#socket) {
        for (const frame of this.#parser.push(chunk as Buffer)) await this.#handle(frame);
      }
    } catch {
      // Broken by either side: every stream ends the same way below.
    }
    this.#over = true;
    for (const stream of this.#streams.values()) {
      stream.push(null);
      stream.destroy();
    }
    this.#socket.destroy();
    this.#inflate.close();
    this.#deflate.close();
  }

  async #handle(frame: Frame): Promise<void> {
    if (frame.kind === "data") {
      const stream = this.#streams.get(frame.streamId);
      if (stream === undefined) return;
      if (frame.data.length > 0 && !stream.push(frame.data)) await this.#drained(stream);
      if (frame.fin) stream.push(null);
      return;
    }
    const id = frame.payload.length >= 4 ? frame.payload.readUInt32BE(0) & 0x7fff_ffff : 0;
    switch (frame.type) {
      case FrameType.synStream:
        return await this.#open(id, frame.flags, frame.payload);
      case FrameType.rstStream:
        this.#streams.get(id)?.destroy();
        return;
      case FrameType.ping:
        this.#socket.write(controlFrame(FrameType.ping, 0, frame.payload));
        return;
      default:
        // Settings, windows, headers, the client's good-bye: nothing that container streams depend on.
        return;
    }
  }

  /** Resolves when the stream's reader has caught up, or when nobody will ever read it. */
  #drained(stream: SpdyStream): Promise<void> {
    if (this.#socket.destroyed || stream.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wanted = () => {
        this.#wanted = undefined;
        resolve();
      };
      stream.once("close", () => this.#wanted?.());
    });
  }

  async #open(id: number, flags: number, payload: Buffer): Promise<void> {
    if (payload.length < 10 || id === 0 || this.#streams.has(id)) return this.#refuse(id, PROTOCOL_ERROR);
    // Its headers must be unpacked even when it is refused: the compression goes on from them.
    const headers = parseHeaderBlock(await transform(this.#inflate, payload.subarray(10), MAX_HEADER_BYTES));
    if (this.#streams.size >= MAX_STREAMS) return this.#refuse(id, REFUSED_STREAM);
    const stream = new SpdyStream(
      id,
      (frame, done) => {
        if (this.#over) done(new Error("the connection is closed"));
        else this.#socket.write(frame, done);
      },
      () => this.#wanted?.(),
    );
    this.#streams.set(id, stream);
    stream.once("close", () => this.#streams.delete(id));
    stream.on("error", () => stream.destroy());
    const reply = Buffer.alloc(4);
    reply.writeUInt32BE(id);
    const block = await transform(this.#deflate, headerBlock({}), MAX_HEADER_BYTES);
    this.#socket.write(controlFrame(FrameType.synReply, 0, Buffer.concat([reply, block])));
    if ((flags & FLAG_FIN) !== 0) stream.push(null);
    this.#onStream(headers, stream);
  }

  #refuse(id: number, status: number): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(id, 0);
    payload.writeUInt32BE(status, 4);
    this.#socket.write(controlFrame(FrameType.rstStream, 0, payload));
  }
}
