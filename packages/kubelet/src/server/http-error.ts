/** An answer that is not 200: the kubelet's API speaks plain text. */
import type { ServerResponse } from "node:http";

/** Of a path that nothing is registered at. */
export const NOT_FOUND = "404 page not found\n";
/** Of a path below one that something is registered at; 405 likewise. Source: go-restful */
export const PAGE_NOT_FOUND = "404: Page Not Found";
export const METHOD_NOT_ALLOWED = "405: Method Not Allowed";

export class HttpError extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...headers, "content-type": type, "content-length": Buffer.byteLength(text) });
  response.end(text);
}

export function sendJson(response: ServerResponse, value: unknown): void {
  sendText(response, 200, JSON.stringify(value), "application/json");
}
