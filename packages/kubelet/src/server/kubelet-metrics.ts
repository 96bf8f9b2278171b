/**
 * The kubelet's own metrics under upstream's names: requests to its API, calls of the runtime.
 * Source: k8s.io/kubernetes/pkg/kubelet/metrics/metrics.go, pkg/kubelet/server/metrics, pkg/kubelet/cri/remote
 */
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { PodMetrics } from "./pod-metrics.ts";

const HTTP_LABELS = ["method", "path", "server_type", "long_running"] as const;
const PATHS: ReadonlySet<string> = new Set([
  "attach",
  "checkpoint",
  "configz",
  "containerLogs",
  "debug",
  "exec",
  "healthz",
  "logs",
  "metrics",
  "metrics/cadvisor",
  "metrics/probes",
  "metrics/resource",
  "pods",
  "portForward",
  "run",
  "runningpods",
  "stats",
]);
const LONG_RUNNING: ReadonlySet<string> = new Set(["exec", "attach", "portForward", "debug"]);
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);
/** Where CRI's names are not ours in other letters. */
const OPERATIONS: Readonly<Record<string, string>> = {
  runSandbox: "run_podsandbox",
  stopSandbox: "stop_podsandbox",
  removeSandbox: "remove_podsandbox",
  sandboxStatus: "podsandbox_status",
  listSandboxes: "list_podsandbox",
  execUrl: "exec",
  attachUrl: "attach",
  portForwardUrl: "port_forward",
  imageFilesystems: "image_fs_info",
};

export class KubeletMetrics {
  readonly registry = new Registry();
  readonly pods = new PodMetrics(this.registry);
  readonly #clock: Clock;
  readonly #requests: Counter<(typeof HTTP_LABELS)[number]>;
  readonly #durations: Histogram<(typeof HTTP_LABELS)[number]>;
  readonly #inFlight: Gauge<(typeof HTTP_LABELS)[number]>;
  readonly #operations: Counter<"operation_type">;
  readonly #operationErrors: Counter<"operation_type">;
  readonly #operationSeconds: Histogram<"operation_type">;

  constructor(clock: Clock) {
    this.#clock = clock;
    const registers = [this.registry];
    // Its default of 10 ms is most of what an idle daemon does.
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 200 });
    this.#requests = new Counter({
      name: "kubelet_http_requests_total",
      help: "[ALPHA] Number of the http requests received since the server started",
      labelNames: [...HTTP_LABELS],
      registers,
    });
    this.#durations = new Histogram({
      name: "kubelet_http_requests_duration_seconds",
      help: "[ALPHA] Duration in seconds to serve http requests",
      labelNames: [...HTTP_LABELS],
      registers,
    });
    this.#inFlight = new Gauge({
      name: "kubelet_http_inflight_requests",
      help: "[ALPHA] Number of the inflight http requests",
      labelNames: [...HTTP_LABELS],
      registers,
    });
    this.#operations = new Counter({
      name: "kubelet_runtime_operations_total",
      help: "[ALPHA] Cumulative number of runtime operations by operation type.",
      labelNames: ["operation_type"],
      registers,
    });
    this.#operationErrors = new Counter({
      name: "kubelet_runtime_operations_errors_total",
      help: "[ALPHA] Cumulative number of runtime operation errors by operation type.",
      labelNames: ["operation_type"],
      registers,
    });
    this.#operationSeconds = new Histogram({
      name: "kubelet_runtime_operations_duration_seconds",
      help: "[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.",
      labelNames: ["operation_type"],
      // Source: metrics.go: 5 ms, times 2.5, fourteen of them.
      buckets: Array.from({ length: 14 }, (_, i) => 0.005 * 2.5 ** i),
      registers,
    });
  }

  /** A request came; call the result when it is over. What clients make up never becomes a label. */
  request(method: string, parts: readonly string[]): () => void {
    const [first = "", second] = parts;
    const path = first === "metrics" && second !== undefined ? `metrics/${second}` : first;
    const labels = {
      method: METHODS.has(method) ? method : "other",
      path: PATHS.has(path) ? path : "other",
      server_type: "readwrite",
      long_running: String(LONG_RUNNING.has(first)),
    };
    const startedAt = this.#clock.monotonicMs();
    this.#requests.inc(labels);
    this.#inFlight.inc(labels);
    return () => {
      this.#inFlight.dec(labels);
      this.#durations.observe(labels, (this.#clock.monotonicMs() - startedAt) / 1000);
    };
  }

  /** The same runtime, its calls counted and timed. */
  watch(runtime: Runtime): Runtime {
    const wrapped = new Map<PropertyKey, unknown>();
    return new Proxy(runtime, {
      get: (target, name) => {
        const known = wrapped.get(name);
        if (known !== undefined) return known;
        const value = Reflect.get(target, name, target) as unknown;
        // The event stream is no operation, and private state needs its own `this`.
        if (typeof value !== "function" || typeof name !== "string") return value;
        const bound = value.bind(target) as (...args: unknown[]) => unknown;
        const counted = name === "events" || name === "close" ? bound : this.#counted(operationOf(name), bound);
        wrapped.set(name, counted);
        return counted;
      },
    });
  }

  #counted(operation_type: string, call: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
    return (...args) => {
      const startedAt = this.#clock.monotonicMs();
      this.#operations.inc({ operation_type });
      const result = call(...args);
      if (!(result instanceof Promise)) return result;
      const over = () =>
        this.#operationSeconds.observe({ operation_type }, (this.#clock.monotonicMs() - startedAt) / 1000);
      result.then(over, () => {
        over();
        this.#operationErrors.inc({ operation_type });
      });
      return result;
    };
  }
}

/** "createContainer" -> "create_container" */
function operationOf(name: string): string {
  return OPERATIONS[name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
