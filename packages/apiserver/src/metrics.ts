/** The API server's metrics under upstream's names. Source: docs reference/instrumentation/metrics. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

const REQUEST_LABELS = [
  "verb",
  "dry_run",
  "group",
  "version",
  "resource",
  "subresource",
  "scope",
  "component",
] as const;

export interface ServerMetrics {
  readonly registry: Registry;
  readonly requests: Counter<(typeof REQUEST_LABELS)[number] | "code">;
  readonly durations: Histogram<(typeof REQUEST_LABELS)[number]>;
  readonly inflight: Gauge<"request_kind">;
  readonly watchers: Gauge<"group" | "version" | "kind">;
  readonly watchEvents: Counter<"group" | "version" | "kind">;
}

export function createMetrics(): ServerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    requests: new Counter({
      name: "apiserver_request_total",
      help: "API server requests by verb, dry run, group, version, resource, scope, component and HTTP response code.",
      labelNames: [...REQUEST_LABELS, "code"],
      registers,
    }),
    durations: new Histogram({
      name: "apiserver_request_duration_seconds",
      help: "Response latency in seconds, long-running requests apart.",
      labelNames: [...REQUEST_LABELS],
      buckets: [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60],
      registers,
    }),
    inflight: new Gauge({
      name: "apiserver_current_inflight_requests",
      help: "Requests being served, by kind.",
      labelNames: ["request_kind"],
      registers,
    }),
    watchers: new Gauge({
      name: "apiserver_longrunning_requests",
      help: "Open watches by group, version and kind.",
      labelNames: ["group", "version", "kind"],
      registers,
    }),
    watchEvents: new Counter({
      name: "apiserver_watch_events_total",
      help: "Events sent to watchers.",
      labelNames: ["group", "version", "kind"],
      registers,
    }),
  };
}
