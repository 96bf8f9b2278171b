/** The conditions of a HorizontalPodAutoscaler, and the choice between its metrics. Pure. */
import type { HorizontalPodAutoscalerCondition, MetricStatus } from "@knarr/api/generated/types/autoscaling-v2.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { MetricError } from "./metric-replicas.ts";

export type ConditionType = "AbleToScale" | "ScalingActive" | "ScalingLimited";
export interface ConditionText {
  readonly type: ConditionType;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

/** The conditions with this one as given; its transition time moves with its status only. */
export function withCondition(
  conditions: readonly HorizontalPodAutoscalerCondition[],
  next: ConditionText,
  nowMs: number,
): readonly HorizontalPodAutoscalerCondition[] {
  const current = conditions.find(({ type }) => type === next.type);
  const isSame = current?.status === next.status;
  const lastTransitionTime = isSame ? current.lastTransitionTime : rfc3339Seconds(nowMs);
  const condition = { ...next, lastTransitionTime };
  return current === undefined ? [...conditions, condition] : conditions.map((c) => (c === current ? condition : c));
}

/** What one metric came to. */
export type MetricOutcome =
  | { readonly ok: true; readonly replicas: number; readonly name: string; readonly status: MetricStatus }
  | {
      readonly ok: false;
      readonly reason: string;
      /** For the condition and the event of this metric. */
      readonly message: string;
      /** The same, saying of which kind of metric: for the error that counts all invalid ones. */
      readonly summary: string;
    };

export interface Choice {
  /** Undefined: don't scale. */
  readonly replicas: number | undefined;
  /** The metric that asked for the most. */
  readonly name: string;
  readonly statuses: readonly MetricStatus[];
  readonly active: ConditionText;
  /** Some metrics are invalid, though the others may do. */
  readonly error?: MetricError;
}

/** The most that any metric asks for. With an invalid metric nothing is scaled down: it might have asked for more. */
export function chooseReplicas(outcomes: readonly MetricOutcome[], specReplicas: number): Choice {
  const valid = outcomes.filter((outcome) => outcome.ok);
  const invalid = outcomes.filter((outcome) => !outcome.ok);
  const best = valid.reduce<(typeof valid)[number] | undefined>(
    (most, outcome) => (most === undefined || outcome.replicas > most.replicas ? outcome : most),
    undefined,
  );
  const statuses = valid.map(({ status }) => status);
  const [first] = invalid;
  const error =
    first === undefined
      ? undefined
      : new MetricError(
          `invalid metrics (${invalid.length} invalid out of ${outcomes.length}), first error is: ${first.summary}`,
        );
  if (first !== undefined && (best === undefined || best.replicas < specReplicas)) {
    const message = `the HPA was unable to compute the replica count: ${first.message}`;
    const active: ConditionText = { type: "ScalingActive", status: "False", reason: first.reason, message };
    return { replicas: undefined, name: "", statuses, active, ...(error === undefined ? {} : { error }) };
  }
  const name = best?.name ?? "";
  const message = `the HPA was able to successfully calculate a replica count from ${name}`;
  const active: ConditionText = { type: "ScalingActive", status: "True", reason: "ValidMetricFound", message };
  return { replicas: best?.replicas, name, statuses, active, ...(error === undefined ? {} : { error }) };
}
