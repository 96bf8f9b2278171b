/**
 * HTTP to one API server: keep-alive connections, deadlines, rotated credentials, retries that the server asks for.
 *
 * HTTP/1.1 on purpose: Node's HTTP/1.1 does more requests per second for less memory than its HTTP/2, one slow watch can't
 * hold up another stream, and no GOAWAY has to be survived. A dead peer is found by TCP keep-alive (30 s idle, then ten
 * probes a second apart); a peer that is connected but silent, by the deadlines of requests and the watch's guard.
 */
import type { IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Clock } from "@knarr/daemon/clock.ts";
import { Agent as HttpAgent, request as httpRequest } from "@knarr/daemon/node-http.ts";
import { ConnectionError } from "./connection-error.ts";
import { responseError } from "./response-error.ts";
import type { RestConfig, TlsCredentials } from "./rest-config.ts";
import { type RateLimit, TokenBucket } from "./token-bucket.ts";

export interface RawRequest {
  readonly method: string;
  /** Absolute path below the server, already percent-encoded: "/api/v1/pods". */
  readonly path: string;
  readonly query?: Query | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Buffer | string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Deadline for the whole answer (for a stream: for its headers). */
  readonly timeoutMs?: number | undefined;
}
/** Undefined values are left out. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Requests queue for one of these; streams have connections of their own. */
const MAX_REQUEST_SOCKETS = 64;
const TCP_KEEP_ALIVE_MS = 30_000;
/** Go clients keep idle connections for 90 s; so do we. */
const IDLE_SOCKET_MS = 90_000;
const MAX_RETRIES = 10;
const DEFAULT_TIMEOUT_MS = 60_000;

interface Agents {
  readonly requests: HttpAgent;
  readonly streams: HttpAgent;
}

export class Transport {
  readonly config: RestConfig;
  readonly #base: URL;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #beforeWrite: (() => void) | undefined;
  readonly #onWarning: ((text: string) => void) | undefined;
  readonly #bucket: TokenBucket | undefined;
  #agents: Agents | undefined;
  #credentials: TlsCredentials | undefined;

  constructor(
    config: RestConfig,
    options: {
      readonly clock: Clock;
      readonly userAgent: string;
      readonly beforeWrite?: (() => void) | undefined;
      readonly onWarning?: ((text: string) => void) | undefined;
      readonly rateLimit?: RateLimit | undefined;
    },
  ) {
    this.config = config;
    this.#base = new URL(config.server);
    if (this.#base.protocol !== "https:" && this.#base.protocol !== "http:") {
      throw new TypeError(`server ${config.server} must be an http or https URL`);
    }
    this.#clock = options.clock;
    this.#userAgent = options.userAgent;
    this.#beforeWrite = options.beforeWrite;
    this.#onWarning = options.onWarning;
    this.#bucket = options.rateLimit && new TokenBucket(options.rateLimit, options.clock);
  }

  /** The path and query that go into the request line. */
  target(request: { readonly path: string; readonly query?: Query | undefined }): string {
    const prefix = this.#base.pathname.replace(/\/$/, "");
    return `${prefix}${request.path}${queryText(request.query)}`;
  }

  /** The whole answer. Throws StatusError for 400 and above, ConnectionError, or the signal's reason. */
  async request(request: RawRequest): Promise<{ status: number; headers: IncomingMessage["headers"]; body: Buffer }> {
    const deadlineMs = this.#clock.monotonicMs() + (request.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const response = await this.#attempts(request, deadlineMs, false);
    const body = await this.#body(response, request, deadlineMs);
    return { status: response.statusCode ?? 0, headers: response.headers, body };
  }

  /** The answer's headers, its body still to be read; the signal keeps aborting the body. Errors as `request`. */
  async stream(request: RawRequest): Promise<IncomingMessage> {
    const deadlineMs = this.#clock.monotonicMs() + (request.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    return this.#attempts(request, deadlineMs, true);
  }

