/**
 * How long a client that was turned away should wait, by priority level: as TCP does it, twice as long while many are turned
 * away, then a second less at a time. Pure.
 *
 *   10 refused a second: 1 s, 2 s, 4 s ... 32 s, each held for as long as it says; then one every 40 s: 31 s, 30 s ... 1 s
 *
 * Source: k8s.io/apiserver/pkg/util/flowcontrol/dropped_requests_tracker.go
 */

const MAX_SECONDS = 32;

interface Dropped {
  readonly second: number;
  count: number;
}

interface Level {
  seconds: number;
  raisedAt: number;
  /** The last MAX_SECONDS seconds in which anything was turned away, oldest first. */
  history: Dropped[];
}

export class RetryAfter {
  readonly #levels = new Map<string, Level>();

  /** A request of this level was turned away. `nowMs` is monotonic. */
  dropped(level: string, nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    const state = this.#levels.get(level) ?? { seconds: 1, raisedAt: Number.NEGATIVE_INFINITY, history: [] };
    this.#levels.set(level, state);
    const last = state.history.at(-1);
    if (last?.second === second) {
      last.count += 1;
      return;
    }
    update(state, second);
    state.history = state.history.filter((one) => second - one.second <= MAX_SECONDS);
    state.history.push({ second, count: 1 });
  }

  secondsFor(level: string): number {
    return this.#levels.get(level)?.seconds ?? 1;
  }

  forget(level: string): void {
    this.#levels.delete(level);
  }
}

/** Judged by the seconds before this one, as many as clients are told to wait. */
function update(state: Level, now: number): void {
  const { seconds, raisedAt, history } = state;
  let dropped = 0;
  for (const { second, count } of history) if (now - second <= seconds) dropped += count;
  if (dropped >= 3 * seconds) {
    // Raised once for one flood: what was told before must have had its effect.
    if (now - raisedAt < seconds) return;
    state.seconds = Math.min(MAX_SECONDS, seconds * 2);
    state.raisedAt = now;
  } else if (dropped < seconds && seconds > 1) state.seconds = seconds - 1;
}
