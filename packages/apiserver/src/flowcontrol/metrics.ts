/** Flow control's metrics under upstream's names. Source: k8s.io/apiserver/pkg/util/flowcontrol/metrics */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Level } from "./flow-control.ts";

export interface FlowLabels {
  readonly priority_level: string;
  readonly flow_schema: string;
}

export interface FlowMetrics {
  readonly dispatched: { inc(labels: FlowLabels): void };
  readonly rejected: Counter<"priority_level" | "flow_schema" | "reason">;
  readonly waitSeconds: Histogram<"priority_level" | "flow_schema" | "execute">;
}

export function createFlowMetrics(registry: Registry, levels: () => Iterable<Level>): FlowMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, value: (level: Level) => number) =>
    new Gauge({
      name: `apiserver_flowcontrol_${name}`,
      help,
      labelNames: ["priority_level"],
      registers,
      collect() {
        this.reset();
        for (const level of levels()) this.set({ priority_level: level.name }, value(level));
      },
    });
  gauge("nominal_limit_seats", "Nominal number of execution seats of each level.", (level) => level.seats.nominal);
  gauge("lower_limit_seats", "Lower bound on the execution seats of each level.", (level) => level.seats.min);
  gauge("upper_limit_seats", "Upper bound on the execution seats of each level.", (level) => level.seats.max);
  gauge("current_limit_seats", "Execution seats that each level has now.", (level) => level.queues.limit);
  gauge("current_executing_seats", "Seats of the requests that run.", (level) => level.queues.seatsInUse);
  gauge("current_executing_requests", "Requests that run.", (level) => level.queues.running);
  gauge("current_inqueue_requests", "Requests that wait.", (level) => level.queues.waiting);
  gauge(
    "current_inqueue_seats",
    "Seats of the requests that wait.",
    (level) => level.queues.seatDemand - level.queues.seatsInUse,
  );
  gauge("demand_seats_high_watermark", "Most seats wanted in the last period.", (level) => level.lastHigh);
  gauge("demand_seats_smoothed", "Smoothed seat demand.", (level) => level.smoothed);
  const labelNames = ["priority_level", "flow_schema"] as const;
  return {
    dispatched: dispatchedCounter(registry),
    rejected: new Counter({
      name: "apiserver_flowcontrol_rejected_requests_total",
      help: "Requests that flow control turned away.",
      labelNames: [...labelNames, "reason"],
      registers,
    }),
    waitSeconds: new Histogram({
      name: "apiserver_flowcontrol_request_wait_duration_seconds",
      help: "How long requests waited in their queue.",
      labelNames: [...labelNames, "execute"],
      buckets: [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30],
      registers,
    }),
  };
}

/** Counted by hand and handed over when somebody asks: every request comes by, and prom-client hashes its labels each time. */
function dispatchedCounter(registry: Registry): FlowMetrics["dispatched"] {
  const fresh = new Map<string, { readonly labels: FlowLabels; count: number }>();
  new Counter({
    name: "apiserver_flowcontrol_dispatched_requests_total",
    help: "Requests that flow control let run.",
    labelNames: ["priority_level", "flow_schema"],
    registers: [registry],
    collect() {
      for (const entry of fresh.values()) {
        this.inc({ ...entry.labels }, entry.count);
        entry.count = 0;
      }
    },
  });
  return {
    inc: (labels) => {
      const key = `${labels.priority_level} ${labels.flow_schema}`;
      const known = fresh.get(key);
      if (known === undefined) fresh.set(key, { labels, count: 1 });
      else known.count++;
    },
  };
}
