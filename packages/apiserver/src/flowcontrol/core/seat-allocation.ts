/**
 * How the server's seats are divided among the priority levels: nominally by shares, and then lent and borrowed by need.
 * Pure. Source: KEP-1040 "Dispatching"; k8s.io/apiserver/pkg/util/flowcontrol/{conc_alloc,apf_controller}.go
 */

export interface LevelShares {
  readonly shares: number;
  readonly lendablePercent: number;
  /** undefined: no limit. */
  readonly borrowingLimitPercent: number | undefined;
}

export interface LevelSeats {
  readonly nominal: number;
  /** What is left when all that may be lent is lent. */
  readonly min: number;
  readonly max: number;
}

export function nominalSeats(total: number, levels: ReadonlyMap<string, LevelShares>): Map<string, LevelSeats> {
  let sum = 0;
  for (const { shares } of levels.values()) sum += shares;
  const seats = new Map<string, LevelSeats>();
  for (const [name, { shares, lendablePercent, borrowingLimitPercent }] of levels) {
    const nominal = sum === 0 ? 0 : Math.ceil((total * shares) / sum);
    const lendable = Math.round((nominal * lendablePercent) / 100);
    const borrowing = borrowingLimitPercent === undefined ? total : Math.round((nominal * borrowingLimitPercent) / 100);
    seats.set(name, { nominal, min: nominal - lendable, max: Math.min(nominal + borrowing, Math.max(total, nominal)) });
  }
  return seats;
}

export interface LevelDemand extends LevelSeats {
  /** Most seats that were wanted at once in the last period. */
  readonly high: number;
  /** The demand smoothed: it rises at once and falls slowly. */
  readonly smoothed: number;
}

/**
 * Each level gets at least the smaller of its nominal seats and its need (and never less than its minimum); what is left goes to
 * who needs more, in proportion to the smoothed demand, up to the maximum.
 */
export function currentSeats(total: number, levels: ReadonlyMap<string, LevelDemand>): Map<string, number> {
  const bounds = [...levels].map(([name, level]) => {
    const low = Math.max(level.min, Math.min(level.nominal, level.high));
    const target = Math.max(low, Math.min(level.max, level.smoothed));
    return { name, low, high: Math.max(level.max, low), target: Math.max(target, 1) };
  });
  const given = (fraction: number) =>
    bounds.map(({ low, high, target }) => Math.min(high, Math.max(low, fraction * target)));
  const sum = (seats: readonly number[]) => seats.reduce((a, b) => a + b, 0);
  let below = 0;
  let above = 1;
  const most = sum(bounds.map(({ high }) => high));
  const wanted = Math.min(total, most);
  while (sum(given(above)) < wanted && above < 2 ** 40) above *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (below + above) / 2;
    if (sum(given(middle)) < wanted) below = middle;
    else above = middle;
  }
  const seats = given(below);
  return new Map(bounds.map(({ name }, i) => [name, Math.max(1, Math.round(seats[i] ?? 1))]));
}

/** Falls by a small part of the way each period, so that a level that was busy a moment ago keeps its seats for a while. */
export function smoothDemand(
  previous: number,
  demand: { readonly high: number; readonly average: number; readonly deviation: number },
): number {
  const envelope = Math.min(demand.high, demand.average + demand.deviation);
  return Math.max(envelope, 0.977 * previous + (1 - 0.977) * envelope);
}
