/**
 * /livez, /readyz, /healthz (each with ?verbose, ?exclude and one path per check) and /metrics, over HTTP or HTTPS.
 * Source: kubernetes.io/docs/reference/using-api/health-checks
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import type { Logger } from "./logger.ts";
import { createServer } from "./node-http.ts";

/** Answers undefined when well, else a short reason. Must be quick; a throw counts as its message. */
export type HealthCheck = () => string | undefined | Promise<string | undefined>;
export type HealthChecks = Readonly<Record<string, HealthCheck>>;

export interface HealthServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls?: ServerOptions | undefined;
  /** `healthz` is livez and readyz together when absent. */
  readonly checks: { readonly livez: HealthChecks; readonly readyz: HealthChecks; readonly healthz?: HealthChecks };
  readonly registry?: Registry | undefined;
  /** Further paths; the handler writes the whole answer. */
  readonly handlers?:
    | Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => void>>
    | undefined;
  /** Says who may ask: undefined lets the request pass, a number is the status of the refusal. All may when absent. */
  readonly authorize?: ((request: IncomingMessage, path: string) => Promise<number | undefined>) | undefined;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export interface HealthServer {
  readonly port: number;
  /** Resolves when the signal aborted and the server is closed. */
  readonly closed: Promise<void>;
}

/** The text of a health endpoint and whether all checks passed. */
export async function renderHealth(
  endpoint: string,
  checks: HealthChecks,
  options: { readonly verbose: boolean; readonly exclude?: readonly string[] },
): Promise<{ ok: boolean; text: string }> {
  const lines: string[] = [];
  let ok = true;
  for (const [name, check] of Object.entries(checks)) {
    if (options.exclude?.includes(name)) {
      lines.push(`[+]${name} excluded: ok`);
      continue;
    }
    const failure = await runCheck(check);
    if (failure === undefined) lines.push(`[+]${name} ok`);
    else {
      ok = false;
      lines.push(`[-]${name} failed: ${failure}`);
    }
  }
  if (ok && !options.verbose) return { ok, text: "ok" };
  lines.push(`${endpoint} check ${ok ? "passed" : "failed"}`);
  return { ok, text: `${lines.join("\n")}\n` };
}

async function runCheck(check: HealthCheck): Promise<string | undefined> {
  try {
    return await check();
  } catch (error) {
    // A check that throws is a failed check: its message is the reason shown.
    return error instanceof Error ? error.message : String(error);
  }
}

export async function serveHealth(options: HealthServerOptions): Promise<HealthServer> {
  const groups: Record<string, HealthChecks> = {
    livez: options.checks.livez,
    readyz: options.checks.readyz,
    healthz: options.checks.healthz ?? { ...options.checks.livez, ...options.checks.readyz },
  };
  const listener: RequestListener = (request, response) => {
    answer(request, response, groups, options).catch((error: unknown) => {
      options.log.error({ err: error, url: request.url }, "health request failed");
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", (error) => options.log.error({ err: error }, "health server error"));
  const closed = new Promise<void>((resolve) => {
    const stop = () => {
      server.close(() => resolve());
      server.closeAllConnections();
    };
    if (options.signal.aborted) stop();
    else options.signal.addEventListener("abort", stop, { once: true });
  });
  return { port: (server.address() as AddressInfo).port, closed };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  groups: Readonly<Record<string, HealthChecks>>,
  options: HealthServerOptions,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/, "") : url.pathname;
  const refusal = await options.authorize?.(request, path);
  if (refusal !== undefined) return send(response, refusal, refusal === 401 ? "Unauthorized\n" : "Forbidden\n");
  const handler = options.handlers?.[path];
  if (handler !== undefined) return handler(request, response);
  if (request.method !== "GET" && request.method !== "HEAD") return send(response, 405, "Method Not Allowed\n");
  if (path === "/metrics" && options.registry !== undefined) {
    response.setHeader("content-type", options.registry.contentType);
    return void response.end(await options.registry.metrics());
  }
  const [, endpoint = "", checkName] = /^\/(livez|readyz|healthz)(?:\/(.+))?$/.exec(path) ?? [];
  const checks = groups[endpoint];
  if (checks === undefined) return send(response, 404, "404 page not found\n");
  if (checkName === undefined) {
    const exclude = url.searchParams.getAll("exclude");
    const result = await renderHealth(endpoint, checks, { verbose: url.searchParams.has("verbose"), exclude });
    return send(response, result.ok ? 200 : 500, result.text);
  }
  const one = checks[checkName];
  if (one === undefined) return send(response, 404, "404 page not found\n");
  const failure = await runCheck(one);
  return send(
    response,
    failure === undefined ? 200 : 500,
    failure === undefined ? "ok" : `internal server error: ${failure}\n`,
  );
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
  response.end(text);
}
