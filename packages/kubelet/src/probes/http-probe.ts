/**
 * HTTP probes: 200 to 399 is well. Certificates are not verified, redirects to other hosts are not followed.
 * Source: pkg/probe/http/http.go DoHTTPProbe
 */
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { request as httpRequest } from "@knarr/daemon/node-http.ts";
import type { HttpTarget, ProbeAnswer } from "./probe-request.ts";

const MAX_BODY_BYTES = 10 * 1024;
const MAX_REDIRECTS = 10;
/** Statuses that Go's client follows. */
const FOLLOWED: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

/** One GET on a connection of its own. Throws an Error with Go's wording of what went wrong. */
export function httpGet(target: HttpTarget, userAgent: string, timeoutMs: number): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const { url } = target;
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  const headers: Record<string, string> = { "user-agent": userAgent, accept: "*/*", connection: "close" };
  for (const [name, value] of target.headers) {
    const key = name.toLowerCase();
    // An empty Accept or User-Agent means that none is sent.
    if (value === "" && (key === "accept" || key === "user-agent")) delete headers[key];
    else
      headers[key] =
        headers[key] === undefined || key === "host" || key in headers ? value : `${headers[key]}, ${value}`;
  }
  const fail = (why: string) => reject(new Error(`Get "${url.href}": ${why}`));
  const outgoing = send(url, { headers, agent: false, rejectUnauthorized: false }, (response) => {
    readBody(response).then(
      (body) => resolve({ status: response.statusCode ?? 0, body, location: response.headers.location }),
      (error: unknown) => fail(String(error)),
    );
  });
  const timer = setTimeout(() => {
    fail("context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
    outgoing.destroy();
  }, timeoutMs);
  outgoing.once("error", (error) => fail(dialError(error, `${url.hostname}:${url.port}`)));
  outgoing.end();
  return promise.finally(() => clearTimeout(timer));
}

const ERRNO_TEXT: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ECONNRESET: "connection reset by peer",
  ETIMEDOUT: "i/o timeout",
};

/** A socket error as Go's net package words it. */
export function dialError(error: Error, address: string): string {
  const { code, syscall } = error as NodeJS.ErrnoException;
  const text = ERRNO_TEXT[code ?? ""];
  if (text === undefined) return error.message;
  return syscall === "connect" ? `dial tcp ${address}: connect: ${text}` : `read tcp ${address}: ${text}`;
}

async function readBody(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    parts.push(part);
    if (size >= MAX_BODY_BYTES) break;
  }
  return Buffer.concat(parts).toString("utf8", 0, MAX_BODY_BYTES);
}

export async function runHttpProbe(target: HttpTarget, timeoutMs: number): Promise<ProbeAnswer> {
  const deadline = performance.now() + timeoutMs;
  let current = target;
  for (let redirects = 0; ; redirects++) {
    let answer: HttpAnswer;
    try {
      answer = await httpGet(current, "kube-probe/1.36", Math.max(1, deadline - performance.now()));
    } catch (error) {
      return { result: "failure", output: (error as Error).message };
    }
    const { status, body, location } = answer;
    if (status < 200 || status >= 400) {
      return { result: "failure", output: `HTTP probe failed with statuscode: ${status}` };
    }
    if (status < 300) return { result: "success", output: body };
    const ended: ProbeAnswer = {
      result: "success",
      warning: true,
      output: `Probe terminated redirects, Response body: ${body}`,
    };
    if (!FOLLOWED.has(status)) return ended;
    if (location === undefined) {
      return { result: "failure", output: `Get "${current.url.href}": ${status} response missing Location header` };
    }
    const next = new URL(location, current.url);
    // A redirect away from the pod proves nothing about it.
    if (next.hostname !== target.url.hostname) return ended;
    if (redirects + 1 === MAX_REDIRECTS)
      return { result: "failure", output: `Get "${next.href}": stopped after 10 redirects` };
    current = { url: next, headers: target.headers };
  }
}
