/** A bell between two loops: one rings, the other wakes up before its time. Rings while nobody waits are kept, as one. */
import type { Clock } from "@knarr/daemon/clock.ts";

export class Wake {
  #rung = false;
  #resolve: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#resolve?.();
  }

  /** Resolves after so long, at once when it rang since the last wait, when it rings, or when the signal aborts. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const onAbort = () => resolve();
    this.#resolve = resolve;
    if (this.#rung || signal.aborted) resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    const cancel = clock.setTimeout(resolve, ms);
    await promise;
    cancel();
    signal.removeEventListener("abort", onAbort);
    this.#resolve = undefined;
    this.#rung = false;
  }
}
