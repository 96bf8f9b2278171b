/** Opens a WebSocket to the API server (exec, attach, port-forward) with the client's credentials. */
import { WebSocket } from "ws";
import { ConnectionError } from "./connection-error.ts";
import { responseError } from "./response-error.ts";
import type { Query, Transport } from "./transport.ts";

export interface WebSocketRequest {
  readonly path: string;
  readonly query: Query;
  readonly protocols: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** Deadline of the handshake; 30 s when absent. */
  readonly timeoutMs?: number | undefined;
}

/** Resolves with the open socket, which the signal closes; rejects with the server's StatusError or a ConnectionError. */
export async function openWebSocket(transport: Transport, request: WebSocketRequest): Promise<WebSocket> {
  const { signal } = request;
  signal?.throwIfAborted();
  const { url, headers, tls } = await transport.connectOptions();
  const { tlsServerName, insecureSkipTlsVerify } = transport.config;
  const address = `${url.protocol === "https:" ? "wss:" : "ws:"}//${url.host}${transport.target(request)}`;
  const { accept: _accept, ...own } = headers;
  const socket = new WebSocket(address, [...request.protocols], {
    headers: own,
    handshakeTimeout: request.timeoutMs ?? 30_000,
    perMessageDeflate: false,
    maxPayload: 64 * 1024 * 1024,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
    rejectUnauthorized: insecureSkipTlsVerify !== true,
  });
  const onAbort = () => socket.terminate();
  signal?.addEventListener("abort", onAbort, { once: true });
  socket.once("close", () => signal?.removeEventListener("abort", onAbort));
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(socket));
    socket.once("unexpected-response", (_outgoing, response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("close", () => {
        reject(responseError(response.statusCode ?? 0, Buffer.concat(chunks), `the upgrade of ${request.path}`));
        socket.terminate();
      });
    });
    socket.on("error", (error) => {
      if (signal?.aborted === true) reject(signal.reason);
      else reject(new ConnectionError(`WebSocket ${request.path}: ${error.message}`, { cause: error }));
    });
  });
}
