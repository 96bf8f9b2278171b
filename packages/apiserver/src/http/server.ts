/**
 * The HTTPS front: TLS 1.2/1.3 with client certificates asked for, HTTP/2 with HTTP/1.1 beside it, every request handed
 * to one handler as a RequestContext. Owns sockets and sessions, and nothing of the API.
 *
 * Stopping: no new connections, GOAWAY on HTTP/2, running requests get a grace period, then sockets are cut.
 */
import type { IncomingMessage } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, type SecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { ServerResponse } from "@knarr/daemon/node-http.ts";
import type { TlsMaterial } from "@knarr/daemon/tls-files.ts";
import { Http2Request } from "./http2-request.ts";
import { type RawRequest, type RawResponse, RequestContext, type Upgrade } from "./request-context.ts";
import { parseRequestInfo } from "./request-info.ts";
import { DEFAULT_TLS, findSniCertificate, type SniCertificate, type TlsSettings } from "./tls-settings.ts";

/** Go clients keep idle connections for 90 s; closing sooner resets their next write. */
const IDLE_TIMEOUT_MS = 120_000;
/** Source: k8s.io/apiserver secure_serving.go, MaxConcurrentStreams. */
const MAX_CONCURRENT_STREAMS = 250;
const MAX_HEADER_BYTES = 128 * 1024;
/** TLS handshakes and request heads that take longer are cut. Source: k8s.io/apiserver secure_serving.go, ReadHeaderTimeout. */
const HEAD_TIMEOUT_MS = 32_000;
/** Upload window per stream: a 3 MB body should not wait for window updates every 64 KiB. */
const STREAM_WINDOW_BYTES = 1024 * 1024;
/**
 * What Node.js lets a connection hold before it refuses further streams, ENHANCE_YOUR_CALM, which Go's clients take for a failure. Its own
 * 10 MB are less than the chunks of forty lists that a slow client has asked for at once. Each stream holds a chunk of a list or an event
 * at most, and how many requests run is limited elsewhere.
 */
const SESSION_MEGABYTES = 512;

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsMaterial;
  /** CA bundles that client certificates may chain to; a certificate of none of them is still accepted and left to authentication. */
  readonly clientCas: readonly Buffer[];
  /** Versions and suites; TLS 1.2 and 1.3 with forward secrecy when absent. */
  readonly tlsSettings?: TlsSettings;
  readonly sniCertificates?: readonly SniCertificate[];
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a handshake, and a request's head, may take; 32 s when absent. */
  readonly headTimeoutMs?: number;
  /** Answers a request; must not reject. */
  readonly handle: (context: RequestContext) => Promise<void>;
}

const CLIENT_ERRORS: ReadonlyMap<string, string> = new Map([
  ["HPE_HEADER_OVERFLOW", "431 Request Header Fields Too Large"],
  ["ERR_HTTP_REQUEST_TIMEOUT", "408 Request Timeout"],
]);

/** Paths on which an `Upgrade` header is heeded; elsewhere the request is answered as plain HTTP, as upstream does. */
const UPGRADE_PATH = /\/(exec|attach|portforward|log|proxy)(\/|\?|$)|[?&]watch=|\/watch\//;

export class HttpServer {
  readonly #server: Http2SecureServer;
  readonly #options: HttpServerOptions;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<TLSSocket>();
  readonly #settings: TlsSettings;
  #clientCas: readonly Buffer[];
  #sni: readonly SniCertificate[];
  readonly #sniContexts = new Map<SniCertificate, SecureContext>();
  #active = 0;
  #closing = false;

