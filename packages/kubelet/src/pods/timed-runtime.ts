/** A runtime that tells of every call how long it took: for benchmarks and for whoever asks why a pod starts slowly. */
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { Clock } from "@knarr/daemon/clock.ts";

export interface RuntimeCall {
  /** "runSandbox" */
  readonly operation: string;
  readonly ms: number;
  readonly failed: boolean;
}

/** Not timed: they run for as long as somebody listens. */
const UNTIMED: readonly PropertyKey[] = ["events", "close"];

export function timedRuntime(runtime: Runtime, clock: Clock, onCall: (call: RuntimeCall) => void): Runtime {
  return new Proxy(runtime, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      if (UNTIMED.includes(property)) return value.bind(target) as unknown;
      return async (...args: unknown[]) => {
        const started = clock.monotonicMs();
        let failed = true;
        try {
          const result: unknown = await Reflect.apply(value, target, args);
          failed = false;
          return result;
        } finally {
          onCall({ operation: String(property), ms: clock.monotonicMs() - started, failed });
        }
      };
    },
  });
}
