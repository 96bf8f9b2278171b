/**
 * Exponential back-off, per key.
 *
 * Example with { initialMs: 100, maxMs: 1000, factor: 2, jitter: 0 }: next() gives 100, 200, 400, 800, 1000, 1000, ...
 */
export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** Multiplier per failure; 2 when absent. */
  readonly factor?: number;
  /** Share of the delay added at random: 0.5 gives 1x to 1.5x. 0 when absent. */
  readonly jitter?: number;
  /** Uniform in [0, 1); Math.random when absent. */
  readonly random?: () => number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  readonly #failures = new Map<string, number>();

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The delay in milliseconds before the next try of `key`, counting one more failure. */
  next(key = ""): number {
    const { initialMs, maxMs, factor = 2, jitter = 0, random = Math.random } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const delayMs = Math.min(maxMs, initialMs * factor ** failures);
    return delayMs * (1 + jitter * random());
  }

  failures(key = ""): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Forgets the failures of `key`: its next delay is the initial one. */
  reset(key = ""): void {
    this.#failures.delete(key);
  }
}
