/**
 * From what the metrics ask for to what is done: stabilisation windows, policies of how fast to scale, the limits of the
 * spec. Pure; the history of recommendations and scalings is an argument.
 * Source: kubernetes/pkg/controller/podautoscaler/horizontal.go, KEP-853
 */
import type { HorizontalPodAutoscalerBehavior, HPAScalingRules } from "@knarr/api/generated/types/autoscaling-v2.ts";

export interface Recommendation {
  readonly replicas: number;
  readonly atMs: number;
}
/** A scaling by this many pods. */
export interface ScaleEvent {
  readonly change: number;
  readonly atMs: number;
}
export interface ScalingHistory {
  readonly recommendations: readonly Recommendation[];
  readonly ups: readonly ScaleEvent[];
  readonly downs: readonly ScaleEvent[];
}

export interface RulesInput {
  readonly current: number;
  readonly desired: number;
  readonly min: number;
  readonly max: number;
  readonly behavior: HorizontalPodAutoscalerBehavior | undefined;
  readonly history: ScalingHistory;
  /** For those without a window of their own. */
  readonly downscaleStabilizationMs: number;
  readonly nowMs: number;
}

export interface ReasonText {
  readonly reason: string;
  readonly message: string;
}
export interface RulesOutcome {
  readonly replicas: number;
  readonly ableToScale: ReasonText;
  readonly limited: boolean;
  readonly limit: ReasonText;
}

const READY: ReasonText = { reason: "ReadyForNewScale", message: "recommended size matches current size" };
const WITHIN: ReasonText = {
  reason: "DesiredWithinRange",
  message: "the desired count is within the acceptable range",
};
const LIMITS = {
  tooFew: { reason: "TooFewReplicas", message: "the desired replica count is less than the minimum replica count" },
  tooMany: { reason: "TooManyReplicas", message: "the desired replica count is more than the maximum replica count" },
  up: {
    reason: "ScaleUpLimit",
    message: "the desired replica count is increasing faster than the maximum scale rate",
  },
  down: {
    reason: "ScaleDownLimit",
    message: "the desired replica count is decreasing faster than the maximum scale rate",
  },
} as const satisfies Record<string, ReasonText>;

export function applyRules(input: RulesInput): RulesOutcome {
  const { replicas: stable, ableToScale } = stabilize(input);
  const { replicas, limit } = input.behavior === undefined ? limitPlain(input, stable) : limitRates(input, stable);
  return { replicas, ableToScale, limited: replicas !== stable, limit };
}

function stabilize(input: RulesInput): { replicas: number; ableToScale: ReasonText } {
  const { current, desired, behavior, history, downscaleStabilizationMs, nowMs } = input;
  const within = (windowMs: number) =>
    history.recommendations.filter(({ atMs }) => atMs > nowMs - windowMs).map(({ replicas }) => replicas);
  const downMs = windowMs(behavior?.scaleDown, downscaleStabilizationMs);
  const highest = Math.max(desired, ...within(downMs));
  // Without behavior only shrinking is held back.
  const lowest = behavior === undefined ? desired : Math.min(desired, ...within(windowMs(behavior.scaleUp, 0)));
  const replicas = behavior === undefined ? highest : Math.min(Math.max(current, lowest), highest);
  if (replicas === desired) return { replicas, ableToScale: READY };
  const up = behavior !== undefined && desired >= current;
  const [recent, applied] = up ? ["lower", "lowest"] : ["higher", "highest"];
  const message = `recent recommendations were ${recent} than current one, applying the ${applied} recent recommendation`;
  return { replicas, ableToScale: { reason: up ? "ScaleUpStabilized" : "ScaleDownStabilized", message } };
}

const windowMs = (rules: HPAScalingRules | undefined, byDefault: number) =>
  rules?.stabilizationWindowSeconds === undefined ? byDefault : rules.stabilizationWindowSeconds * 1000;

