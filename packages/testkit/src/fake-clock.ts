/**
 * Clocks for tests: one whose hands the test turns, and one that runs faster than the wall's.
 */
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

/** Stands still until `advance`. Starts at 2026-01-01T00:00:00Z, its monotonic side at 0. */
export class FakeClock implements Clock {
  #elapsedMs = 0;
  #startMs = Date.UTC(2026, 0, 1);
  #timers: Timer[] = [];
  #order = 0;

  now(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** Moves the wall time only, as an operator or NTP would. */
  jump(ms: number): void {
    this.#startMs += ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  setTimeout(callback: () => void, ms: number): () => void {
    const timer: Timer = { atMs: this.#elapsedMs + Math.max(0, ms), order: this.#order++, fire: callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Fires what is due within `ms`, in order, letting promises settle before, between and after. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await settle();
    for (let next = this.#earliest(endMs); next !== undefined; next = this.#earliest(endMs)) {
      const due = next;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#elapsedMs = Math.max(this.#elapsedMs, due.atMs);
      due.fire();
      await settle();
    }
    this.#elapsedMs = endMs;
    await settle();
  }

  #earliest(endMs: number): Timer | undefined {
    return this.#timers
      .filter((timer) => timer.atMs <= endMs)
      .sort((a, b) => a.atMs - b.atMs || a.order - b.order)
      .at(0);
  }
}

/** Two turns of the event loop: what promises and immediates started meanwhile has run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** The system's clock, `factor` times as fast: for loops with real sockets and long deadlines. */
export function fastClock(factor: number): Clock {
  const startMs = systemClock.now();
  return {
    now: () => startMs + (systemClock.now() - startMs) * factor,
    monotonicMs: () => systemClock.monotonicMs() * factor,
    sleep: (ms, signal) => systemClock.sleep(ms / factor, signal),
    setTimeout: (callback, ms) => systemClock.setTimeout(callback, ms / factor),
  };
}
