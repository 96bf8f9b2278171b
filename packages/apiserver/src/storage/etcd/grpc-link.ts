/**
 * gRPC over one HTTP/2 connection to one etcd member: unary calls with a deadline, and streams.
 *
 *   dial --connected--> open --GOAWAY--> lost (no new calls) --> dead
 *                         open --silence, reset, close()--> dead (every call under way ends "unavailable")
 *
 * It knows no endpoints and never retries: what a lost link means is its owner's matter (etcd-connection.ts). A call that was not sent at
 * all ends "unreachable", so that nobody need wonder whether it happened.
 * Source: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Bag } from "@knarr/daemon/bag.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { StorageError } from "../storage-error.ts";
import { encodeHeaders, type Headers } from "./hpack.ts";
import { Http2Connection, type Http2Error, type StreamListener } from "./http2-connection.ts";
import { MessageReader } from "./message-reader.ts";
import { errorOfStatus } from "./status.ts";

export interface EtcdTls {
  readonly ca: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export interface LinkOptions {
  /** "https://127.0.0.1:2379" */
  readonly endpoint: string;
  readonly tls: EtcdTls | undefined;
  readonly clock: Clock;
  /** Called once, when the link is of no more use. */
  readonly onLost: () => void;
}

const DIAL_TIMEOUT_MS = 2_000;
/** Calls wait, nothing is heard: after so long the link is asked whether it lives, and given up after PING_TIMEOUT_MS more. */
const SILENCE_MS = 2_000;
const PING_TIMEOUT_MS = 2_000;
const TICK_MS = 500;
const GRPC_HEADER_BYTES = 5;

export interface StreamHandlers {
  message(message: Buffer): void;
  /** Called once, however the stream ends, unless `cancel` did it. */
  ended(error: StorageError): void;
}

/** A bidirectional call. */
export interface GrpcStream {
  write(message: Buffer): void;
  pause(): void;
  resume(): void;
  cancel(): void;
}

export class GrpcLink {
  readonly #options: LinkOptions;
  readonly #connection: Http2Connection;
  readonly #host: string;
  readonly #scheme: string;
  /** Ready header blocks, by path. */
  readonly #blocks = new Map<string, Buffer>();
  readonly #calls = new Bag<UnaryCall>();
  /** Takes no new calls. */
  #isLost = false;
  /** What was known of the peer at the last look. */
  #heard = { chunks: 0, atMs: 0 };
  #pingedMs: number | undefined;
  #cancelTick: (() => void) | undefined;

  private constructor(options: LinkOptions, socket: Socket) {
    this.#options = options;
    const url = new URL(options.endpoint);
    this.#host = url.host;
    this.#scheme = url.protocol.slice(0, -1);
    this.#connection = new Http2Connection(socket, {
      // What was sent before is still answered; the owner dials anew for the rest.
      draining: () => this.#retire(),
      closed: () => {
        this.#cancelTick?.();
        this.#retire();
      },
    });
  }

  /** Throws StorageError "unreachable". */
  static async dial(options: LinkOptions): Promise<GrpcLink> {
    const { endpoint, clock } = options;
    const socket = openSocket(options);
    const connected = new Promise<void>((resolve, reject) => {
      socket.once(endpoint.startsWith("https:") ? "secureConnect" : "connect", () => resolve());
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the connection was closed")));
    });
    const cancelTimeout = clock.setTimeout(() => socket.destroy(new Error("no connection in time")), DIAL_TIMEOUT_MS);
    try {
      await connected;
      if (socket.destroyed) throw new Error("the connection was closed");
    } catch (error) {
      socket.destroy();
      socket.on("error", ignoreAfterLoss);
      throw new StorageError("unreachable", `cannot connect to ${endpoint}`, { cause: error });
    } finally {
      cancelTimeout();
    }
    return new GrpcLink(options, socket);
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** One request and its one answer, without their gRPC headers. Throws StorageError. */
  unary(path: string, request: Buffer, timeoutMs: number, signal: AbortSignal | undefined): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      this.#checkOpen();
      const call = new UnaryCall({
        ...{ resolve, reject, signal },
        dueMs: this.#options.clock.monotonicMs() + timeoutMs,
        settled: () => void this.#calls.remove(slot),
        cancel: () => this.#connection.cancel(stream),
      });
      const stream = this.#connection.request(this.#blockOf(path), request, true, call);
      const slot = this.#calls.add(call);
      if (this.#cancelTick === undefined) this.#startTicking();
    });
  }

  /** Opens a stream; errors arrive at `handlers.ended`. */
  stream(path: string, handlers: StreamHandlers): GrpcStream {
    this.#checkOpen();
    let isOver = false;
    let failure: StorageError | undefined;
    const end = () => {
      if (isOver) return;
      isOver = true;
      handlers.ended(failure ?? new StorageError("unavailable", "etcd ended the stream"));
    };
    const reader = new MessageReader((message) => {
      if (!isOver) handlers.message(message);
    });
    const connection = this.#connection;
    const stream = connection.request(this.#blockOf(path), undefined, false, {
      headers: (headers) => {
        failure ??= errorOfStatus(headers);
      },
      data: (chunk) => reader.push(chunk),
      end,
      failed: (error) => {
        failure ??= errorOfStream(error);
        end();
      },
    });
    return {
      write: (message) => connection.write(stream, message),
      pause: () => connection.pause(stream),
      resume: () => connection.resume(stream),
      cancel: () => {
        isOver = true;
        connection.cancel(stream);
      },
    };
  }

  /** Ends the link and everything on it. Idempotent. */
  close(): void {
    this.#connection.destroy();
  }

  #checkOpen(): void {
    if (this.#isLost) throw new StorageError("unreachable", "the connection to etcd is gone");
  }

  #blockOf(path: string): Buffer {
    let block = this.#blocks.get(path);
    if (block === undefined) {
      block = encodeHeaders([
        [":method", "POST"],
        [":scheme", this.#scheme],
        [":path", path],
        [":authority", this.#host],
        ["content-type", "application/grpc"],
        ["te", "trailers"],
        // A member without a leader says so at once.
        ["hasleader", "true"],
      ]);
      this.#blocks.set(path, block);
    }
    return block;
  }

  #retire(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#options.onLost();
  }

  /** While calls wait: their deadlines, and whether the link lives. Streams see to their own silence. */
  #startTicking(): void {
    this.#heard = { chunks: this.#connection.chunksHeard, atMs: this.#options.clock.monotonicMs() };
    this.#pingedMs = undefined;
    const tick = () => {
      this.#cancelTick = undefined;
      if (this.#calls.size === 0) return;
      this.#cancelTick = this.#options.clock.setTimeout(tick, TICK_MS);
      this.#look(this.#options.clock.monotonicMs());
    };
    this.#cancelTick = this.#options.clock.setTimeout(tick, TICK_MS);
  }

  #look(nowMs: number): void {
    for (const call of this.#calls) {
      if (call.dueMs <= nowMs) call.giveUp(new StorageError("timeout", "etcd did not answer in time"));
    }
    const chunks = this.#connection.chunksHeard;
    if (chunks !== this.#heard.chunks) {
      this.#heard = { chunks, atMs: nowMs };
      this.#pingedMs = undefined;
    }
    if (nowMs - this.#heard.atMs < SILENCE_MS) return;
    if (this.#pingedMs === undefined) {
      this.#pingedMs = nowMs;
      // Its answer is something heard.
      this.#connection.ping();
    } else if (nowMs - this.#pingedMs >= PING_TIMEOUT_MS) {
      this.#connection.destroy(new Error("the connection to etcd is dead"));
    }
  }
}

