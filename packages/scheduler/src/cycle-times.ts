/** How long extension points take, in every cycle, and plugins, in every tenth: measuring each plugin on each node costs more than it does. */
import type { CycleObserver } from "./core/cycle.ts";
import type { SchedulerMetrics } from "./metrics.ts";

/** Source: pkg/scheduler/schedule_one.go (pluginMetricsSamplePercent) */
const SAMPLE_EVERY = 10;

export class CycleTimes {
  readonly #metrics: SchedulerMetrics;
  readonly #monotonicMs: () => number;
  #cycles = 0;

  constructor(metrics: SchedulerMetrics, monotonicMs: () => number) {
    this.#metrics = metrics;
    this.#monotonicMs = monotonicMs;
  }

  observer(profile: string): CycleObserver {
    const { extensionPointSeconds, pluginSeconds } = this.#metrics;
    const sampled = this.#cycles++ % SAMPLE_EVERY === 0;
    return {
      monotonicMs: this.#monotonicMs,
      extensionPoint: (extension_point, status, seconds) =>
        extensionPointSeconds.observe({ extension_point, status, profile }, seconds),
      plugin: sampled
        ? (plugin, extension_point, status, seconds) =>
            pluginSeconds.observe({ plugin, extension_point, status }, seconds)
        : undefined,
    };
  }
}
