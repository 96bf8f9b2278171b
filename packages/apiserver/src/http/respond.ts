/**
 * Writes answers: buffers, JSON values, Status errors. The only place that sets response headers of API answers.
 */
import { constants, type OutgoingHttpHeaders } from "node:http2";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Status } from "@knarr/apimachinery/generated/meta-v1.ts";
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import { StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { ServerResponse } from "@knarr/daemon/node-http.ts";
import { JSON_TYPE, negotiateLeniently, representationFor, wantsPretty } from "./media-type.ts";
import { representValue } from "./represent.ts";
import type { RequestContext } from "./request-context.ts";

/** Bodies above this are compressed for clients that accept it. Source: k8s.io/apiserver responsewriters, 128 KiB. */
export const GZIP_THRESHOLD_BYTES = 128 * 1024;
/** Speed matters more than the last per cent. Source: as above, level 1. */
export const GZIP_LEVEL = 1;
const gzipAsync = promisify(gzip);

export type Headers = Record<string, string | number | readonly string[]>;

export function acceptsGzip(context: RequestContext): boolean {
  return /(^|[\s,])gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$)))?/.test(context.header("accept-encoding"));
}

/** The headers that every API answer has, with the warnings gathered so far. */
export function baseHeaders(context: RequestContext, contentType: string): Headers {
  const headers: Headers = {
    "audit-id": context.auditId,
    "cache-control": "no-cache, private",
    "content-type": contentType,
  };
  if (context.extraHeaders !== undefined) Object.assign(headers, context.extraHeaders);
  if (context.warnings.length > 0) headers.warning = context.warnings.map(warningHeader);
  return headers;
}

/** Source: RFC 7234 5.5, KEP-1693. */
function warningHeader(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: header values must not hold control characters
  const clean = text.replace(/[\u0000-\u001f\u007f]/g, " ").replace(/[^\u0020-\u007e]/g, "?");
  return `299 - "${clean.replace(/\\/g, "\\\\").replace(/"/g, '\\"')}"`;
}

/** Sends status line and headers, and remembers the code for audit and metrics. */
export function writeHead(context: RequestContext, code: number, headers: Headers): void {
  context.statusCode = code;
  // Its failure is the log's business; the answer has begun.
  if (context.longRunning) Promise.resolve(context.audit?.stage("ResponseStarted")).catch(() => {});
  const { response } = context;
  if (response instanceof ServerResponse) {
    response.writeHead(code, headers as Record<string, string | number | string[]>);
  } else if (!response.destroyed && !response.closed) {
    response.respond({ ":status": code, ...headers } as OutgoingHttpHeaders);
  }
}

/** Sends the headers now; HTTP/2 does so by itself. */
export function flushHeaders(context: RequestContext): void {
  if (context.response instanceof ServerResponse) context.response.flushHeaders();
}

/** Breaks an answer off that has begun, so that the client knows that it is not whole. */
export function breakOff({ response, upgrade }: RequestContext): void {
  upgrade?.socket.destroy();
  if (response instanceof ServerResponse) response.destroy();
  else response.close(constants.NGHTTP2_INTERNAL_ERROR);
}

/** Sends a whole body, compressed when it is large and the client can read it. */
export async function sendBytes(
  context: RequestContext,
  code: number,
  body: Buffer | string,
  options: { readonly contentType?: string; readonly headers?: Headers } = {},
): Promise<void> {
  let bytes = typeof body === "string" ? Buffer.from(body) : body;
  if (context.audit !== undefined) {
    context.statusCode = code;
    context.audit.responseBody(bytes, options.contentType ?? JSON_TYPE);
    context.statusCode = 0;
  }
  const headers = baseHeaders(context, options.contentType ?? JSON_TYPE);
  if (options.headers !== undefined) Object.assign(headers, options.headers);
  if (bytes.length > GZIP_THRESHOLD_BYTES && acceptsGzip(context)) {
    bytes = await gzipAsync(bytes, { level: GZIP_LEVEL });
    headers["content-encoding"] = "gzip";
    // Beside what the answer depends on anyway: a cache that forgot "Accept" would serve JSON for protobuf.
    headers.vary = headers.vary === undefined ? "Accept-Encoding" : `${headers.vary}, Accept-Encoding`;
  }
  if (context.response.destroyed || context.response.headersSent) return;
  headers["content-length"] = bytes.length;
  writeHead(context, code, headers);
  if (context.method === "HEAD") context.response.end();
  else context.response.end(bytes);
}

export function sendJson(
  context: RequestContext,
  code: number,
  value: unknown,
  contentType: string = JSON_TYPE,
): Promise<void> {
  return sendBytes(context, code, stringifyJson(value), { contentType });
}

/** Sends an API object that has no table, in the representation that the client accepts. Throws 406. */
export async function sendObject(context: RequestContext, code: number, object: object): Promise<void> {
  const representation = { ...representationFor(context), transform: "none" as const };
  const { body, contentType } = representValue(object, representation);
  await sendBytes(context, code, body, { contentType });
}

/** The error as a StatusError: what is none becomes 500 without its inner text, which is for our log only. */
export function toStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  return statusErrors.internal("the server has encountered an unexpected condition", error);
}

export async function sendError(context: RequestContext, error: StatusError): Promise<void> {
  const retryAfter = error.status.details?.retryAfterSeconds;
  const representation = { ...negotiateLeniently(context.header("accept")), pretty: wantsPretty(context) };
  const { body, contentType } = representValue(statusForWire(error.status), representation);
  await sendBytes(context, error.code, body, {
    contentType,
    headers: {
      ...(retryAfter === undefined || retryAfter === 0 ? {} : { "retry-after": retryAfter }),
      ...(error.code === 401 ? { "www-authenticate": 'Bearer realm="kubernetes-master"' } : {}),
      ...(error.code >= 400 && error.code !== 404 ? { "x-content-type-options": "nosniff" } : {}),
    },
  });
}

/** Field order as Go encodes a Status. */
function statusForWire(status: Status): Status {
  const { metadata = {}, status: outcome, message, reason, details, code } = status;
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata,
    ...(outcome === undefined ? {} : { status: outcome }),
    ...(message === undefined ? {} : { message }),
    ...(reason === undefined ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    ...(code === undefined ? {} : { code }),
  };
}

/** Plain text, for health checks and the like. */
export function sendText(context: RequestContext, code: number, text: string): Promise<void> {
  return sendBytes(context, code, text, {
    contentType: "text/plain; charset=utf-8",
    headers: { "x-content-type-options": "nosniff" },
  });
}
