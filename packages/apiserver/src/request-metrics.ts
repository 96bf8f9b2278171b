/**
 * Counts and durations of requests, kept as plain numbers and turned into Prometheus' shape when somebody asks: prom-client hashes seven
 * labels anew for every observation, which costs more than all the filters of a small GET together.
 */
import type { MetricObject, MetricValue, Registry } from "prom-client";

export interface RequestLabels {
  readonly verb: string;
  readonly dryRun: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly scope: string;
}

interface Series {
  readonly of: RequestLabels;
  readonly labels: Record<string, string>;
  readonly byCode: Map<number, number>;
  /** Durations observed in each bucket, the last for everything beyond. */
  readonly buckets: Float64Array;
  sumSeconds: number;
  observed: number;
}

/** Source: docs reference/instrumentation/metrics, apiserver_request_duration_seconds. */
const BUCKETS: readonly number[] = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

function isOf(a: RequestLabels, b: RequestLabels): boolean {
  return (
    a.verb === b.verb &&
    a.subresource === b.subresource &&
    a.scope === b.scope &&
    a.version === b.version &&
    a.group === b.group &&
    a.dryRun === b.dryRun
  );
}

export class RequestMetrics {
  /** By resource. Few of one resource: looking through them is cheaper than putting a key of all labels together. */
  readonly #series = new Map<string, Series[]>();

  constructor(registry: Registry) {
    this.#register(registry, {
      name: "apiserver_request_total",
      help: "API server requests by verb, dry run, group, version, resource, scope, component and HTTP response code.",
      type: "counter",
      values: () => this.#counts(),
    });
    this.#register(registry, {
      name: "apiserver_request_duration_seconds",
      help: "Response latency in seconds, long-running requests apart.",
      type: "histogram",
      values: () => this.#durations(),
    });
  }

  /** `seconds`: undefined for requests whose duration says nothing. */
  record(of: RequestLabels, code: number, seconds: number | undefined): void {
    const series = this.#seriesOf(of);
    series.byCode.set(code, (series.byCode.get(code) ?? 0) + 1);
    if (seconds === undefined) return;
    let bucket = 0;
    while (bucket < BUCKETS.length && seconds > (BUCKETS[bucket] as number)) bucket++;
    series.buckets[bucket] = (series.buckets[bucket] ?? 0) + 1;
    series.sumSeconds += seconds;
    series.observed++;
  }

  #seriesOf(of: RequestLabels): Series {
    let all = this.#series.get(of.resource);
    if (all === undefined) {
      all = [];
      this.#series.set(of.resource, all);
    }
    for (const one of all) if (isOf(one.of, of)) return one;
    const { dryRun, ...labels } = of;
    const made = {
      of,
      labels: { ...labels, dry_run: dryRun, component: "apiserver" },
      byCode: new Map(),
      buckets: new Float64Array(BUCKETS.length + 1),
      sumSeconds: 0,
      observed: 0,
    };
    all.push(made);
    return made;
  }

  #register(
    registry: Registry,
    metric: {
      readonly name: string;
      readonly help: string;
      readonly type: "counter" | "histogram";
      readonly values: () => MetricValue<string>[];
    },
  ): void {
    const { name, help, type, values } = metric;
    const get = () => Promise.resolve({ name, help, type, aggregator: "sum", values: values() });
    const made = { name, help, type, aggregator: "sum", get, reset: () => this.#series.clear() };
    registry.registerMetric(made as unknown as Parameters<Registry["registerMetric"]>[0] & MetricObject);
  }

  #counts(): MetricValue<string>[] {
    return [...this.#series.values()]
      .flat()
      .flatMap(({ labels, byCode }) => [...byCode].map(([code, value]) => ({ labels: { ...labels, code }, value })));
  }

  #durations(): MetricValue<string>[] {
    const name = "apiserver_request_duration_seconds";
    return [...this.#series.values()].flat().flatMap(({ labels, buckets, sumSeconds, observed }) => {
      if (observed === 0) return [];
      let below = 0;
      const values = [...buckets].map((count, index) => {
        below += count;
        return { labels: { ...labels, le: BUCKETS[index] ?? "+Inf" }, value: below, metricName: `${name}_bucket` };
      });
      return [
        ...values,
        { labels, value: sumSeconds, metricName: `${name}_sum` },
        { labels, value: observed, metricName: `${name}_count` },
      ];
    });
  }
}
