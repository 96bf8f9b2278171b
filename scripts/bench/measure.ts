/** A closed loop: so many lanes, each starts its next call when the last one was answered. */
import type { LoadResult } from "./job.ts";

/** One call of a lane; `bytes` of payload, or what was wrong with the answer. */
export type Call = (lane: number) => Promise<{ readonly bytes: number } | { readonly failure: string }>;

export interface MeasureOptions {
  readonly inFlight: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly onMeasuring: () => void;
}

/** Rejects as soon as a call rejects. Calls that end after the measured time are not counted. */
export async function measure(call: Call, options: MeasureOptions): Promise<LoadResult> {
  const { inFlight, warmUpMs, measureMs, onMeasuring } = options;
  const latencies: number[] = [];
  let bytes = 0;
  let failures = 0;
  let firstFailure = "";
  const beginMs = performance.now() + warmUpMs;
  const endMs = beginMs + measureMs;
  let cpuBefore = process.cpuUsage();
  const begin = setTimeout(() => {
    cpuBefore = process.cpuUsage();
    onMeasuring();
  }, warmUpMs);
  const lane = async (index: number) => {
    for (;;) {
      const startedMs = performance.now();
      if (startedMs >= endMs) return;
      const outcome = await call(index);
      const doneMs = performance.now();
      if (doneMs < beginMs || doneMs > endMs) continue;
      if ("failure" in outcome) {
        failures++;
        firstFailure ||= outcome.failure;
        continue;
      }
      latencies.push(doneMs - startedMs);
      bytes += outcome.bytes;
    }
  };
  try {
    await Promise.all(Array.from({ length: inFlight }, (_, index) => lane(index)));
  } finally {
    clearTimeout(begin);
  }
  const cpu = process.cpuUsage(cpuBefore);
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) => latencies[Math.floor(q * (latencies.length - 1))] ?? 0;
  return {
    perSecond: latencies.length / (measureMs / 1000),
    bytesPerSecond: bytes / (measureMs / 1000),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    failures,
    firstFailure,
    clientCores: (cpu.user + cpu.system) / 1000 / measureMs,
  };
}
