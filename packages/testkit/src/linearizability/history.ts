/**
 * What clients did and what they were told, as a checker reads it: operations on one key, each with the time of its call and of its answer.
 */

/** What the store holds under one key: nothing, or a value under a version that grows with every write of any key. */
export type Operation =
  | { readonly kind: "create"; readonly value: string }
  /** Writes only if the key's version is still `expected`. */
  | { readonly kind: "update"; readonly value: string; readonly expected: number }
  | { readonly kind: "delete"; readonly expected: number }
  | { readonly kind: "read" };

/**
 * `done`: it happened, and the key has (for a delete: had last) this version. `refused`: it certainly did not happen, because of the key's
 * state (it exists, it does not, it has another version). `value`: what a read found; `absent`: nothing. `failed`: it certainly did not
 * happen, for reasons that say nothing about the key. `unknown`: it may have happened, now or later.
 */
export type Outcome =
  | { readonly kind: "done"; readonly version: number }
  | { readonly kind: "refused" }
  | { readonly kind: "value"; readonly value: string; readonly version: number }
  | { readonly kind: "absent" }
  | { readonly kind: "failed" }
  | { readonly kind: "unknown" };

export interface Entry {
  readonly key: string;
  readonly client: number;
  readonly operation: Operation;
  readonly outcome: Outcome;
  /** Of one monotonic clock. */
  readonly calledMs: number;
  /** When the answer was there; Infinity for what never was answered. */
  readonly answeredMs: number;
}

/** Collects the entries of many clients. */
export class History {
  readonly entries: Entry[] = [];
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** Runs `call` and keeps what it came to; what it throws is given to `outcomeOf`, which may throw it on. */
  async record(
    of: { readonly key: string; readonly client: number; readonly operation: Operation },
    call: () => Promise<Outcome>,
    outcomeOf: (error: unknown) => Outcome,
  ): Promise<Outcome> {
    const calledMs = this.#nowMs();
    let outcome: Outcome;
    try {
      outcome = await call();
    } catch (error) {
      outcome = outcomeOf(error);
    }
    const answeredMs = outcome.kind === "unknown" ? Number.POSITIVE_INFINITY : this.#nowMs();
    this.entries.push({ ...of, outcome, calledMs, answeredMs });
    return outcome;
  }

  byKey(): ReadonlyMap<string, readonly Entry[]> {
    return Map.groupBy(this.entries, (entry) => entry.key);
  }
}