interface UnaryOptions {
  readonly resolve: (message: Buffer) => void;
  readonly reject: (error: StorageError) => void;
  readonly signal: AbortSignal | undefined;
  readonly dueMs: number;
  readonly settled: () => void;
  readonly cancel: () => void;
}

/** A call that waits for its answer. */
class UnaryCall implements StreamListener {
  readonly dueMs: number;
  readonly #options: UnaryOptions;
  readonly #onAbort: (() => void) | undefined;
  #message: Buffer | undefined;
  #reader: MessageReader | undefined;
  #failure: StorageError | undefined;
  #hasStatus = false;

  constructor(options: UnaryOptions) {
    this.#options = options;
    this.dueMs = options.dueMs;
    const { signal } = options;
    if (signal === undefined) return;
    this.#onAbort = () => {
      this.giveUp(new StorageError("canceled", "the request was given up", { cause: signal.reason }));
    };
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  headers(headers: Headers): void {
    if (headers["grpc-status"] !== undefined) this.#hasStatus = true;
    this.#failure ??= errorOfStatus(headers);
  }

  data(chunk: Buffer): void {
    // Nearly every answer is one frame.
    if (this.#reader === undefined && this.#message === undefined && isWholeMessage(chunk)) {
      this.#message = chunk.subarray(GRPC_HEADER_BYTES);
      return;
    }
    this.#reader ??= new MessageReader((message) => {
      this.#message = message;
    });
    this.#reader.push(chunk);
  }

  end(): void {
    if (!this.#hasStatus) this.#failure ??= new StorageError("unavailable", "etcd ended a call without a status");
    this.#settle();
  }

  failed(error: Http2Error): void {
    // Told before it was cut off: that counts.
    if (!this.#hasStatus) this.#failure ??= errorOfStream(error);
    this.#settle();
  }

  /** Ends the call, at etcd too. */
  giveUp(error: StorageError): void {
    this.#failure = error;
    this.#settle();
    this.#options.cancel();
  }

  #settle(): void {
    const { resolve, reject, signal, settled } = this.#options;
    settled();
    if (this.#onAbort !== undefined) signal?.removeEventListener("abort", this.#onAbort);
    if (this.#failure === undefined && this.#message !== undefined) resolve(this.#message);
    else reject(this.#failure ?? new StorageError("unavailable", "etcd ended a call without an answer"));
  }
}

/** Uncompressed, and nothing before or behind it. */
function isWholeMessage(chunk: Buffer): boolean {
  return (
    chunk.length >= GRPC_HEADER_BYTES && chunk[0] === 0 && chunk.readUInt32BE(1) === chunk.length - GRPC_HEADER_BYTES
  );
}

/** A stream that the server refused was not looked at; with any other error it may have been. */
function errorOfStream(error: Http2Error): StorageError {
  if (error.isUnprocessed) return new StorageError("unreachable", "etcd did not take the request", { cause: error });
  return new StorageError("unavailable", `the connection to etcd failed: ${error.message}`, { cause: error });
}

/** The connection was given up; what it says now is no news, but unheard it would crash the process. */
function ignoreAfterLoss(): void {}

function openSocket({ endpoint, tls }: LinkOptions): Socket {
  const url = new URL(endpoint);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  if (url.protocol !== "https:") return connectTcp({ host, port, noDelay: true, keepAlive: true });
  return connectTls({
    ...{ host, port, ALPNProtocols: ["h2"] },
    // Addresses are no server names (RFC 6066 3); the certificate is checked against the host either way.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(tls === undefined ? {} : tls),
  }).setNoDelay(true);
}
