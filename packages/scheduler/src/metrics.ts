/** The scheduler's metrics under upstream's names. Source: pkg/scheduler/metrics/metrics.go */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export interface SchedulerMetrics {
  readonly registry: Registry;
  readonly attempts: Counter<"result" | "profile">;
  readonly attemptSeconds: Histogram<"result" | "profile">;
  readonly podSchedulingSeconds: Histogram<"attempts">;
  readonly pendingPods: Gauge<"queue">;
}

export function createMetrics(): SchedulerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const exponential = (start: number, factor: number, count: number) =>
    Array.from({ length: count }, (_, i) => start * factor ** i);
  return {
    registry,
    attempts: new Counter({
      name: "scheduler_schedule_attempts_total",
      help: "Attempts to schedule pods, by result.",
      labelNames: ["result", "profile"],
      registers,
    }),
    attemptSeconds: new Histogram({
      name: "scheduler_scheduling_attempt_duration_seconds",
      help: "Scheduling algorithm and binding, in seconds.",
      labelNames: ["result", "profile"],
      buckets: exponential(0.001, 2, 15),
      registers,
    }),
    podSchedulingSeconds: new Histogram({
      name: "scheduler_pod_scheduling_sli_duration_seconds",
      help: "From a pod's first sight to its binding, in seconds.",
      labelNames: ["attempts"],
      buckets: exponential(0.01, 2, 20),
      registers,
    }),
    pendingPods: new Gauge({
      name: "scheduler_pending_pods",
      help: "Pods that wait, by queue.",
      labelNames: ["queue"],
      registers,
    }),
  };
}
