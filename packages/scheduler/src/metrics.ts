/** The scheduler's metrics under upstream's names. Source: pkg/scheduler/metrics/metrics.go */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type SchedulerMetrics = ReturnType<typeof createMetrics>;

const exponential = (start: number, factor: number, count: number) =>
  Array.from({ length: count }, (_, i) => start * factor ** i);

export function createMetrics() {
  const registry = new Registry();
  // Its default of 10 ms is most of what an idle daemon does.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 200 });
  const registers = [registry];
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]) =>
    new Histogram<L>({ name: `scheduler_${name}`, help, labelNames, buckets, registers });
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name: `scheduler_${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge<L>({ name: `scheduler_${name}`, help, labelNames, registers });
  const fine = exponential(0.000_01, 1.5, 20);
  return {
    registry,
    attempts: counter("schedule_attempts_total", "Attempts to schedule pods, by result.", ["result", "profile"]),
    attemptSeconds: histogram(
      "scheduling_attempt_duration_seconds",
      "Scheduling algorithm and binding, in seconds.",
      ["result", "profile"],
      exponential(0.001, 2, 15),
    ),
    algorithmSeconds: histogram(
      "scheduling_algorithm_duration_seconds",
      "Scheduling algorithm alone, in seconds.",
      [],
      exponential(0.001, 2, 15),
    ),
    extensionPointSeconds: histogram(
      "framework_extension_point_duration_seconds",
      "All plugins of an extension point, in seconds.",
      ["extension_point", "status", "profile"],
      exponential(0.0001, 2, 12),
    ),
    pluginSeconds: histogram(
      "plugin_execution_duration_seconds",
      "One plugin at one extension point, in seconds; some cycles only.",
      ["plugin", "extension_point", "status"],
      fine,
    ),
    podSchedulingSeconds: histogram(
      "pod_scheduling_sli_duration_seconds",
      "From a pod's first sight to its binding, in seconds.",
      ["attempts"],
      exponential(0.01, 2, 20),
    ),
    podAttempts: histogram("pod_scheduling_attempts", "Attempts until a pod was bound.", [], exponential(1, 2, 5)),
    pendingPods: gauge("pending_pods", "Pods that wait, by queue.", ["queue"]),
    incomingPods: counter("queue_incoming_pods_total", "Pods added to queues, by event and queue.", ["queue", "event"]),
    unschedulablePods: gauge("unschedulable_pods", "Unschedulable pods, by the plugin that refused them.", [
      "plugin",
      "profile",
    ]),
    inflightEvents: gauge("inflight_events", "Events kept for pods that are being scheduled.", ["event"]),
    cacheSize: gauge("cache_size", "Nodes, pods and assumed pods in the cache.", ["type"]),
    goroutines: gauge("goroutines", "Bindings under way.", ["operation"]),
    preemptionAttempts: counter("preemption_attempts_total", "Searches for pods to preempt.", []),
    preemptionVictims: histogram("preemption_victims", "Pods chosen for preemption.", [], exponential(1, 2, 7)),
    permitWaitSeconds: histogram(
      "permit_wait_duration_seconds",
      "Waiting for a permit, in seconds.",
      ["result"],
      exponential(0.001, 2, 15),
    ),
  };
}
