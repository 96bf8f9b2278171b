/** The components of one container: kept running until the signal aborts, then stopped, last started first. */
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ComponentSpec } from "../components.ts";
import { ComponentProcess } from "../supervisor/component-process.ts";

/**
 * In the container's own layer, not on the volume: what a container that was replaced left of its processes is gone with
 * it. Not a tmpfs either: the engine forgets its mode when the container is started again (moby 20.10).
 */
export const RUN_DIR = join(tmpdir(), "knarr");

export class ContainerComponents {
  readonly #processes: ComponentProcess[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Starts it; what ends is started again with a back-off. */
  async start(spec: ComponentSpec): Promise<void> {
    await mkdir(RUN_DIR, { recursive: true });
    const started = new ComponentProcess({
      spec,
      runDir: RUN_DIR,
      logDir: undefined,
      clock: systemClock,
      log: this.#log,
    });
    this.#processes.push(started);
    await started.start();
  }

  /** Resolves when the signal has aborted and everything has ended. */
  async untilStopped(signal: AbortSignal): Promise<void> {
    // Children are not what keeps this process, neither while they run nor while they end: the timer is.
    const beat = setInterval(() => {}, 2 ** 30);
    try {
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
        if (signal.aborted) resolve();
      });
      for (const running of this.#processes.toReversed()) await running.stop();
    } finally {
      clearInterval(beat);
    }
  }
}
