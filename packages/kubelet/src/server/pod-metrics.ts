/**
 * How pods get on, under upstream's names: how long their workers' steps, their starts and the runtime's lists take, what
 * was started and what failed to. Dashboards and alerts of kubelets are made of these.
 * Source: k8s.io/kubernetes/pkg/kubelet/metrics/metrics.go
 */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ContainerKind } from "../core/pod-actions.ts";
import type { PodCounts, StepKind } from "../pods/pod-context.ts";

/** Of Go's client. */
const DEFAULT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const STARTUP_BUCKETS = [
  0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
];
const TYPES: Readonly<Record<ContainerKind, string>> = {
  init: "init_container",
  container: "container",
  ephemeral: "ephemeral_container",
};
const SANDBOX = "podsandbox";

export class PodMetrics implements PodCounts {
  readonly #steps: Histogram<"operation_type">;
  readonly #workerStarts: Histogram;
  readonly #starts: Histogram;
  readonly #startsFromCreation: Histogram;
  readonly #startedPods: Counter;
  readonly #podErrors: Counter<"message">;
  readonly #containers: Counter<"container_type">;
  readonly #containerErrors: Counter<"container_type" | "code">;
  readonly #relists: Histogram;
  readonly #relistIntervals: Histogram;
  readonly #lastSeen: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    const seconds = (name: string, help: string, buckets = DEFAULT_BUCKETS) =>
      new Histogram({ name, help: `[ALPHA] ${help}`, buckets, registers });
    this.#steps = new Histogram({
      name: "kubelet_pod_worker_duration_seconds",
      help: "[ALPHA] Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
      labelNames: ["operation_type"],
      buckets: DEFAULT_BUCKETS,
      registers,
    });
    this.#workerStarts = seconds(
      "kubelet_pod_worker_start_duration_seconds",
      "Duration in seconds from kubelet seeing a pod to starting a worker.",
    );
    this.#starts = seconds(
      "kubelet_pod_start_duration_seconds",
      "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
      STARTUP_BUCKETS,
    );
    this.#startsFromCreation = seconds(
      "kubelet_pod_start_total_duration_seconds",
      "Duration in seconds to start a pod since creation, including time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch",
      STARTUP_BUCKETS,
    );
    const total = <T extends string>(name: string, help: string, labelNames: T[]) =>
      new Counter({ name, help: `[ALPHA] ${help}`, labelNames, registers });
    this.#startedPods = total("kubelet_started_pods_total", "Cumulative number of pods started", []);
    this.#podErrors = total("kubelet_started_pods_errors_total", "Cumulative number of errors when starting pods", [
      "message",
    ]);
    this.#containers = total("kubelet_started_containers_total", "Cumulative number of containers started", [
      "container_type",
    ]);
    this.#containerErrors = total(
      "kubelet_started_containers_errors_total",
      "Cumulative number of errors when starting containers",
      ["container_type", "code"],
    );
    this.#relists = seconds("kubelet_pleg_relist_duration_seconds", "Duration in seconds for relisting pods in PLEG.");
    this.#relistIntervals = seconds(
      "kubelet_pleg_relist_interval_seconds",
      "Interval in seconds between relisting in PLEG.",
    );
    this.#lastSeen = new Gauge({
      name: "kubelet_pleg_last_seen_seconds",
      help: "[ALPHA] Timestamp in seconds when PLEG was last seen active.",
      registers,
    });
  }

  stepped(kind: StepKind, ms: number): void {
    this.#steps.observe({ operation_type: kind }, ms / 1000);
  }

  workerStarted(sinceSeenMs: number): void {
    this.#workerStarts.observe(sinceSeenMs / 1000);
  }

  podRuns(sinceSeenMs: number, sinceCreatedMs: number | undefined): void {
    this.#starts.observe(sinceSeenMs / 1000);
    if (sinceCreatedMs !== undefined) this.#startsFromCreation.observe(Math.max(0, sinceCreatedMs) / 1000);
  }

  sandboxStarted(error?: string): void {
    if (error === undefined) {
      this.#startedPods.inc();
      this.#containers.inc({ container_type: SANDBOX });
    } else {
      // Every pod's own words would be a label value of its own.
      this.#podErrors.inc({ message: error });
      this.#containerErrors.inc({ container_type: SANDBOX, code: error });
    }
  }

  containerStarted(kind: ContainerKind, error?: string): void {
    if (error === undefined) this.#containers.inc({ container_type: TYPES[kind] });
    else this.#containerErrors.inc({ container_type: TYPES[kind], code: error });
  }

  relisted(ms: number, sinceLastMs: number | undefined): void {
    this.#lastSeen.setToCurrentTime();
    this.#relists.observe(ms / 1000);
    if (sinceLastMs !== undefined) this.#relistIntervals.observe(sinceLastMs / 1000);
  }
}
