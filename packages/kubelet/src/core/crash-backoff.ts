/**
 * How long a container that keeps ending waits before it runs again: 10 s doubling to 300 s (or less, where the node says
 * so), forgotten after ten minutes without a crash. Keys are the caller's; times are arguments. Holds state, reads no clock.
 * Source: kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle#restart-policy
 */

/** Also where the longest delay is set to less. */
const FORGET_MS = 600_000;

interface Entry {
  delayMs: number;
  lastStepAt: number;
  /** The end that is waited after, and when on the steady clock it was first asked about. */
  waiting: { readonly endedAt: number; readonly sinceMs: number } | undefined;
}

/** One moment on both clocks. */
export interface Moment {
  readonly now: number;
  readonly monotonicMs: number;
}

export class CrashBackoff {
  readonly #entries = new Map<string, Entry>();
  readonly #initialMs: number;
  readonly #maxMs: number;

  /** `maxMs` may be less than the first delay, which is then as long. Source: KEP-4603 */
  constructor({ maxMs = 300_000 }: { readonly maxMs?: number } = {}) {
    this.#initialMs = Math.min(10_000, maxMs);
    this.#maxMs = maxMs;
  }

  #expired(entry: Entry, at: number): boolean {
    return at - entry.lastStepAt > FORGET_MS;
  }

  /**
   * Milliseconds still to wait for something that last ended at `endedAt`, wall time; 0 when it may go. A wall clock that
   * was set back does not prolong the wait: it is over, too, when the delay has passed since this end was first asked about.
   */
  remainingMs(key: string, endedAt: number, { now, monotonicMs }: Moment): number {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#expired(entry, endedAt)) return 0;
    if (entry.waiting?.endedAt !== endedAt) entry.waiting = { endedAt, sinceMs: monotonicMs };
    const waitedMs = Math.max(now - endedAt, monotonicMs - entry.waiting.sinceMs);
    return Math.max(0, entry.delayMs - waitedMs);
  }

  /** The current delay of a key, for messages. */
  delayMs(key: string): number {
    return this.#entries.get(key)?.delayMs ?? 0;
  }

  /** Records that the thing runs again now, after it ended at `endedAt`. */
  step(key: string, endedAt: number, now: number): void {
    const entry = this.#entries.get(key);
    const delayMs =
      entry === undefined || this.#expired(entry, endedAt) ? this.#initialMs : Math.min(2 * entry.delayMs, this.#maxMs);
    this.#entries.set(key, { delayMs, lastStepAt: now, waiting: undefined });
  }

  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key);
  }
}

/** A delay as Go prints durations of whole seconds: "10s", "2m40s". */
export function goSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m${seconds % 60}s`;
}
