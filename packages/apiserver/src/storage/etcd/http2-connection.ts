/**
 * The client's side of one HTTP/2 connection, as little of it as gRPC needs: streams with a block of headers that was made before, bodies
 * within the peer's windows, answers as they come.
 *
 *   open --GOAWAY--> draining (streams under way go on, no new ones) --the last ends--> closed
 *     open --error, end, close(), protocol error--> closed (every stream fails)
 *
 * All that is sent in one turn of the event loop leaves in one write, and there are no stream objects with events and buffers of their own:
 * node:http2 takes four times as much for a request (docs/adr/009). It knows no gRPC, no deadlines and no retries.
 * Source: RFC 9113
 */
import type { Duplex } from "node:stream";
import { Bag, type Slot } from "@knarr/daemon/bag.ts";
import { decodeHeaders, type Headers } from "./hpack.ts";
import {
  CODE,
  DEFAULT_MAX_FRAME,
  DEFAULT_WINDOW,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameReader,
  frameOf,
  MAX_WINDOW,
  numberFrame,
  PREFACE,
  ProtocolError,
  SETTING,
  settingsFrame,
  unpadded,
  writeFrameHeader,
} from "./http2-frames.ts";

/** Large answers should not wait for window updates. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 32 * 1024 * 1024;
const MAX_HEADER_BYTES = 64 * 1024;
/** Header blocks whose meaning is remembered: a gRPC server sends a handful of different ones. */
const MAX_KNOWN_BLOCKS = 32;
/** Identifiers are used once; behind this one comes a new connection. */
const LAST_STREAM_ID = 2 ** 31 - 3;
const NOTHING: Buffer = Buffer.alloc(0);

/** Why a stream came to nothing. */
export class Http2Error extends Error {
  override readonly name = "Http2Error";
  /** The peer has certainly not looked at the request. */
  readonly isUnprocessed: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isUnprocessed: boolean }) {
    super(message, options);
    this.isUnprocessed = options.isUnprocessed;
  }
}

/** Told in the order of arrival; after `end` or `failed` nothing more. */
export interface StreamListener {
  /** The answer's headers, and its trailers. */
  headers(headers: Headers): void;
  data(chunk: Buffer): void;
  /** The peer has said all that it had to say. */
  end(): void;
  failed(error: Http2Error): void;
}

export interface ConnectionListener {
  /** No new streams from now on; called at most once. */
  draining(): void;
  /** Called once. */
  closed(error: Error | undefined): void;
}

/** A stream, for its owner to hold; only its connection looks inside. */
export class Http2Stream {
  readonly block: Buffer;
  readonly listener: StreamListener;
  /** 0 while it waits for others to end. */
  id = 0;
  slot: Slot<Http2Stream> | undefined;
  sendWindow = 0;
  unsent: Buffer[] = [];
  /** END_STREAM goes with the last of `unsent`. */
  endsAfter = false;
  isLocallyEnded = false;
  /** Waits for a window. */
  isBlocked = false;
  isClosed = false;
  /** Bytes that the peer has not been told to send anew. */
  received = 0;
  /** What came while the stream was paused. */
  held: (() => void)[] | undefined;

  constructor(block: Buffer, listener: StreamListener) {
    this.block = block;
    this.listener = listener;
  }
}

const PLACES = 1_024;

