/**
 * One request on its way through the filters to a handler: the raw request and response, what was found out about them,
 * and what the answer must carry. HTTP/1.1 and HTTP/2 look the same from here on.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { Duplex, Readable } from "node:stream";
import type { AuditTrail } from "../audit/auditor.ts";
import type { UserInfo } from "../authn/types.ts";
import type { Http2Request } from "./http2-request.ts";
import type { RequestInfo } from "./request-info.ts";

export type RawRequest = IncomingMessage | Http2Request;
/** Over HTTP/2 the stream itself: only respond.ts knows the difference. */
export type RawResponse = ServerResponse | ServerHttp2Stream;

/** The connection of a request that asked to leave HTTP (`Connection: Upgrade`); only on HTTP/1.1. */
export interface Upgrade {
  readonly socket: Duplex;
  readonly head: Buffer;
}

export interface RequestContextOptions {
  readonly request: RawRequest;
  readonly response: RawResponse;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly info: RequestInfo;
  readonly receivedAtMs: number;
  readonly upgrade?: Upgrade;
}

const NO_ANNOTATIONS: ReadonlyMap<string, string> = new Map();

export class RequestContext {
  readonly request: RawRequest;
  readonly response: RawResponse;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly info: RequestInfo;
  readonly receivedAtMs: number;
  readonly upgrade: Upgrade | undefined;
  /** Set by the request-id filter. */
  auditId = "";
  /** Set by authentication; every later filter and handler may rely on it. */
  user: UserInfo | undefined;
  /** Sent as `Warning: 299 - "..."` headers. */
  readonly warnings: string[] = [];
  /** What is recorded of this request; undefined when nothing is. */
  audit: AuditTrail | undefined;
  /** Headers that every answer to this request has. */
  extraHeaders: Readonly<Record<string, string>> | undefined;
  /** Called when a watch has sent its beginning; set by flow control. */
  onWatchInitialized: (() => void) | undefined;
  /** The code answered, 0 before; upgrades that succeed say 101. */
  statusCode = 0;
  /** Whether this request may run on for ever: watch, log -f, exec, proxy. Set by the deadline filter. */
  longRunning = false;
  /** Set by the errors filter: the handler failed by a bug of ours. */
  panicked = false;
  /** Set by dispatch: the resource exists, so its name may be a metric label. */
  resourceKnown = false;
  #auditAnnotations: Map<string, string> | undefined;
  #abort: AbortController | undefined;

  constructor(options: RequestContextOptions) {
    this.request = options.request;
    this.response = options.response;
    this.path = options.path;
    this.query = options.query;
    this.info = options.info;
    this.receivedAtMs = options.receivedAtMs;
    this.upgrade = options.upgrade;
  }

  /** Key-value pairs for the audit event. */
  get auditAnnotations(): ReadonlyMap<string, string> {
    return this.#auditAnnotations ?? NO_ANNOTATIONS;
  }

  /** Adds one of them, if somebody is going to read it. */
  annotate(key: string, value: string): void {
    if (this.audit === undefined) return;
    this.#auditAnnotations ??= new Map();
    this.#auditAnnotations.set(key, value);
  }

  get method(): string {
    return this.request.method ?? "GET";
  }

  /** The request's body. */
  get body(): Readable {
    return "stream" in this.request ? this.request.stream : this.request;
  }

  /** A request header; repeated headers joined by commas. */
  header(name: string): string {
    const value = this.request.headers[name];
    return typeof value === "string" ? value : (value?.join(", ") ?? "");
  }

  /** Aborts when the client is gone, the deadline passed or the server stops. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const controller = new AbortController();
      this.#abort = controller;
      const closed = () => controller.abort(new DOMException("the client went away", "AbortError"));
      const { response } = this;
      // An answer that was sent to its end is closed, too, and nobody has to hear of it.
      if (this.upgrade === undefined) response.once("close", () => void (response.writableFinished || closed()));
      else this.upgrade.socket.once("close", closed);
    }
    return this.#abort.signal;
  }

  /** Makes `signal` abort with `reason`. */
  abort(reason: unknown): void {
    this.signal;
    this.#abort?.abort(reason);
  }
}