  private constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#settings = options.tlsSettings ?? DEFAULT_TLS;
    this.#clientCas = options.clientCas;
    this.#sni = options.sniCertificates ?? [];
    this.#server = createServer(options, this.#settings, (serverName) => this.#contextOf(serverName));
    this.#track(this.#server);
  }

  /** Listens; rejects when the address is taken. */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const http = new HttpServer(options);
    const server = http.#server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: options.host, port: options.port }, () => {
        server.removeListener("error", reject);
        resolve();
      });
    });
    return http;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get activeRequests(): number {
    return this.#active;
  }

  /** Uses new certificates for connections made from now on; existing ones stay. */
  setTls(tls: TlsMaterial, clientCas: readonly Buffer[]): void {
    this.#clientCas = clientCas;
    this.#server.setSecureContext(contextOptions(tls, clientCas, this.#settings));
    this.#sniContexts.clear();
  }

  /** Certificates for some server names, besides the main one; for connections made from now on. */
  setSniCertificates(certificates: readonly SniCertificate[]): void {
    this.#sni = certificates;
    this.#sniContexts.clear();
  }

  /** The context of the name's own certificate; undefined: the main one. */
  #contextOf(serverName: string): SecureContext | undefined {
    const found = findSniCertificate(this.#sni, serverName);
    if (found === undefined) return undefined;
    let context = this.#sniContexts.get(found);
    if (context === undefined) {
      context = createSecureContext(contextOptions(found.tls, this.#clientCas, this.#settings));
      this.#sniContexts.set(found, context);
    }
    return context;
  }

  /** Stops as the header says; resolves when every socket is closed. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    const deadline = this.#options.clock.monotonicMs() + graceMs;
    while (this.#active > 0 && this.#options.clock.monotonicMs() < deadline) await this.#options.clock.sleep(20);
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #track(server: Http2SecureServer): void {
    server.on("request", (request, response) => {
      this.#serve(request as unknown as IncomingMessage, response as unknown as ServerResponse);
    });
    // Node.js answers "request" listeners over HTTP/2 too, through its compatibility classes: HTTP/2 is served from the streams instead.
    server.removeAllListeners("stream");
    server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags, rawHeaders: string[]) => {
      if (headers.expect === "100-continue") stream.additionalHeaders({ ":status": 100 });
      this.#serve(new Http2Request(stream, headers, rawHeaders), stream);
    });
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.setTimeout(IDLE_TIMEOUT_MS, () => session.close());
      session.once("close", () => this.#sessions.delete(session));
      session.on("error", (error) => this.#options.log.debug({ err: error }, "http2 session error"));
    });
    server.on("secureConnection", (socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      // Half-open clients are found out in about three minutes, as Go's listener does.
      socket.setKeepAlive(true, 180_000);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("sessionError", (error) => this.#options.log.debug({ err: error }, "http2 session error"));
    server.on("tlsClientError", (error) => this.#options.log.debug({ err: error }, "TLS handshake error"));
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
      const status = CLIENT_ERRORS.get(error.code ?? "") ?? "400 Bad Request";
      if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`, () => socket.destroy());
      else socket.destroy();
    });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // A reset by the client is seen as "close"; without a listener it would be an uncaught exception.
      socket.on("error", () => socket.destroy());
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false;
      response.assignSocket(socket as TLSSocket);
      response.once("finish", () => {
        response.detachSocket(socket as TLSSocket);
        socket.end();
      });
      this.#serve(request, response, { socket, head });
    });
  }

  #serve(request: RawRequest, response: RawResponse, upgrade?: Upgrade): void {
    const url = request.url ?? "/";
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = mark < 0 ? NO_QUERY : new URLSearchParams(url.slice(mark + 1));
    // An aborted upload or a reset stream is seen through "close".
    response.on("error", ignoreSeenAsClose);
    if ("on" in request) request.on("error", ignoreSeenAsClose);
    let info: ReturnType<typeof parseRequestInfo>;
    try {
      info = parseRequestInfo(request.method ?? "GET", path, query);
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
      refuse(response, "400 Bad Request: invalid URL escape\n");
      return;
    }
    if (this.#closing && response instanceof ServerResponse) response.setHeader("connection", "close");
    const context = new RequestContext({
      request,
      response,
      path,
      query,
      info,
      receivedAtMs: this.#options.clock.now(),
      ...(upgrade === undefined ? {} : { upgrade }),
    });
    this.#active += 1;
    const done = () => {
      this.#active -= 1;
    };
    this.#options.handle(context).then(done, done);
  }
}

const NO_QUERY = new URLSearchParams();

function ignoreSeenAsClose(): void {}

function refuse(response: RawResponse, text: string): void {
  const headers = { "content-type": "text/plain" };
  if (response instanceof ServerResponse) response.writeHead(400, headers);
  else response.respond({ ":status": 400, ...headers });
  response.end(text);
}

function contextOptions(tls: TlsMaterial, clientCas: readonly Buffer[], settings: TlsSettings): SecureContextOptions {
  const { minVersion, ciphers } = settings;
  return { cert: tls.cert, key: tls.key, ca: [...clientCas], minVersion, ciphers, honorCipherOrder: true };
}

function createServer(
  options: HttpServerOptions,
  settings: TlsSettings,
  contextOf: (serverName: string) => SecureContext | undefined,
): Http2SecureServer {
  const headTimeoutMs = options.headTimeoutMs ?? HEAD_TIMEOUT_MS;
  // Of node:http's options, which the types of node:http2 do not list.
  const http1Options: object = {
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    headersTimeout: headTimeoutMs,
    // Bodies are limited by --request-timeout; streams may take for ever.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(headTimeoutMs, 5_000),
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const server = createSecureServer({
    ...contextOptions(options.tls, options.clientCas, settings),
    SNICallback: (serverName, done) => {
      try {
        done(null, contextOf(serverName));
      } catch (error) {
        done(error as Error);
      }
    },
    requestCert: true,
    // Whether the certificate is good is authentication's question: a bad one is a 401, not a broken connection.
    rejectUnauthorized: false,
    allowHTTP1: true,
    handshakeTimeout: headTimeoutMs,
    maxSessionMemory: SESSION_MEGABYTES,
    settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS, initialWindowSize: STREAM_WINDOW_BYTES },
    http1Options,
  });
  // Not an option: the constructor sets its own.
  const shouldUpgradeCallback = (request: IncomingMessage) => UPGRADE_PATH.test(request.url ?? "");
  return Object.assign(server, { shouldUpgradeCallback });
}
