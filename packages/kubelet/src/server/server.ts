/**
 * The kubelet's HTTPS server on 10250. Every request is authenticated and authorised before anything else; then
 * handlers.ts answers it, or streaming.ts when it leaves HTTP.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { isRuntimeNotFound } from "@knarr/cri/runtime-error.ts";
import { watchTlsFiles } from "@knarr/daemon/tls-files.ts";
import { Authorizer } from "./authorize.ts";
import { debuggingDisabled, handle } from "./handlers.ts";
import { HttpError, sendText } from "./http-error.ts";
import type { Serving } from "./serving.ts";
import { loadServingTls } from "./serving-tls.ts";
import { serveUpgrade } from "./streaming.ts";

/** Resolves once the server listens; `closed` when the signal aborted and it is closed. */
export async function startServer(serving: Serving, signal: AbortSignal): Promise<{ readonly closed: Promise<void> }> {
  const { config, context, client } = serving;
  const tls = await loadServingTls(config, serving.certificate);
  const authorizer = new Authorizer({
    client,
    clock: context.clock,
    nodeName: config.nodeName,
    anonymous: config.anonymousAuth,
    mode: config.authorizationMode,
    log: context.log,
  });
  const server = createServer({ ...tls.material, requestCert: true, rejectUnauthorized: false });
  // Source: Go's clients keep idle connections for 90 s; a server that closes sooner breaks their next request.
  server.keepAliveTimeout = 120_000;
  server.requestTimeout = 0;
  server.on("request", (request, response) => void answer(serving, authorizer, request, response));
  server.on("upgrade", (request, socket, head) => void answerUpgrade(serving, authorizer, request, socket, head));
  server.on("tlsClientError", (error) => context.log.debug({ err: error }, "TLS handshake failed"));
  await listen(server, config.port, config.address);
  serving.onPort((server.address() as AddressInfo).port);
  const { material, paths } = tls;
  serving.certificate?.subscribe(({ pem }) => server.setSecureContext({ ...material, cert: pem, key: pem }));
  if (paths !== undefined && material.cert !== undefined && material.key !== undefined) {
    const { clock, log } = context;
    const current = { ...material, cert: material.cert, key: material.key };
    watchTlsFiles({ paths, current, clock, log }, (m) => server.setSecureContext({ ...m }), signal).catch(
      (error: unknown) => {
        if (!signal.aborted) log.error({ err: error }, "serving certificate is no longer watched");
      },
    );
  }
  return { closed: closeOnAbort(server, signal) };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Streams may last for hours: at the end they are cut. */
function closeOnAbort(server: Server, signal: AbortSignal): Promise<void> {
  const sockets = new Set<Socket>();
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  });
  return new Promise((resolve) => {
    const stop = () => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

function pathOf(request: IncomingMessage): { path: string; parts: string[]; query: URLSearchParams } {
  const url = new URL(request.url ?? "/", "https://kubelet");
  return { path: url.pathname, parts: url.pathname.split("/").filter((p) => p !== ""), query: url.searchParams };
}

async function answer(serving: Serving, authorizer: Authorizer, request: IncomingMessage, response: ServerResponse) {
  let over: (() => void) | undefined;
  try {
    const { path, parts, query } = pathOf(request);
    over = serving.metrics.request(request.method ?? "", parts);
    await authorizer.check(request, path);
    await handle(serving, parts[0] ?? "", { request, response, path, parts: parts.slice(1), query });
  } catch (error) {
    const { status, message, headers } = problemOf(serving, error);
    if (response.headersSent) response.destroy();
    else sendText(response, status, message, undefined, headers);
  } finally {
    over?.();
  }
}

async function answerUpgrade(
  serving: Serving,
  authorizer: Authorizer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
) {
  socket.on("error", () => socket.destroy());
  try {
    const { path, parts, query } = pathOf(request);
    socket.once("close", serving.metrics.request(request.method ?? "", parts));
    await authorizer.check(request, path);
    if (!serving.config.enableDebuggingHandlers) throw debuggingDisabled();
    await serveUpgrade(serving, { request, socket, head, parts, query });
  } catch (error) {
    const { status, message } = problemOf(serving, error);
    const lines = [
      `HTTP/1.1 ${status} Refused`,
      "content-type: text/plain; charset=utf-8",
      `content-length: ${Buffer.byteLength(message)}`,
      "connection: close",
    ];
    socket.end(`${lines.join("\r\n")}\r\n\r\n${message}`);
  }
}

function problemOf(
  { context }: Serving,
  error: unknown,
): { status: number; message: string; headers?: Readonly<Record<string, string>> } {
  if (error instanceof HttpError) return error;
  // A path that is not percent-encoded rightly.
  if (error instanceof URIError) return { status: 400, message: "malformed path" };
  if (isRuntimeNotFound(error)) return { status: 404, message: (error as Error).message };
  context.log.error({ err: error }, "request failed");
  return { status: 500, message: error instanceof Error ? error.message : String(error) };
}
