/**
 * What a PodDisruptionBudget allows now, and which marks on pods are stale. Pure.
 * Source: kubernetes/pkg/controller/disruption/disruption.go
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "@knarr/api/generated/types/policy-v1.ts";
import type { Condition } from "@knarr/apimachinery/generated/meta-v1.ts";
import { isPercent, resolveIntOrPercent } from "@knarr/apimachinery/int-or-string.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { isPodReady, isPodTerminal, podCondition } from "./pod-state.ts";

/** A pod that an eviction let go must be seen going within this. */
const DELETION_TIMEOUT_MS = 2 * 60_000;
/** A pod marked as target of a disruption must be going within this, or the mark is taken back. */
const STALE_MARK_MS = 2 * 60_000;

export interface BudgetView {
  readonly budget: PodDisruptionBudget;
  /** Those that the selector matches, in the budget's namespace. */
  readonly pods: readonly Pod[];
  /** What the pods' controllers want in all; needed unless minAvailable is a number. */
  readonly expectedScale: number;
  readonly nowMs: number;
}

/** Whether the pods' controllers have to be asked for their scale. */
export function needsScale({ spec }: PodDisruptionBudget): boolean {
  return spec?.maxUnavailable !== undefined || (spec?.minAvailable !== undefined && isPercent(spec.minAvailable));
}

export interface BudgetPlan {
  readonly status: PodDisruptionBudgetStatus;
  /** Pods that were let go and are still there after two minutes. */
  readonly notDeleted: readonly Pod[];
  readonly requeueAfterMs?: number;
}

export function planBudget(view: BudgetView): BudgetPlan {
  const { budget, pods, nowMs } = view;
  const { disrupted, notDeleted, waits } = stillDisrupted(view);
  const { expected, desired } = wanted(view);
  const healthy = pods.filter(
    (pod) => pod.metadata.deletionTimestamp === undefined && !(`${pod.metadata.name}` in disrupted) && isPodReady(pod),
  ).length;
  const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
  const status: PodDisruptionBudgetStatus = {
    currentHealthy: healthy,
    desiredHealthy: desired,
    disruptionsAllowed: allowed,
    expectedPods: expected,
    ...(Object.keys(disrupted).length === 0 ? {} : { disruptedPods: disrupted }),
    ...(budget.metadata.generation === undefined ? {} : { observedGeneration: budget.metadata.generation }),
    conditions: withCondition(budget, { allowed: allowed > 0, nowMs }),
  };
  return { status, notDeleted, ...(waits.length === 0 ? {} : { requeueAfterMs: Math.min(...waits) }) };
}

function wanted({ budget, pods, expectedScale }: BudgetView): { expected: number; desired: number } {
  const { maxUnavailable, minAvailable } = budget.spec ?? {};
  if (maxUnavailable !== undefined) {
    const desired = Math.max(0, expectedScale - resolveIntOrPercent(maxUnavailable, expectedScale, true));
    return { expected: expectedScale, desired };
  }
  if (minAvailable === undefined) return { expected: 0, desired: 0 };
  if (!isPercent(minAvailable)) return { expected: pods.length, desired: Number(minAvailable) };
  return { expected: expectedScale, desired: resolveIntOrPercent(minAvailable, expectedScale, true) };
}

function stillDisrupted({ budget, pods, nowMs }: BudgetView): {
  disrupted: Record<string, string>;
  notDeleted: Pod[];
  waits: number[];
} {
  const disrupted: Record<string, string> = {};
  const notDeleted: Pod[] = [];
  const waits: number[] = [];
  for (const pod of pods) {
    const { name = "", deletionTimestamp } = pod.metadata;
    const at = budget.status?.disruptedPods?.[name];
    if (at === undefined || deletionTimestamp !== undefined) continue;
    const left = Date.parse(at) + DELETION_TIMEOUT_MS - nowMs;
    if (left < 0) notDeleted.push(pod);
    else {
      disrupted[name] = at;
      waits.push(left + 1);
    }
  }
  return { disrupted, notDeleted, waits };
}

/** The budget can't be judged: nothing may be disrupted, and the condition says why. */
export function failedBudget(budget: PodDisruptionBudget, message: string, nowMs: number): PodDisruptionBudgetStatus {
  const conditions = withCondition(budget, { allowed: false, nowMs, reason: "SyncFailed", message });
  return { currentHealthy: 0, desiredHealthy: 0, expectedPods: 0, ...budget.status, disruptionsAllowed: 0, conditions };
}

function withCondition(
  { metadata, status }: PodDisruptionBudget,
  of: { allowed: boolean; nowMs: number; reason?: string; message?: string },
): Condition[] {
  const type = "DisruptionAllowed";
  const before = status?.conditions ?? [];
  const current = before.find((condition) => condition.type === type);
  const next: Condition = {
    type,
    status: of.allowed ? "True" : "False",
    reason: of.reason ?? (of.allowed ? "SufficientPods" : "InsufficientPods"),
    message: of.message ?? "",
    ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
    lastTransitionTime: rfc3339Seconds(of.nowMs),
  };
  if (current?.status === next.status) next.lastTransitionTime = current.lastTransitionTime;
  return current === undefined
    ? [...before, next]
    : before.map((condition) => (condition === current ? next : condition));
}

/**
 * How long until the pod's DisruptionTarget mark is stale (0: it is); undefined when it has none that could be. The
 * kubelet's marks are never stale, nor those of pods that have ended.
 */
export function staleMarkAfterMs(pod: Pod, nowMs: number): number | undefined {
  const mark = podCondition(pod, "DisruptionTarget");
  if (mark?.status !== "True" || mark.reason === "TerminationByKubelet") return undefined;
  if (pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod)) return undefined;
  return Math.max(0, Date.parse(mark.lastTransitionTime ?? "") + STALE_MARK_MS - nowMs) || 0;
}
