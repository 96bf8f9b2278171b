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
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectTcp, isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import { Bag } from "@knarr/daemon/bag.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { StorageError } from "../storage-error.ts";
import { MessageReader } from "./message-reader.ts";
import { errorOfStatus, storageErrorOf } from "./status.ts";

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
/** Large answers should not wait for window updates. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const SESSION_WINDOW_BYTES = 32 * 1024 * 1024;
/** In MiB; what arrives and was not read yet. Node's default of 10 resets streams in the middle of long lists. */
const SESSION_MEMORY_MIB = 1_024;

interface PendingCall {
  readonly dueMs: number;
  readonly stream: ClientHttp2Stream;
  fail(error: StorageError): void;
}

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
  readonly #session: ClientHttp2Session;
  readonly #authority: string;
  readonly #calls = new Bag<PendingCall>();
  readonly #scheme: string;
  /** Takes no new calls. */
  #isLost = false;
  #isDead = false;
  #heardMs = 0;
  #pingedMs: number | undefined;
  #cancelTick: (() => void) | undefined;

  private constructor(options: LinkOptions, session: ClientHttp2Session) {
    this.#options = options;
    this.#session = session;
    const url = new URL(options.endpoint);
    this.#authority = url.host;
    this.#scheme = url.protocol.slice(0, -1);
  }

  /** Throws StorageError "unreachable". */
  static async dial(options: LinkOptions): Promise<GrpcLink> {
    const session = openSession(options);
    const link = new GrpcLink(options, session);
    const failed = new Promise<never>((_, reject) => {
      session.once("error", reject);
      session.once("close", () => reject(new Error("the connection was closed")));
    });
    const connected = new Promise<void>((resolve) => void session.once("connect", () => resolve()));
    const cancelTimeout = options.clock.setTimeout(
      () => session.destroy(new Error("no connection in time")),
      DIAL_TIMEOUT_MS,
    );
    try {
      await Promise.race([connected, failed]);
      link.#follow();
    } catch (error) {
      session.destroy();
      session.on("error", ignoreAfterLoss);
      throw new StorageError("unreachable", `cannot connect to ${options.endpoint}`, { cause: error });
    } finally {
      cancelTimeout();
      failed.catch(ignoreAfterLoss);
    }
    return link;
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** One request and its one answer, without their gRPC headers. Throws StorageError. */
  unary(path: string, request: Buffer, timeoutMs: number, signal: AbortSignal | undefined): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      const stream = this.#open(path);
      let message: Buffer | undefined;
      let failure: StorageError | undefined;
      const reader = new MessageReader((one) => {
        message = one;
      });
      const settle = () => {
        if (!this.#calls.remove(slot)) return;
        signal?.removeEventListener("abort", onAbort);
        if (failure === undefined && message !== undefined) resolve(message);
        else reject(failure ?? new StorageError("unavailable", "etcd ended a call without an answer"));
      };
      const call: PendingCall = {
        dueMs: this.#options.clock.monotonicMs() + timeoutMs,
        stream,
        fail: (error) => {
          failure = error;
          settle();
          stream.on("error", ignoreAfterLoss);
          stream.close(constants.NGHTTP2_CANCEL);
        },
      };
      const onAbort = () => {
        call.fail(new StorageError("canceled", "the request was given up", { cause: signal?.reason }));
      };
      const slot = this.#calls.add(call);
      this.#keepTicking();
      signal?.addEventListener("abort", onAbort, { once: true });
      let hasStatus = false;
      const onHeaders = (headers: Record<string, unknown>) => {
        this.#heardMs = this.#options.clock.monotonicMs();
        if (headers["grpc-status"] === undefined) return;
        hasStatus = true;
        failure ??= errorOfStatus(headers);
      };
      stream.on("response", onHeaders);
      stream.on("trailers", onHeaders);
      stream.on("data", (chunk: Buffer) => {
        this.#heardMs = this.#options.clock.monotonicMs();
        reader.push(chunk);
      });
      stream.on("error", (error) => {
        failure ??= this.#errorOf(error, stream);
      });
      stream.on("end", () => {
        if (hasStatus) settle();
      });
      stream.on("close", settle);
      stream.end(request);
    });
  }

  /** Opens a stream; errors arrive at `handlers.ended`. */
  stream(path: string, handlers: StreamHandlers): GrpcStream {
    const stream = this.#open(path);
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
    const onHeaders = (headers: Record<string, unknown>) => {
      failure ??= errorOfStatus(headers);
    };
    stream.on("response", onHeaders);
    stream.on("trailers", onHeaders);
    stream.on("data", (chunk: Buffer) => {
      this.#heardMs = this.#options.clock.monotonicMs();
      reader.push(chunk);
    });
    stream.on("error", (error) => {
      failure ??= this.#errorOf(error, stream);
    });
    stream.on("end", end);
    stream.on("close", end);
    return {
      write: (message) => void (stream.writable && stream.write(message)),
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
      cancel: () => {
        if (isOver) return;
        isOver = true;
        stream.close(constants.NGHTTP2_CANCEL);
      },
    };
  }

  /** Ends the link and everything on it. Idempotent. */
  close(): void {
    this.#lose(new StorageError("unavailable", "the connection to etcd was closed"));
  }

  #open(path: string): ClientHttp2Stream {
    if (this.#isLost) throw new StorageError("unreachable", "the connection to etcd is gone");
    try {
      // Names and values in turn are cheaper for Node.js than an object. A member without a leader says so at once.
      const headers = [
        ...[":method", "POST", ":scheme", this.#scheme, ":path", path, ":authority", this.#authority],
        ...["content-type", "application/grpc", "te", "trailers", "hasleader", "true"],
      ];
      return this.#session.request(headers as never, { endStream: false });
    } catch (error) {
      // The session ends or is full of GOAWAY: nothing was sent.
      throw new StorageError("unreachable", "the connection to etcd takes no requests", { cause: error });
    }
  }

  /** A stream that the server refused was not looked at; with any other error it may have been. */
  #errorOf(error: unknown, stream: ClientHttp2Stream): StorageError {
    if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
      return new StorageError("unreachable", "etcd refused the request", { cause: error });
    }
    return storageErrorOf(error);
  }

  /** Throws when the session ended between its connecting and now; then nobody follows it. */
  #follow(): void {
    this.#session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    const lost = (error?: unknown) => {
      this.#lose(new StorageError("unavailable", "the connection to etcd was lost", { cause: error }));
    };
    this.#session.on("error", lost);
    this.#session.on("close", () => lost());
    // What was sent before is still answered; the owner dials anew for the rest.
    this.#session.on("goaway", () => this.#retire());
  }

  #retire(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#options.onLost();
  }

  #lose(error: StorageError): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#cancelTick?.();
    for (const call of this.#calls) call.fail(error);
    this.#session.on("error", ignoreAfterLoss);
    this.#session.destroy();
    this.#retire();
  }

  /** While calls wait: their deadlines, and whether the link lives. Streams see to their own silence. */
  #keepTicking(): void {
    if (this.#cancelTick !== undefined) return;
    this.#heardMs = this.#options.clock.monotonicMs();
    this.#pingedMs = undefined;
    const tick = () => {
      this.#cancelTick = undefined;
      if (this.#calls.size === 0 || this.#isDead) return;
      this.#cancelTick = this.#options.clock.setTimeout(tick, TICK_MS);
      this.#look(this.#options.clock.monotonicMs());
    };
    this.#cancelTick = this.#options.clock.setTimeout(tick, TICK_MS);
  }

  #look(nowMs: number): void {
    for (const call of this.#calls) {
      if (call.dueMs > nowMs) continue;
      call.fail(new StorageError("timeout", "etcd did not answer in time"));
    }
    // One that ended and has not told yet can't be asked: its "close" is on its way.
    if (nowMs - this.#heardMs < SILENCE_MS || this.#session.destroyed) return;
    if (this.#pingedMs === undefined) {
      this.#pingedMs = nowMs;
      this.#session.ping(() => {
        this.#pingedMs = undefined;
        this.#heardMs = this.#options.clock.monotonicMs();
      });
    } else if (nowMs - this.#pingedMs >= PING_TIMEOUT_MS) {
      this.#lose(new StorageError("unavailable", "the connection to etcd is dead"));
    }
  }
}

/** The session was given up; what it says now is no news, but unheard it would crash the process. */
function ignoreAfterLoss(): void {}

function openSession({ endpoint, tls }: LinkOptions): ClientHttp2Session {
  const url = new URL(endpoint);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const session = connect(url, {
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
    maxSessionMemory: SESSION_MEMORY_MIB,
    createConnection: () => {
      if (url.protocol !== "https:") return connectTcp({ host, port, noDelay: true, keepAlive: true });
      return connectTls({
        ...{ host, port, ALPNProtocols: ["h2"] },
        // Addresses are no server names (RFC 6066 3); the certificate is checked against the host either way.
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(tls === undefined ? {} : tls),
      }).setNoDelay(true);
    },
  });
  return session;
}
