/**
 * What the node remembers between two looks at its signals, and the step from one to the next. Pure.
 *
 *   measured --thresholds--> met --first met at--> acts (hard at once, soft after its grace)
 *                             └--> conditions, which stay for the transition period after they were last seen
 *
 * Source: pkg/kubelet/eviction/eviction_manager.go (synchronize)
 */
import { MEANING, type Observations, type PressureCondition } from "./signals.ts";
import { mergeThresholds, type Threshold, thresholdKey, thresholdsMet } from "./thresholds.ts";

export interface Pressure {
  /** Met now or not yet reclaimed enough. */
  readonly met: readonly Threshold[];
  /** Epoch milliseconds, by thresholdKey. */
  readonly firstMetAt: ReadonlyMap<string, number>;
  readonly lastSeenAt: ReadonlyMap<PressureCondition, number>;
  readonly conditions: readonly PressureCondition[];
  readonly observations: Observations;
}

export const NO_PRESSURE: Pressure = {
  met: [],
  firstMetAt: new Map(),
  lastSeenAt: new Map(),
  conditions: [],
  observations: {},
};

export interface PressureStep {
  readonly pressure: Pressure;
  /** Thresholds that something is to be done about now. */
  readonly due: readonly Threshold[];
}

export interface PressureInput {
  readonly thresholds: readonly Threshold[];
  readonly observations: Observations;
  readonly now: number;
  readonly transitionMs: number;
}

export function nextPressure(
  before: Pressure,
  { thresholds, observations, now, transitionMs }: PressureInput,
): PressureStep {
  const unresolved = thresholdsMet(before.met, observations, true);
  const met = mergeThresholds(thresholdsMet(thresholds, observations, false), unresolved);
  const firstMetAt = new Map(met.map((t) => [thresholdKey(t), before.firstMetAt.get(thresholdKey(t)) ?? now]));
  const lastSeenAt = new Map(before.lastSeenAt);
  for (const threshold of met) lastSeenAt.set(MEANING[threshold.signal].condition, now);
  const conditions = [...lastSeenAt].filter(([, at]) => now - at < transitionMs || at === now).map(([name]) => name);
  const due = met.filter((threshold) => {
    if (now - (firstMetAt.get(thresholdKey(threshold)) ?? now) < threshold.graceMs) return false;
    // What was judged once is not judged again: the last eviction may just not show yet.
    const last = before.observations[threshold.signal];
    const current = observations[threshold.signal];
    return last === undefined || current === undefined || current.at > last.at;
  });
  return { pressure: { met, firstMetAt, lastSeenAt, conditions: conditions.toSorted(), observations }, due };
}
