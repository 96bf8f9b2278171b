/** The two listeners: health for load balancers on 10256, metrics on 10249. */
import type { ServerResponse } from "node:http";
import type { Clock } from "@knarr/daemon/clock.ts";
import { serveHealth } from "@knarr/daemon/health-server.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { HostPort } from "../config.ts";
import type { ProxyHealth } from "../core/proxy-health.ts";
import type { ProxyMode } from "./backend.ts";
import type { ProxyMetrics } from "./metrics.ts";

interface ListenerContext {
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: ProxyMetrics;
}

const noChecks = { livez: {}, readyz: {} };

/** Serves until the signal aborts; rejects when the address can't be had. */
export async function serveProxyHealth(at: HostPort, health: ProxyHealth, context: ListenerContext): Promise<void> {
  const answer = (endpoint: "healthz" | "livez") => (_request: unknown, response: ServerResponse) => {
    const { status, body } = health.answer(endpoint, context.clock.now());
    context.metrics[endpoint].inc({ code: String(status) });
    response.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff" });
    response.end(body);
  };
  const handlers = { "/healthz": answer("healthz"), "/livez": answer("livez") };
  const { signal, log } = context;
  const server = await serveHealth({ ...at, checks: noChecks, handlers, signal, log });
  await server.closed;
}

export async function serveProxyMetrics(at: HostPort, mode: ProxyMode, context: ListenerContext): Promise<void> {
  const { signal, log, metrics } = context;
  const handlers = {
    "/proxyMode": (_request: unknown, response: ServerResponse) => {
      response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
      response.end(mode);
    },
  };
  const server = await serveHealth({ ...at, checks: noChecks, registry: metrics.registry, handlers, signal, log });
  await server.closed;
}
