/** The API server's metrics under upstream's names. Source: docs reference/instrumentation/metrics. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { RequestMetrics } from "./request-metrics.ts";

export interface ServerMetrics {
  readonly registry: Registry;
  readonly requests: RequestMetrics;
  /** Requests being served, by kind. */
  readonly inflight: { readOnly: number; mutating: number };
  readonly watchers: Gauge<"group" | "version" | "kind">;
  readonly watchEvents: Counter<"group" | "version" | "kind">;
}

export function createMetrics(): ServerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const inflight = { readOnly: 0, mutating: 0 };
  new Gauge({
    name: "apiserver_current_inflight_requests",
    help: "Requests being served, by kind.",
    labelNames: ["request_kind"],
    registers,
    collect() {
      this.set({ request_kind: "readOnly" }, inflight.readOnly);
      this.set({ request_kind: "mutating" }, inflight.mutating);
    },
  });
  return {
    registry,
    requests: new RequestMetrics(registry),
    inflight,
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
