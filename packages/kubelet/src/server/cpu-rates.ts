/** CPU use in nanocores of containers, pods and the node, each from its last two samples. */
export interface CpuSample {
  readonly id: string;
  /** Milliseconds of the epoch, as whoever measured says. */
  readonly atMs: number;
  /** When it reached us, on the steady clock. */
  readonly seenMs: number;
  readonly nanoSeconds: number;
}

/** Two samples closer than this say little. */
const MIN_INTERVAL_MS = 500;
/** Two clocks that differ more than this about an interval: the wall's was set in between. */
const MAX_DIFFERENCE_MS = 10_000;

export class CpuRates {
  readonly #last = new Map<string, CpuSample>();
  readonly #rates = new Map<string, number>();

  /** Adds samples and forgets what has none any more. */
  update(samples: readonly CpuSample[]): void {
    const present = new Set(samples.map(({ id }) => id));
    for (const id of this.#last.keys()) {
      if (present.has(id)) continue;
      this.#last.delete(id);
      this.#rates.delete(id);
    }
    for (const sample of samples) {
      const before = this.#last.get(sample.id);
      const elapsedMs = sample.atMs - (before?.atMs ?? 0);
      const seenMs = sample.seenMs - (before?.seenMs ?? 0);
      // An interval that was not one gives no rate: the last one stays until the next sample.
      const isInterval = Math.abs(elapsedMs - seenMs) <= MAX_DIFFERENCE_MS;
      if (before !== undefined && isInterval && elapsedMs < MIN_INTERVAL_MS) continue;
      if (before !== undefined && isInterval) {
        const used = Math.max(0, sample.nanoSeconds - before.nanoSeconds);
        this.#rates.set(sample.id, Math.round((used / elapsedMs) * 1000));
      }
      this.#last.set(sample.id, sample);
    }
  }

  /** Undefined before the second sample. */
  of(id: string): number | undefined {
    return this.#rates.get(id);
  }
}
