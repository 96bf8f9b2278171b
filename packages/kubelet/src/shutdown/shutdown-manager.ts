/**
 * Ends the pods in order before the machine goes down. Until logind lets it go, the machine waits for us; from its word on
 * the node is not ready and takes no pods. A shutdown that is called off leaves the node as it is and takes pods again.
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { type PriorityPeriod, planShutdown } from "./plan-shutdown.ts";

/** Whoever tells that the machine is about to go down; systemd-logind is one (logind.ts). */
export interface ShutdownSource {
  /** Holds the machine up for so long once it wants to go down. Throws when nobody does that here. */
  inhibit(seconds: number): Promise<void>;
  /** Lets it go. */
  release(): void;
  /** true: it is going down; false: called off. Ends when the source does. */
  events(signal: AbortSignal): AsyncIterable<boolean>;
}

export interface ShutdownOptions {
  readonly source: ShutdownSource;
  readonly periods: readonly PriorityPeriod[];
  readonly pods: () => readonly Pod[];
  readonly end: (pod: Pod, graceSeconds: number) => void;
  readonly isOver: (pod: Pod) => boolean;
  /** The node is going down, or not any more. */
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

const POLL_MS = 200;
const RETRY_MS = 60_000;

export class ShutdownManager {
  readonly #options: ShutdownOptions;
  #goingDown = false;

  constructor(options: ShutdownOptions) {
    this.#options = options;
  }

  get isGoingDown(): boolean {
    return this.#goingDown;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, periods, source } = this.#options;
    if (periods.length === 0) return await untilAborted(signal);
    const seconds = periods.reduce((sum, p) => sum + p.shutdownGracePeriodSeconds, 0);
    while (!signal.aborted) {
      try {
        await source.inhibit(seconds);
        log.info({ seconds }, "graceful node shutdown is ready");
        for await (const goingDown of source.events(signal)) await this.#turn(goingDown, signal);
      } catch (error) {
        if (signal.aborted) break;
        log.error({ err: error }, "graceful node shutdown is not available");
      }
      await clock.sleep(RETRY_MS, signal).catch(() => undefined);
    }
    source.release();
  }

  async #turn(goingDown: boolean, signal: AbortSignal): Promise<void> {
    const { log, onChange, periods, source } = this.#options;
    this.#goingDown = goingDown;
    onChange();
    if (!goingDown) {
      log.info({}, "the shutdown was called off");
      await source.inhibit(periods.reduce((sum, p) => sum + p.shutdownGracePeriodSeconds, 0));
      return;
    }
    log.info({}, "the machine is going down, ending pods");
    try {
      await this.endPods(signal);
    } finally {
      source.release();
    }
  }

  /** One group after the other; a group that does not end in its time does not keep the next from it. */
  async endPods(signal: AbortSignal): Promise<void> {
    const { clock, end, isOver, log, periods, pods } = this.#options;
    for (const step of planShutdown(pods(), periods)) {
      const deadline = clock.monotonicMs() + step.seconds * 1000;
      log.info({ pods: step.pods.length, seconds: step.seconds }, "ending pods for the shutdown");
      for (const { pod, graceSeconds } of step.pods) end(pod, graceSeconds);
      while (!signal.aborted && !step.pods.every(({ pod }) => isOver(pod)) && clock.monotonicMs() < deadline) {
        await clock.sleep(POLL_MS, signal).catch(() => undefined);
      }
    }
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
