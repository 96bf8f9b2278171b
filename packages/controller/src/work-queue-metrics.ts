/** Upstream's workqueue_* metrics. Source: k8s.io/component-base/metrics/prometheus/workqueue */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What a queue tells of itself; times are monotonic milliseconds. */
export interface QueueObserver {
  added(key: string, atMs: number): void;
  started(key: string, atMs: number): void;
  finished(key: string, atMs: number): void;
  retried(): void;
}

const BUCKETS = Array.from({ length: 12 }, (_, i) => 1e-8 * 10 ** i);

interface QueueState {
  readonly addedAtMs: Map<string, number>;
  readonly startedAtMs: Map<string, number>;
}

/** One per registry; `observe(name)` gives each queue its observer. */
export class WorkQueueMetrics {
  readonly #queues = new Map<string, QueueState>();
  readonly #adds: Counter<"name">;
  readonly #retries: Counter<"name">;
  readonly #waited: Histogram<"name">;
  readonly #worked: Histogram<"name">;

  constructor(registry: Registry, monotonicMs: () => number) {
    const labelNames = ["name"] as const;
    const registers = [registry];
    this.#adds = new Counter({
      name: "workqueue_adds_total",
      help: "Total number of adds handled by workqueue",
      labelNames,
      registers,
    });
    this.#retries = new Counter({
      name: "workqueue_retries_total",
      help: "Total number of retries handled by workqueue",
      labelNames,
      registers,
    });
    this.#waited = new Histogram({
      name: "workqueue_queue_duration_seconds",
      help: "How long in seconds an item stays in workqueue before being requested",
      labelNames,
      buckets: BUCKETS,
      registers,
    });
    this.#worked = new Histogram({
      name: "workqueue_work_duration_seconds",
      help: "How long in seconds processing an item from workqueue takes",
      labelNames,
      buckets: BUCKETS,
      registers,
    });
    const gauge = (name: string, help: string, measure: (queue: QueueState) => number) => {
      const queues = this.#queues;
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          for (const [queueName, state] of queues) this.set({ name: queueName }, measure(state));
        },
      });
    };
    const ages = (state: QueueState) => [...state.startedAtMs.values()].map((ms) => (monotonicMs() - ms) / 1000);
    gauge("workqueue_depth", "Current depth of workqueue", (state) => state.addedAtMs.size);
    gauge("workqueue_unfinished_work_seconds", "Seconds of work in progress that has not been observed yet", (state) =>
      ages(state).reduce((sum, age) => sum + age, 0),
    );
    gauge(
      "workqueue_longest_running_processor_seconds",
      "Seconds the longest running processor has been running",
      (state) => Math.max(0, ...ages(state)),
    );
  }

  observe(name: string): QueueObserver {
    const state: QueueState = { addedAtMs: new Map(), startedAtMs: new Map() };
    this.#queues.set(name, state);
    const adds = this.#adds.labels(name);
    const retries = this.#retries.labels(name);
    const waited = this.#waited.labels(name);
    const worked = this.#worked.labels(name);
    return {
      added: (key, atMs) => {
        adds.inc();
        state.addedAtMs.set(key, atMs);
      },
      started: (key, atMs) => {
        waited.observe((atMs - (state.addedAtMs.get(key) ?? atMs)) / 1000);
        state.addedAtMs.delete(key);
        state.startedAtMs.set(key, atMs);
      },
      finished: (key, atMs) => {
        worked.observe((atMs - (state.startedAtMs.get(key) ?? atMs)) / 1000);
        state.startedAtMs.delete(key);
      },
      retried: () => retries.inc(),
    };
  }
}