  /** What an own connection (a WebSocket) needs to be us. */
  async connectOptions(): Promise<{ url: URL; headers: Record<string, string | string[]>; tls: TlsCredentials }> {
    return { url: this.#base, headers: await this.#headers({}), tls: await this.#tls() };
  }

  /** Closes idle connections and lets no new request reuse one that is in doubt. */
  dropIdleConnections(): void {
    if (this.#agents === undefined) return;
    for (const sockets of Object.values(this.#agents.requests.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  }

  /** Ends every connection, in use or not. */
  close(): void {
    this.#agents?.requests.destroy();
    this.#agents?.streams.destroy();
    this.#agents = undefined;
  }

  /** Tries until there is an answer below 400, or one that must not be tried again. */
  async #attempts(request: RawRequest, deadlineMs: number, stream: boolean): Promise<IncomingMessage> {
    let refreshed = false;
    for (let attempt = 0; ; attempt++) {
      const response = await this.#once(request, deadlineMs, stream);
      const status = response.statusCode ?? 0;
      if (this.#onWarning !== undefined) for (const text of warningsOf(response)) this.#onWarning(text);
      if (status < 400) return response;
      const body = await this.#body(response, request, deadlineMs);
      const error = responseError(status, body, `${request.method} ${request.path}`);
      if (status === 401 && !refreshed && this.config.refreshToken !== undefined) {
        this.config.refreshToken();
        refreshed = true;
        continue;
      }
      const waitMs = retryAfterMs(status, response.headers["retry-after"]);
      if (waitMs === undefined || attempt >= MAX_RETRIES) throw error;
      if (this.#clock.monotonicMs() + waitMs >= deadlineMs) throw error;
      await this.#clock.sleep(waitMs, request.signal);
    }
  }

  /** One exchange; a GET that hit a connection which the server was just closing is sent once more. */
  async #once(request: RawRequest, deadlineMs: number, stream: boolean): Promise<IncomingMessage> {
    if (this.#bucket !== undefined) await this.#bucket.take(request.signal);
    const headers = await this.#headers(request.headers ?? {});
    const agents = await this.#currentAgents();
    const isRead = request.method === "GET" || request.method === "HEAD";
    for (let resend = 0; ; resend++) {
      if (!isRead) this.#beforeWrite?.();
      try {
        return await this.#send(request, { headers, agents, deadlineMs, stream });
      } catch (error) {
        const stale = error instanceof StaleSocketError && isRead;
        if (stale && resend < 3) continue;
        throw error instanceof StaleSocketError ? error.error : error;
      }
    }
  }

  #send(request: RawRequest, how: Exchange): Promise<IncomingMessage> {
    const { signal, body } = request;
    const what = `${request.method} ${this.#base.origin}${request.path}`;
    const secure = this.#base.protocol === "https:";
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const outgoing = (secure ? httpsRequest : httpRequest)({
        host: this.#base.hostname.replace(/^\[|\]$/g, ""),
        port: this.#base.port === "" ? (secure ? 443 : 80) : Number(this.#base.port),
        method: request.method,
        path: this.target(request),
        agent: how.stream ? how.agents.streams : how.agents.requests,
        headers: { ...how.headers, ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }) },
      });
      const cancelTimer = this.#clock.setTimeout(() => {
        this.dropIdleConnections();
        outgoing.destroy(new ConnectionError(`${what}: no answer in time`, { code: "ETIMEDOUT" }));
      }, how.deadlineMs - this.#clock.monotonicMs());
      const onAbort = () => outgoing.destroy();
      const settle = () => {
        cancelTimer();
        signal?.removeEventListener("abort", onAbort);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      outgoing.once("socket", (socket) => socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS));
      outgoing.once("response", (response) => {
        settle();
        abortBody(response, signal);
        resolve(response);
      });
      outgoing.once("error", (error) => {
        settle();
        if (signal?.aborted === true) return reject(signal.reason);
        if (error instanceof ConnectionError) return reject(error);
        const failure = new ConnectionError(`${what}: ${error.message}`, { cause: error });
        const stale = outgoing.reusedSocket && (failure.code === "ECONNRESET" || failure.code === "EPIPE");
        reject(stale ? new StaleSocketError(failure) : failure);
      });
      outgoing.end(body);
    });
  }