/** The open streams. Identifiers follow one another, so that nearly every one has a place of its own. */
class Streams implements Iterable<Http2Stream> {
  readonly #all = new Bag<Http2Stream>();
  readonly #places: (Http2Stream | undefined)[] = new Array<Http2Stream | undefined>(PLACES).fill(undefined);

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): Iterator<Http2Stream> {
    return this.#all[Symbol.iterator]();
  }

  add(stream: Http2Stream): void {
    stream.slot = this.#all.add(stream);
    this.#places[placeOf(stream.id)] = stream;
  }

  get(id: number): Http2Stream | undefined {
    const stream = this.#places[placeOf(id)];
    if (stream?.id === id) return stream;
    // One that lives long has lost its place to a later one.
    for (const other of this.#all) if (other.id === id) return other;
    return undefined;
  }

  remove(stream: Http2Stream): void {
    if (stream.slot === undefined || !this.#all.remove(stream.slot)) return;
    const place = placeOf(stream.id);
    if (this.#places[place] === stream) this.#places[place] = undefined;
  }
}

function placeOf(id: number): number {
  return ((id - 1) / 2) % PLACES;
}

export class Http2Connection {
  readonly #socket: Duplex;
  readonly #listener: ConnectionListener;
  readonly #reader = new FrameReader((header, payload) => this.#take(header, payload));
  readonly #streams = new Streams();
  /** Streams that the peer's limit keeps from beginning. */
  readonly #waiting = new Set<Http2Stream>();
  /** Streams whose bodies wait for a window, in their order. */
  #blocked: Http2Stream[] = [];
  readonly #knownBlocks = new Map<string, Headers>();
  #state: "open" | "draining" | "closed" = "open";
  #nextId = 1;
  #out: Buffer[] = [];
  #outBytes = 0;
  #flushing: NodeJS.Immediate | undefined;
  #sendWindow = DEFAULT_WINDOW;
  #initialWindow = DEFAULT_WINDOW;
  #maxFrame = DEFAULT_MAX_FRAME;
  #maxStreams = Number.POSITIVE_INFINITY;
  #received = 0;
  /** A header block of which more is to come. */
  #partial: { readonly id: number; readonly flags: number; readonly parts: Buffer[]; bytes: number } | undefined;
  #chunks = 0;

  /** Takes over a socket, connected or not. */
  constructor(socket: Duplex, listener: ConnectionListener) {
    this.#socket = socket;
    this.#listener = listener;
    this.#send(PREFACE);
    this.#send(
      settingsFrame([
        [SETTING.tableSize, 0],
        [SETTING.push, 0],
        [SETTING.initialWindow, STREAM_WINDOW_BYTES],
      ]),
    );
    this.#send(numberFrame(FRAME.window, 0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW));
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error: Error) => this.#close(error));
    socket.on("close", () => this.#close());
  }

  /** Takes new streams. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** How often something was heard of the peer. */
  get chunksHeard(): number {
    return this.#chunks;
  }

  /** Opens a stream with `block`, and `body` if there is one; `isWhole` when nothing will follow it. Only when open. */
  request(block: Buffer, body: Buffer | undefined, isWhole: boolean, listener: StreamListener): Http2Stream {
    const stream = new Http2Stream(block, listener);
    stream.endsAfter = isWhole;
    if (body !== undefined && body.length > 0) stream.unsent.push(body);
    if (this.#streams.size >= this.#maxStreams) this.#waiting.add(stream);
    else this.#begin(stream);
    return stream;
  }

  /** Sends more of a stream that was not whole. */
  write(stream: Http2Stream, chunk: Buffer): void {
    if (stream.isClosed || stream.isLocallyEnded || chunk.length === 0) return;
    stream.unsent.push(chunk);
    if (stream.id > 0) this.#pump(stream);
  }

  /** Gives a stream up: its listener hears no more of it, and the peer stops working for it. */
  cancel(stream: Http2Stream): void {
    if (stream.isClosed) return;
    const { id } = stream;
    this.#forget(stream);
    if (id > 0) this.#send(numberFrame(FRAME.reset, id, CODE.cancel));
  }

  /** Nothing more is told of the stream until `resume`; what the peer may send meanwhile is bounded by its window. */
  pause(stream: Http2Stream): void {
    stream.held ??= [];
  }

  resume(stream: Http2Stream): void {
    const { held } = stream;
    if (held === undefined) return;
    stream.held = undefined;
    for (const [i, tell] of held.entries()) {
      // Paused again by what it was told.
      if (stream.held !== undefined) {
        (stream.held as (() => void)[]).push(...held.slice(i));
        return;
      }
      tell();
    }
    this.#grant(stream, 0);
  }

  /** Asks whether the peer lives: its answer counts as heard. */
  ping(): void {
    this.#send(frameOf(FRAME.ping, 0, 0, Buffer.alloc(8)));
  }

  /** Ends everything at once. Idempotent. */
  destroy(error?: Error): void {
    this.#close(error);
  }

  #begin(stream: Http2Stream): void {
    const { block } = stream;
    const id = this.#nextId;
    this.#nextId += 2;
    stream.id = id;
    stream.sendWindow = this.#initialWindow;
    this.#streams.add(stream);
    const isBare = stream.endsAfter && stream.unsent.length === 0;
    const head = Buffer.allocUnsafe(FRAME_HEADER_BYTES + block.length);
    const flags = FLAG.endHeaders | (isBare ? FLAG.endStream : 0);
    writeFrameHeader(head, 0, { length: block.length, type: FRAME.headers, flags, id });
    block.copy(head, FRAME_HEADER_BYTES);
    this.#send(head);
    stream.isLocallyEnded = isBare;
    this.#pump(stream);
    if (id >= LAST_STREAM_ID) this.#drain();
  }

  /** Sends of a body what both windows have room for. */
  #pump(stream: Http2Stream): void {
    for (let chunk = stream.unsent[0]; chunk !== undefined; chunk = stream.unsent[0]) {
      const length = Math.min(chunk.length, this.#sendWindow, stream.sendWindow, this.#maxFrame);
      if (length <= 0) {
        if (!stream.isBlocked) this.#blocked.push(stream);
        stream.isBlocked = true;
        return;
      }
      if (length === chunk.length) stream.unsent.shift();
      else stream.unsent[0] = chunk.subarray(length);
      const isLast = stream.endsAfter && stream.unsent.length === 0;
      const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
      const flags = isLast ? FLAG.endStream : 0;
      writeFrameHeader(header, 0, { length, type: FRAME.data, flags, id: stream.id });
      this.#send(header);
      this.#send(length === chunk.length ? chunk : chunk.subarray(0, length));
      this.#sendWindow -= length;
      stream.sendWindow -= length;
      if (isLast) stream.isLocallyEnded = true;
    }
  }

  #send(bytes: Buffer): void {
    if (this.#state === "closed") return;
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
    this.#flushing ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = undefined;
    const out = this.#out;
    const bytes = out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out, this.#outBytes);
    this.#out = [];
    this.#outBytes = 0;
    if (bytes.length > 0 && this.#socket.writable) this.#socket.write(bytes);
  }

  #receive(chunk: Buffer): void {
    this.#chunks++;
    if (this.#state === "closed") return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      // The peer's mistake, or an answer that its reader cannot make out: nothing behind it can be trusted.
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #take(header: FrameHeader, payload: Buffer): void {
    if (this.#state === "closed") return;
    const { type, id } = header;
    if (this.#partial !== undefined && (type !== FRAME.continuation || id !== this.#partial.id)) {
      throw new ProtocolError("a header block was interrupted");
    }
    switch (type) {
      case FRAME.data:
        return this.#takeData(header, payload);
      case FRAME.headers:
        return this.#takeBlock(id, header.flags, unpadded(header, payload));
      case FRAME.continuation:
        return this.#takeContinuation(header, payload);
      case FRAME.reset:
        return this.#takeReset(id, numberIn(payload));
      case FRAME.settings:
        return this.#takeSettings(header, payload);
      case FRAME.ping:
        return this.#takePing(header, payload);
      case FRAME.goaway:
        return this.#takeGoaway(payload);
      case FRAME.window:
        return this.#takeWindow(id, numberIn(payload) & MAX_WINDOW);
      case FRAME.push:
        throw new ProtocolError("the peer pushes");
      default:
        // Priorities, and kinds that are not known, are passed over. Source: RFC 9113 5.5
        return;
    }
  }

  /** undefined for a stream that has ended. */
  #streamOf(id: number): Http2Stream | undefined {
    if (id % 2 === 0 || id >= this.#nextId)
      throw new ProtocolError(`the peer speaks of stream ${id}, which is not there`);
    return this.#streams.get(id);
  }

  #takeData(header: FrameHeader, payload: Buffer): void {
    const stream = this.#streamOf(header.id);
    this.#received += payload.length;
    if (this.#received >= CONNECTION_WINDOW_BYTES / 2) {
      this.#send(numberFrame(FRAME.window, 0, this.#received));
      this.#received = 0;
    }
    if (stream === undefined) return;
    const isEnd = (header.flags & FLAG.endStream) !== 0;
    this.#tellData(stream, unpadded(header, payload), isEnd);
    if (!isEnd) this.#grant(stream, payload.length);
  }

  #tellData(stream: Http2Stream, data: Buffer, isEnd: boolean): void {
    if (stream.held !== undefined) {
      stream.held.push(() => this.#tellData(stream, data, isEnd));
      return;
    }
    if (!stream.isClosed && data.length > 0) stream.listener.data(data);
    if (isEnd) this.#ended(stream);
  }

  /** Lets the peer send as much again once half of the stream's window is used. */
  #grant(stream: Http2Stream, bytes: number): void {
    stream.received += bytes;
    if (stream.isClosed || stream.held !== undefined || stream.received < STREAM_WINDOW_BYTES / 2) return;
    this.#send(numberFrame(FRAME.window, stream.id, stream.received));
    stream.received = 0;
  }

  #takeBlock(id: number, flags: number, block: Buffer): void {
    if ((flags & FLAG.endHeaders) === 0) {
      this.#partial = { id, flags, parts: [Buffer.from(block)], bytes: block.length };
      return;
    }
    const stream = this.#streamOf(id);
    const headers = this.#headersOf(block);
    if (stream === undefined) return;
    this.#tellHeaders(stream, headers, (flags & FLAG.endStream) !== 0);
  }

  #tellHeaders(stream: Http2Stream, headers: Headers, isEnd: boolean): void {
    if (stream.held !== undefined) {
      stream.held.push(() => this.#tellHeaders(stream, headers, isEnd));
      return;
    }
    if (!stream.isClosed) stream.listener.headers(headers);
    if (isEnd) this.#ended(stream);
  }

  #takeContinuation({ flags }: FrameHeader, payload: Buffer): void {
    const partial = this.#partial;
    if (partial === undefined) throw new ProtocolError("a header block goes on that had not begun");
    partial.parts.push(Buffer.from(payload));
    partial.bytes += payload.length;
    if (partial.bytes > MAX_HEADER_BYTES) throw new ProtocolError("the peer's headers are too long");
    if ((flags & FLAG.endHeaders) === 0) return;
    this.#partial = undefined;
    this.#takeBlock(partial.id, partial.flags | FLAG.endHeaders, Buffer.concat(partial.parts));
  }

  #headersOf(block: Buffer): Headers {
    const key = block.toString("latin1");
    let headers = this.#knownBlocks.get(key);
    if (headers === undefined) {
      headers = decodeHeaders(block);
      if (this.#knownBlocks.size < MAX_KNOWN_BLOCKS) this.#knownBlocks.set(key, headers);
    }
    return headers;
  }

  /** The peer has said all. What we had still to say to it is of no use to it any more. */
  #ended(stream: Http2Stream): void {
    if (stream.isClosed) return;
    const { id, isLocallyEnded } = stream;
    this.#forget(stream);
    if (!isLocallyEnded) this.#send(numberFrame(FRAME.reset, id, CODE.none));
    stream.listener.end();
  }

  #takeReset(id: number, code: number): void {
    const stream = this.#streamOf(id);
    if (stream === undefined) return;
    this.#forget(stream);
    stream.listener.failed(
      new Http2Error(`the peer reset the stream with code ${code}`, { isUnprocessed: code === CODE.refused }),
    );
  }

  #takeSettings({ flags }: FrameHeader, payload: Buffer): void {
    if ((flags & FLAG.ack) !== 0) return;
    if (payload.length % 6 !== 0) throw new ProtocolError("the peer's settings are cut off", CODE.frameSize);
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      const setting = payload.readUInt16BE(at);
      if (setting === SETTING.maxStreams) this.#maxStreams = value;
      else if (setting === SETTING.maxFrame) this.#maxFrame = value;
      else if (setting === SETTING.initialWindow) {
        if (value > MAX_WINDOW) throw new ProtocolError("the peer's window is too large", CODE.flowControl);
        for (const stream of this.#streams) stream.sendWindow += value - this.#initialWindow;
        this.#initialWindow = value;
      }
    }
    this.#send(frameOf(FRAME.settings, FLAG.ack, 0, NOTHING));
    this.#pumpAll();
    this.#beginWaiting();
  }

  #takePing({ flags }: FrameHeader, payload: Buffer): void {
    if (payload.length !== 8) throw new ProtocolError("a ping is not eight bytes long", CODE.frameSize);
    if ((flags & FLAG.ack) === 0) this.#send(frameOf(FRAME.ping, FLAG.ack, 0, payload));
  }

  #takeGoaway(payload: Buffer): void {
    if (payload.length < 8) throw new ProtocolError("a GOAWAY is cut off", CODE.frameSize);
    const last = payload.readUInt32BE(0) & MAX_WINDOW;
    this.#drain();
    this.#refuse([...this.#streams].filter(({ id }) => id > last));
    if (this.#streams.size === 0) this.#close();
  }

  #refuse(streams: readonly Http2Stream[]): void {
    for (const stream of streams) {
      this.#forget(stream);
      stream.listener.failed(new Http2Error("the peer takes no more requests", { isUnprocessed: true }));
    }
  }

  #takeWindow(id: number, more: number): void {
    if (id === 0) {
      this.#sendWindow += more;
      if (this.#sendWindow > MAX_WINDOW) throw new ProtocolError("the window is too large", CODE.flowControl);
      this.#pumpAll();
      return;
    }
    const stream = this.#streamOf(id);
    if (stream === undefined) return;
    stream.sendWindow += more;
    if (stream.isBlocked) this.#pumpAll();
  }

  #pumpAll(): void {
    if (this.#sendWindow <= 0) return;
    const blocked = this.#blocked;
    this.#blocked = [];
    for (const stream of blocked) {
      stream.isBlocked = false;
      this.#pump(stream);
    }
  }

  #beginWaiting(): void {
    for (const stream of this.#waiting) {
      if (this.#state !== "open" || this.#streams.size >= this.#maxStreams) return;
      this.#waiting.delete(stream);
      this.#begin(stream);
    }
  }

  #forget(stream: Http2Stream): void {
    stream.isClosed = true;
    stream.unsent = [];
    this.#streams.remove(stream);
    this.#waiting.delete(stream);
    if (this.#waiting.size > 0) this.#beginWaiting();
    if (this.#state === "draining" && this.#streams.size === 0) this.#close();
  }

  #drain(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#refuse([...this.#waiting]);
    this.#listener.draining();
  }

  /** Tells the peer what it did wrong, and ends. */
  #fail(error: Error): void {
    if (error instanceof ProtocolError) {
      const payload = Buffer.alloc(8);
      payload.writeUInt32BE(error.code, 4);
      this.#send(frameOf(FRAME.goaway, 0, 0, payload));
      this.#flush();
    }
    this.#close(error);
  }

  #close(error?: Error): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearImmediate(this.#flushing);
    this.#socket.destroy();
    const why = error?.message ?? "it was closed";
    const all = [...this.#streams, ...this.#waiting];
    for (const stream of all) {
      const isUnprocessed = stream.id === 0;
      this.#streams.remove(stream);
      stream.isClosed = true;
      stream.listener.failed(new Http2Error(`the connection was lost: ${why}`, { cause: error, isUnprocessed }));
    }
    this.#waiting.clear();
    this.#blocked = [];
    this.#listener.closed(error);
  }
}

function numberIn(payload: Buffer): number {
  if (payload.length !== 4) throw new ProtocolError("a frame has the wrong size", CODE.frameSize);
  return payload.readUInt32BE(0);
}
