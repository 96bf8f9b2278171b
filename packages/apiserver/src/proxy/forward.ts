/**
 * Passes a request on to another server and its answer back: bodies streamed both ways, upgrades byte for byte.
 * Owns the outgoing request; either side's end ends the other. Decides nothing about who may reach what.
 */

import type { Agent, IncomingMessage, RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { request as httpRequest } from "@knarr/daemon/node-http.ts";
import type { RequestContext, Upgrade } from "../http/request-context.ts";
import { breakOff, flushHeaders, type Headers, writeHead } from "../http/respond.ts";

export interface ForwardTarget {
  readonly protocol: "http:" | "https:";
  readonly host: string;
  readonly port: number;
  /** With its query. */
  readonly path: string;
  /** Overrides the client's method. */
  readonly method?: string;
  readonly agent?: Agent;
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer; readonly skipVerify: boolean };
  /** Added to the request (replacing the client's of the same name). */
  readonly headers?: Readonly<Record<string, string>>;
  /** Looks at the answer before it is passed on: may change headers or throw a StatusError instead of passing it on. */
  readonly onResponse?: (response: IncomingMessage) => Promise<ResponseChange | undefined>;
}

export interface ResponseChange {
  readonly headers?: Headers;
  /** Replaces the body (the answer was read by `onResponse`). */
  readonly body?: Buffer;
}

/** Source: RFC 9110 7.6.1; `upgrade` is added back for upgrades. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** The client's credentials are for us; a backend must not see them. */
const PRIVATE = /^(authorization|impersonate-.*|x-remote-.*)$/;
const DIAL_TIMEOUT_MS = 30_000;

export async function forward(context: RequestContext, target: ForwardTarget): Promise<void> {
  if (context.upgrade !== undefined) return forwardUpgrade(context, context.upgrade, target);
  const response = await send(context, target);
  const change = await target.onResponse?.(response);
  const headers = { ...passedHeaders(response), ...change?.headers };
  if (context.signal.aborted) {
    response.destroy();
    return;
  }
  if (change?.body !== undefined) {
    delete headers["content-encoding"];
    writeHead(context, response.statusCode ?? 502, { ...headers, "content-length": change.body.length });
    context.response.end(change.body);
    return;
  }
  writeHead(context, response.statusCode ?? 502, headers);
  // Headers go out at once: a followed log may stay silent for long.
  flushHeaders(context);
  await pipeBody(response, context);
}

function pipeBody(response: IncomingMessage, context: RequestContext): Promise<void> {
  return new Promise((resolve) => {
    const client = context.response;
    response.on("error", () => breakOff(context));
    client.once("close", () => {
      response.destroy();
      resolve();
    });
    response.pipe(client);
  });
}

function options(
  context: RequestContext,
  target: ForwardTarget,
  headers: Record<string, string | string[]>,
): RequestOptions {
  return {
    host: target.host,
    port: target.port,
    path: target.path,
    method: target.method ?? context.method,
    headers,
    ...(target.agent === undefined ? {} : { agent: target.agent }),
    ...(target.tls === undefined
      ? {}
      : {
          rejectUnauthorized: !target.tls.skipVerify,
          ...(target.tls.ca === undefined ? {} : { ca: target.tls.ca }),
          ...(target.tls.cert === undefined ? {} : { cert: target.tls.cert }),
          ...(target.tls.key === undefined ? {} : { key: target.tls.key }),
        }),
  };
}

function requestHeaders(context: RequestContext, target: ForwardTarget): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(context.request.headers)) {
    if (value === undefined || name.startsWith(":") || name === "host") continue;
    if (HOP_BY_HOP.has(name) || PRIVATE.test(name)) continue;
    headers[name] = value;
  }
  const from = context.request.socket?.remoteAddress;
  const earlier = context.header("x-forwarded-for");
  if (from !== undefined) headers["x-forwarded-for"] = earlier === "" ? from : `${earlier}, ${from}`;
  return { ...headers, ...target.headers };
}

/** Sends the request on; the answer is the caller's to read. */
export function send(context: RequestContext, target: ForwardTarget): Promise<IncomingMessage> {
  const start = target.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const outgoing = start(options(context, target, requestHeaders(context, target)));
    const fail = (error: Error) => reject(dialError(target, error));
    limitDial(outgoing, fail);
    outgoing.once("response", resolve);
    outgoing.once("error", fail);
    context.signal.addEventListener("abort", () => outgoing.destroy(), { once: true });
    context.request.pipe(outgoing);
  });
}

function limitDial(outgoing: ReturnType<typeof httpRequest>, fail: (error: Error) => void): void {
  outgoing.setTimeout(DIAL_TIMEOUT_MS, () => {
    if (outgoing.socket?.connecting !== true) return;
    fail(new Error("i/o timeout"));
    outgoing.destroy();
  });
}

/** Source: k8s.io/apimachinery/pkg/util/proxy: upstream wraps dial errors as a 503 with this prefix. */
function dialError(target: ForwardTarget, cause: Error): Error {
  const error = statusErrors.serviceUnavailable(
    `error trying to reach service: dial tcp ${target.host}:${target.port}: ${cause.message}`,
    0,
  );
  error.cause = cause;
  return error;
}

function passedHeaders(response: IncomingMessage): Headers {
  const headers: Headers = {};
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name)) headers[name] = value;
  }
  return headers;
}

function forwardUpgrade(context: RequestContext, client: Upgrade, target: ForwardTarget): Promise<void> {
  const start = target.protocol === "https:" ? httpsRequest : httpRequest;
  const headers = {
    ...requestHeaders(context, target),
    connection: "Upgrade",
    upgrade: context.header("upgrade"),
  };
  return new Promise((resolve, reject) => {
    const outgoing = start({ ...options(context, target, headers), agent: false });
    const fail = (error: Error) => reject(dialError(target, error));
    limitDial(outgoing, fail);
    outgoing.once("error", fail);
    client.socket.once("close", () => outgoing.destroy());
    outgoing.once("response", (response) => {
      // Refused: the backend's answer is the client's answer.
      writeHead(context, response.statusCode ?? 502, passedHeaders(response));
      pipeBody(response, context).then(resolve, reject);
    });
    outgoing.once("upgrade", (response, backend, head) => {
      outgoing.off("error", fail);
      context.statusCode = 101;
      switchProtocols(client, response, backend, head);
      resolve();
    });
    outgoing.end();
  });
}

/** Repeats the backend's 101 to the client and joins the two connections. */
function switchProtocols(client: Upgrade, response: IncomingMessage, backend: Duplex, head: Buffer): void {
  const lines = [`HTTP/1.1 101 ${response.statusMessage ?? "Switching Protocols"}`];
  for (let i = 0; i + 1 < response.rawHeaders.length; i += 2) {
    lines.push(`${response.rawHeaders[i]}: ${response.rawHeaders[i + 1]}`);
  }
  client.socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  if (head.length > 0) client.socket.write(head);
  if (client.head.length > 0) backend.write(client.head);
  join(client.socket, backend);
}

/** Either side may half-close; when one is gone, the other is cut. */
function join(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on("error", () => to.destroy());
    from.once("close", () => to.destroy());
    from.pipe(to);
  }
}
