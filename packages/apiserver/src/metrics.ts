/** The API server's metrics under upstream's names. Source: docs reference/instrumentation/metrics. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { RequestMetrics } from "./request-metrics.ts";

export interface ServerMetrics {
  readonly registry: Registry;
  readonly requests: RequestMetrics;
  /** Requests being served, by kind. */
  readonly inflight: { readOnly: number; mutating: number };
  readonly watchers: Gauge<"group" | "version" | "kind">;
  readonly watchEvents: WatchEventCounts;
}

export function createMetrics(): ServerMetrics {
  const registry = new Registry();
  // A look at the event loop every 10 ms, the default, is half of what an idle server uses.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 200 });
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
    watchEvents: new WatchEventCounts(registry),
  };
}

/** Events sent, by kind. A watch counts on the number that it was given: prom-client hashes labels for every increment. */
export class WatchEventCounts {
  readonly #counts = new Map<
    string,
    { readonly labels: Record<"group" | "version" | "kind", string>; count: number }
  >();

  constructor(registry: Registry) {
    const counts = this.#counts;
    new Counter({
      name: "apiserver_watch_events_total",
      help: "Events sent to watchers.",
      labelNames: ["group", "version", "kind"],
      registers: [registry],
      collect() {
        this.reset();
        for (const { labels, count } of counts.values()) this.inc(labels, count);
      },
    });
  }

  /** To be added to. */
  of(labels: Record<"group" | "version" | "kind", string>): { count: number } {
    const key = `${labels.group}/${labels.version}/${labels.kind}`;
    let known = this.#counts.get(key);
    if (known === undefined) {
      known = { labels, count: 0 };
      this.#counts.set(key, known);
    }
    return known;
  }
}
