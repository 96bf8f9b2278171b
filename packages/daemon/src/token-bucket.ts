/**
 * A rate with a burst: `reserve` takes a token, now or in advance, and says how long to wait until it is there.
 *
 *   10 per second, burst 100: the first hundred wait 0 ms, the next 100 ms, the one after it 200 ms ...
 *
 * Source: golang.org/x/time/rate Limiter.Reserve, as client-go's BucketRateLimiter uses it
 */
export interface TokenBucketOptions {
  readonly perSecond: number;
  readonly burst: number;
}

export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number | undefined;

  constructor({ perSecond, burst }: TokenBucketOptions) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Milliseconds to wait. `nowMs` is monotonic. */
  reserve(nowMs: number): number {
    const elapsedMs = this.#atMs === undefined ? 0 : Math.max(0, nowMs - this.#atMs);
    this.#atMs = nowMs;
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1000) - 1;
    return this.#tokens >= 0 ? 0 : (-this.#tokens * 1000) / this.#perSecond;
  }
}