/** At most double, or four, at a time. */
function limitPlain({ current, min, max }: RulesInput, desired: number): { replicas: number; limit: ReasonText } {
  const fastest = Math.max(2 * current, 4);
  const highest = Math.min(max, fastest);
  if (desired < min) return { replicas: min, limit: LIMITS.tooFew };
  if (desired > highest) return { replicas: highest, limit: max > fastest ? LIMITS.up : LIMITS.tooMany };
  return { replicas: desired, limit: WITHIN };
}

function limitRates(input: RulesInput, desired: number): { replicas: number; limit: ReasonText } {
  const { current, min, max } = input;
  if (desired > current) {
    const fastest = Math.max(current, upLimit(input));
    const highest = Math.min(max, fastest);
    if (desired > highest) return { replicas: highest, limit: max > fastest ? LIMITS.up : LIMITS.tooMany };
  } else if (desired < current) {
    const fastest = Math.min(current, downLimit(input));
    const lowest = Math.max(min, fastest);
    if (desired < lowest) return { replicas: lowest, limit: min < fastest ? LIMITS.down : LIMITS.tooFew };
  }
  return { replicas: desired, limit: WITHIN };
}

function upLimit(input: RulesInput): number {
  const rules = input.behavior?.scaleUp;
  if (rules?.selectPolicy === "Disabled") return input.current;
  const limits = (rules?.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = periodStart(input, periodSeconds);
    return type === "Pods" ? start + value : Math.ceil(start * (1 + value / 100));
  });
  if (limits.length === 0) return input.current;
  return rules?.selectPolicy === "Min" ? Math.min(...limits) : Math.max(...limits);
}

function downLimit(input: RulesInput): number {
  const rules = input.behavior?.scaleDown;
  if (rules?.selectPolicy === "Disabled") return input.current;
  const limits = (rules?.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = periodStart(input, periodSeconds);
    return type === "Pods" ? start - value : Math.trunc(start * (1 - value / 100));
  });
  if (limits.length === 0) return input.current;
  // The greatest change leaves the fewest.
  return rules?.selectPolicy === "Min" ? Math.max(...limits) : Math.min(...limits);
}

/** How many replicas there were when the period began. */
function periodStart({ current, history, nowMs }: RulesInput, periodSeconds: number): number {
  const since = (events: readonly ScaleEvent[]) =>
    events.filter(({ atMs }) => atMs > nowMs - periodSeconds * 1000).reduce((sum, { change }) => sum + change, 0);
  return current - since(history.ups) + since(history.downs);
}

/** The history with what was recommended and done now; what no window reaches any more is dropped. */
export function remember(
  { history, behavior, downscaleStabilizationMs, nowMs }: Omit<RulesInput, "min" | "max" | "desired">,
  now: { readonly recommended?: number; readonly scaledBy?: number },
): ScalingHistory {
  const stabilizationMs = Math.max(
    windowMs(behavior?.scaleUp, 0),
    windowMs(behavior?.scaleDown, downscaleStabilizationMs),
  );
  const keep = <T extends { readonly atMs: number }>(list: readonly T[], ms: number) =>
    list.filter(({ atMs }) => atMs > nowMs - ms);
  const period = (rules: HPAScalingRules | undefined) =>
    Math.max(0, ...(rules?.policies ?? []).map(({ periodSeconds }) => periodSeconds * 1000));
  const periodMs = Math.max(period(behavior?.scaleUp), period(behavior?.scaleDown));
  const { recommended, scaledBy = 0 } = now;
  const fresh = recommended === undefined ? [] : [{ replicas: recommended, atMs: nowMs }];
  return {
    recommendations: [...keep(history.recommendations, stabilizationMs), ...fresh],
    ups: [...keep(history.ups, periodMs), ...(scaledBy > 0 ? [{ change: scaledBy, atMs: nowMs }] : [])],
    downs: [...keep(history.downs, periodMs), ...(scaledBy < 0 ? [{ change: -scaledBy, atMs: nowMs }] : [])],
  };
}
