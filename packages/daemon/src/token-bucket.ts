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

  /** Takes a token if one is there now; without one nothing changes. `nowMs` is monotonic. */
  tryTake(nowMs: number): boolean {
    const tokens = this.#tokensAt(nowMs);
    if (tokens < 1) return false;
    this.#atMs = nowMs;
    this.#tokens = tokens - 1;
    return true;
  }

  #tokensAt(nowMs: number): number {
    const elapsedMs = this.#atMs === undefined ? 0 : Math.max(0, nowMs - this.#atMs);
    return Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1000);
  }

  /** Milliseconds to wait. `nowMs` is monotonic. */
  reserve(nowMs: number): number {
    this.#tokens = this.#tokensAt(nowMs) - 1;
    this.#atMs = nowMs;
    return this.#tokens >= 0 ? 0 : (-this.#tokens * 1000) / this.#perSecond;
  }
}
