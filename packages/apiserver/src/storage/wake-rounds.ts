/**
 * Wakes the readers of watches in rounds, some in each turn of the event loop. What happens while a reader waits for its turn, it reads
 * in one go: with a thousand watchers, a round takes longer than the next events need to come, and one write of five events costs little
 * more than one of one. Between two turns everybody else's requests are served.
 */

/** Woken in one turn: some milliseconds of writing to TLS connections. */
const PER_TURN = 128;

export class WakeRounds {
  readonly #perTurn: number;
  readonly #soon: (turn: () => void) => void;
  #now: (() => void)[] = [];
  #at = 0;
  #next: (() => void)[] = [];
  #isScheduled = false;

  /** `soon` calls back in the next turn of the event loop. */
  constructor(options: { readonly perTurn?: number; readonly soon?: (turn: () => void) => void } = {}) {
    this.#perTurn = options.perTurn ?? PER_TURN;
    this.#soon = options.soon ?? setImmediate;
  }

  /** Calls `wake` once, after everybody who came before. Callers see to it that they are in here only once. */
  add(wake: () => void): void {
    this.#next.push(wake);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#soon(this.#turn);
  }

  readonly #turn = (): void => {
    this.#isScheduled = false;
    if (this.#at === this.#now.length) {
      this.#now = this.#next;
      this.#next = [];
      this.#at = 0;
    }
    const end = Math.min(this.#now.length, this.#at + this.#perTurn);
    if (end < this.#now.length || this.#next.length > 0) this.#schedule();
    while (this.#at < end) this.#now[this.#at++]?.();
    if (this.#at === this.#now.length) {
      this.#now = [];
      this.#at = 0;
    }
  };
}
