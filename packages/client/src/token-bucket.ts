/**
 * Lets `burst` requests pass at once and `qps` a second from then on; the others wait in the order in which they came.
 *
 * Example: qps 10, burst 2, four at once: 0 ms, 0 ms, 100 ms, 200 ms. Source: client-go util/flowcontrol/throttle.go
 */
import type { Clock } from "@knarr/daemon/clock.ts";

export interface RateLimit {
  /** Requests a second; must be above 0. */
  readonly qps: number;
  readonly burst: number;
}

export class TokenBucket {
  readonly #limit: RateLimit;
  readonly #clock: Clock;
  /** Below zero by as many as wait. */
  #tokens: number;
  #atMs: number;

  constructor(limit: RateLimit, clock: Clock) {
    if (!(limit.qps > 0)) throw new RangeError("qps must be greater than 0");
    this.#limit = limit;
    this.#clock = clock;
    this.#tokens = Math.max(1, limit.burst);
    this.#atMs = clock.monotonicMs();
  }

  /** Rejects with the signal's reason; who gives up makes room for those behind. */
  async take(signal?: AbortSignal): Promise<void> {
    const { qps, burst } = this.#limit;
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(Math.max(1, burst), this.#tokens + ((nowMs - this.#atMs) * qps) / 1000);
    this.#atMs = nowMs;
    this.#tokens -= 1;
    if (this.#tokens >= 0) return;
    try {
      await this.#clock.sleep((-this.#tokens * 1000) / qps, signal);
    } catch (error) {
      this.#tokens += 1;
      throw signal?.aborted === true ? signal.reason : error;
    }
  }
}