  /** Reads a body to its end within the deadline. */
  #body(response: IncomingMessage, request: RawRequest, deadlineMs: number): Promise<Buffer> {
    const what = `${request.method} ${this.#base.origin}${request.path}`;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const cancelTimer = this.#clock.setTimeout(() => {
        response.destroy(new ConnectionError(`${what}: the answer did not end in time`, { code: "ETIMEDOUT" }));
      }, deadlineMs - this.#clock.monotonicMs());
      const fail = (error: Error) => {
        cancelTimer();
        if (request.signal?.aborted === true) return reject(request.signal.reason);
        reject(error instanceof ConnectionError ? error : new ConnectionError(`${what}: cut off`, { cause: error }));
      };
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () => {
        cancelTimer();
        resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
      });
      response.once("error", fail);
      response.once("close", () => {
        if (!response.complete) fail(new Error("closed"));
      });
    });
  }

  async #headers(own: Readonly<Record<string, string>>): Promise<Record<string, string | string[]>> {
    const { token, username, password, impersonate } = this.config;
    const headers: Record<string, string | string[]> = { accept: "application/json", "user-agent": this.#userAgent };
    const bearer = typeof token === "function" ? await token() : token;
    if (bearer !== undefined && bearer !== "") headers.authorization = `Bearer ${bearer}`;
    else if (username !== undefined) {
      headers.authorization = `Basic ${Buffer.from(`${username}:${password ?? ""}`).toString("base64")}`;
    }
    if (impersonate !== undefined) {
      headers["impersonate-user"] = impersonate.user;
      if (impersonate.groups !== undefined) headers["impersonate-group"] = [...impersonate.groups];
      if (impersonate.uid !== undefined) headers["impersonate-uid"] = impersonate.uid;
      for (const [key, values] of Object.entries(impersonate.extra ?? {})) {
        headers[`impersonate-extra-${encodeURIComponent(key).toLowerCase()}`] = [...values];
      }
    }
    return Object.assign(headers, own);
  }

  async #tls(): Promise<TlsCredentials> {
    return this.config.credentials === undefined ? this.config : this.config.credentials();
  }

  /** The agents for the current credentials. After a rotation, streams of the old ones go on until they end. */
  async #currentAgents(): Promise<Agents> {
    const credentials = await this.#tls();
    if (this.#agents !== undefined && credentials === this.#credentials) return this.#agents;
    this.dropIdleConnections();
    const { tlsServerName, insecureSkipTlsVerify } = this.config;
    const common = {
      keepAlive: true,
      keepAliveMsecs: TCP_KEEP_ALIVE_MS,
      timeout: IDLE_SOCKET_MS,
      scheduling: "lifo",
    } as const;
    const tls = {
      ...(credentials.ca === undefined ? {} : { ca: credentials.ca }),
      ...(credentials.cert === undefined ? {} : { cert: credentials.cert }),
      ...(credentials.key === undefined ? {} : { key: credentials.key }),
      ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
      rejectUnauthorized: insecureSkipTlsVerify !== true,
    };
    const make = (options: { keepAlive: boolean; maxSockets: number }) =>
      this.#base.protocol === "https:"
        ? new HttpsAgent({ ...common, ...tls, ...options })
        : new HttpAgent({ ...common, ...options });
    this.#agents = {
      requests: make({ keepAlive: true, maxSockets: MAX_REQUEST_SOCKETS }),
      streams: make({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY }),
    };
    this.#credentials = credentials;
    return this.#agents;
  }
}

interface Exchange {
  readonly headers: Record<string, string | string[]>;
  readonly agents: Agents;
  /** On the clock's monotonic scale. */
  readonly deadlineMs: number;
  readonly stream: boolean;
}

/** The server had closed the kept-alive connection before it read the request. */
class StaleSocketError extends Error {
  readonly error: ConnectionError;
  constructor(error: ConnectionError) {
    super(error.message);
    this.error = error;
  }
}

/** Lets the signal end the body too, for as long as the body flows. */
function abortBody(response: IncomingMessage, signal: AbortSignal | undefined): void {
  // Whoever reads the body sees its error; one that nobody reads any more must not end the process.
  response.on("error", () => {});
  if (signal === undefined) return;
  const onAbort = () => void response.destroy(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  response.once("close", () => signal.removeEventListener("abort", onAbort));
}

function queryText(query: Query | undefined): string {
  if (query === undefined) return "";
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) params.append(name, String(one));
  }
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

/** How long the server asks to wait before the same request is welcome; undefined when it must not be repeated. */
function retryAfterMs(status: number, header: string | undefined): number | undefined {
  // Source: client-go rest/with_retry.go: 429 and 5xx, and only with a Retry-After of whole seconds.
  if ((status !== 429 && status < 500) || header === undefined || !/^\d+$/.test(header)) return undefined;
  return Number(header) * 1000;
}

/** The texts of `Warning: 299 - "..."` headers. Source: RFC 7234 5.5, KEP-1693. */
function warningsOf(response: IncomingMessage): string[] {
  const headers = response.headersDistinct.warning ?? [];
  return headers.flatMap((header) =>
    [...header.matchAll(/299 \S+ "((?:\\.|[^"\\])*)"/g)].map(([, text = ""]) => text.replace(/\\(.)/g, "$1")),
  );
}
