/**
 * What a ReplicaSet needs now: pods to create or to delete, and its status. Pure.
 * Source: kubernetes/pkg/controller/replicaset/{replica_set,replica_set_utils}.go
 */

import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { rankForDeletion } from "./deletion-ranking.ts";
import { isPodActive, isPodAvailable, isPodReady, isPodTerminating, readySinceMs } from "./pod-state.ts";

/** At most so many pods are made or deleted in one go. */
export const BURST_REPLICAS = 500;

export interface ReplicaSetView {
  readonly replicaSet: ReplicaSet;
  /** Every pod that the ReplicaSet controls, whatever its state. */
  readonly pods: readonly Pod[];
  /** Pods of the ReplicaSets with the same controller. */
  readonly related: readonly Pod[];
  readonly nowMs: number;
}

export type ReplicaPlan =
  | { readonly kind: "none" }
  | { readonly kind: "create"; readonly count: number }
  | { readonly kind: "delete"; readonly pods: readonly Pod[] };

export function planReplicas({ replicaSet, pods, related, nowMs }: ReplicaSetView): ReplicaPlan {
  if (replicaSet.metadata.deletionTimestamp !== undefined) return { kind: "none" };
  const active = pods.filter(isPodActive);
  const excess = active.length - (replicaSet.spec?.replicas ?? 1);
  if (excess === 0) return { kind: "none" };
  if (excess < 0) return { kind: "create", count: Math.min(-excess, BURST_REPLICAS) };
  const ranked = excess < active.length ? rankForDeletion({ pods: active, related, nowMs }) : active;
  return { kind: "delete", pods: ranked.slice(0, Math.min(excess, BURST_REPLICAS)) };
}

/** What went wrong in carrying the plan out. */
export interface ReplicaFailure {
  readonly reason: "FailedCreate" | "FailedDelete";
  readonly message: string;
}

export function replicaSetStatus(view: ReplicaSetView, failure: ReplicaFailure | undefined): ReplicaSetStatus {
  const { replicaSet, pods, nowMs } = view;
  const active = pods.filter(isPodActive);
  const minReadySeconds = replicaSet.spec?.minReadySeconds ?? 0;
  const count = (is: (pod: Pod) => boolean) => active.filter(is).length;
  const templateLabels = { matchLabels: replicaSet.spec?.template?.metadata?.labels ?? {} };
  const conditions = failureCondition(replicaSet.status?.conditions ?? [], failure, nowMs);
  const counts = {
    fullyLabeledReplicas: count((pod) => matchesLabelSelector(templateLabels, pod.metadata.labels)),
    readyReplicas: count(isPodReady),
    availableReplicas: count((pod) => isPodAvailable(pod, minReadySeconds, nowMs)),
  };
  return {
    replicas: active.length,
    ...Object.fromEntries(Object.entries(counts).filter(([, n]) => n > 0)),
    terminatingReplicas: pods.filter(isPodTerminating).length,
    ...(replicaSet.metadata.generation === undefined ? {} : { observedGeneration: replicaSet.metadata.generation }),
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

function failureCondition(
  conditions: readonly ReplicaSetCondition[],
  failure: ReplicaFailure | undefined,
  nowMs: number,
): ReplicaSetCondition[] {
  const type = "ReplicaFailure";
  const others = conditions.filter((c) => c.type !== type);
  if (failure === undefined) return others;
  // The first failure's words stay: each names another pod that was never made, and a status that changes with every
  // attempt brings the next attempt at once, past all backing off. Source: replicaset, calculateStatus
  if (others.length < conditions.length) return [...conditions];
  return [...others, { type, status: "True", ...failure, lastTransitionTime: rfc3339Seconds(nowMs) }];
}

/** When the next ready pod becomes available; undefined when none is waiting for that. */
export function nextAvailabilityMs({ replicaSet, pods, nowMs }: ReplicaSetView): number | undefined {
  const minReadyMs = (replicaSet.spec?.minReadySeconds ?? 0) * 1000;
  if (minReadyMs === 0) return undefined;
  const waits = pods
    .filter(isPodActive)
    .map((pod) => (readySinceMs(pod) ?? Number.NaN) + minReadyMs - nowMs)
    .filter((ms) => ms > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}
