/**
 * A StatefulSet's next step. Pure.
 *
 *   for each ordinal, lowest first:  ended -> delete;  missing -> create;  not ready -> wait;  wrong labels, claims -> mend
 *   then each pod out of range, highest first:  delete
 *   then, with RollingUpdate, each pod of another revision, highest first down to the partition:  delete
 *
 * With OrderedReady the first thing to do or to wait for ends the step; with Parallel everything is done at once.
 * Laws (property-tested): no ordinal has two pods; OrderedReady never has more than one pod missing by its own doing;
 * an update never makes more than maxUnavailable pods unavailable.
 * Source: kubernetes/pkg/controller/statefulset/stateful_set_control.go, KEP-961, KEP-1847, KEP-2599, KEP-3335
 */
import type { ControllerRevision, StatefulSet, StatefulSetStatus } from "@knarr/api/generated/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { resolveIntOrPercent } from "@knarr/apimachinery/int-or-string.ts";
import { isPodTerminal, readySinceMs } from "../pod-state.ts";
import {
  claimOwned,
  claimsFor,
  identityFixed,
  isHealthy,
  isInRange,
  isRunningAndAvailable,
  isRunningAndReady,
  isStale,
  isTerminating,
  ordinalIn,
  podRevision,
  replicasOf,
  startOrdinal,
  statefulPod,
} from "./stateful-pod.ts";

export interface StatefulSetView {
  readonly set: StatefulSet;
  /** Those that the set controls. */
  readonly pods: readonly Pod[];
  /** The claim of this name in the set's namespace. */
  readonly claim: (name: string) => PersistentVolumeClaim | undefined;
  /** The revision that the set comes from, and the one it goes to; the same when nothing is rolled out. */
  readonly current: ControllerRevision;
  readonly update: ControllerRevision;
  readonly collisionCount: number;
  readonly nowMs: number;
}

export type StatefulStep =
  | { readonly kind: "createClaim"; readonly claim: PersistentVolumeClaim; readonly pod: Pod }
  | { readonly kind: "updateClaim"; readonly claim: PersistentVolumeClaim }
  | { readonly kind: "createPod"; readonly pod: Pod }
  | { readonly kind: "updatePod"; readonly pod: Pod }
  | { readonly kind: "deletePod"; readonly pod: Pod; readonly because: "failed" | "succeeded" | "surplus" | "update" };

export interface StatefulSetPlan {
  /** Each group in order; groups may be carried out at the same time when `parallel`. */
  readonly groups: readonly (readonly StatefulStep[])[];
  readonly parallel: boolean;
  readonly status: StatefulSetStatus;
  readonly requeueAfterMs?: number;
}

export function planStatefulSet(view: StatefulSetView): StatefulSetPlan {
  const { set } = view;
  const parallel = set.spec?.podManagementPolicy === "Parallel";
  const groups: StatefulStep[][] = [];
  if (set.metadata.deletionTimestamp === undefined) planPods(view, { groups, parallel });
  const wait = nextAvailableMs(view);
  const status = statefulSetStatus(view);
  const busy = groups.filter((group) => group.length > 0);
  return { groups: busy, parallel, status, ...(wait === undefined ? {} : { requeueAfterMs: wait }) };
}

interface Draft {
  readonly groups: StatefulStep[][];
  readonly parallel: boolean;
}

function planPods(view: StatefulSetView, draft: Draft): void {
  const { set } = view;
  const { replicas, condemned } = partition(view);
  for (const [index, pod] of replicas.entries()) {
    const ordinal = startOrdinal(set) + index;
    if (!planReplica(view, draft, { pod, ordinal }) && !draft.parallel) return;
  }
  const claims = condemned.flatMap((pod) => ownerSteps(view, pod));
  draft.groups.push(claims);
  if (!planCondemned(view, draft, condemned)) return;
  // A pod that ended or is missing comes first, everywhere.
  if (replicas.some((pod) => pod === undefined || isPodTerminal(pod))) return;
  if ((set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate")
    planUpdate(view, draft, replicas as Pod[]);
}

/** The pods by ordinal, and those out of range, highest first. */
function partition({ set, pods }: StatefulSetView): { replicas: (Pod | undefined)[]; condemned: Pod[] } {
  const replicas: (Pod | undefined)[] = Array.from({ length: replicasOf(set) }, () => undefined);
  const condemned: Pod[] = [];
  for (const pod of pods) {
    const ordinal = ordinalIn(set, pod);
    if (ordinal === undefined) continue;
    if (isInRange(set, ordinal)) replicas[ordinal - startOrdinal(set)] = pod;
    else condemned.push(pod);
  }
  const ordinal = (pod: Pod) => ordinalIn(set, pod) ?? 0;
  return { replicas, condemned: condemned.sort((a, b) => ordinal(b) - ordinal(a)) };
}

/** Answers whether the next ordinal may be looked at. */
function planReplica(
  view: StatefulSetView,
  { groups }: Draft,
  { pod, ordinal }: { pod: Pod | undefined; ordinal: number },
): boolean {
  const { set, nowMs } = view;
  if (pod === undefined) {
    const fresh = newPod(view, ordinal);
    const stale = claimsFor(set, ordinal).some((wanted) => {
      const claim = view.claim(wanted.metadata.name ?? "");
      return claim !== undefined && isStale(claim, fresh.metadata.name ?? "", undefined);
    });
    if (!stale) groups.push([...missingClaims(view, fresh, ordinal), { kind: "createPod", pod: fresh }]);
    return false;
  }
  if (isPodTerminal(pod)) {
    // The next one can only be made when this one is gone: they share their name.
    const because = pod.status?.phase === "Failed" ? "failed" : "succeeded";
    if (!isTerminating(pod)) groups.push([{ kind: "deletePod", pod, because }]);
    return false;
  }
  const mending: StatefulStep[] = pod.status?.phase === "Pending" ? missingClaims(view, pod, ordinal) : [];
  const available = isRunningAndAvailable(pod, set.spec?.minReadySeconds ?? 0, nowMs);
  const settled = isHealthy(pod) && available;
  const parallel = set.spec?.podManagementPolicy === "Parallel";
  if (settled || parallel) {
    const fixed = identityFixed(pod, ordinal);
    if (fixed !== undefined) mending.push({ kind: "updatePod", pod: fixed });
    mending.push(...ownerSteps(view, pod));
  }
  groups.push(mending);
  return settled;
}

function missingClaims({ set, claim }: StatefulSetView, pod: Pod, ordinal: number): StatefulStep[] {
  return claimsFor(set, ordinal)
    .filter(({ metadata }) => claim(metadata.name ?? "") === undefined)
    .map((wanted) => ({ kind: "createClaim", claim: wanted, pod }));
}

/** Claims whose owners are not what the retention policy wants. */
function ownerSteps({ set, claim }: StatefulSetView, pod: Pod): StatefulStep[] {
  const ordinal = ordinalIn(set, pod) ?? 0;
  const steps: StatefulStep[] = [];
  for (const { metadata } of claimsFor(set, ordinal)) {
    const existing = claim(metadata.name ?? "");
    const owned = existing === undefined ? undefined : claimOwned(set, pod, existing);
    if (owned !== undefined) steps.push({ kind: "updateClaim", claim: owned });
  }
  return steps;
}

/** Below the partition (or, without one, below the number still at the current revision) pods stay as they were. */
function newPod({ set, current, update }: StatefulSetView, ordinal: number): Pod {
  const { type = "RollingUpdate", rollingUpdate } = set.spec?.updateStrategy ?? {};
  const kept = rollingUpdate === undefined ? (set.status?.currentReplicas ?? 0) : (rollingUpdate.partition ?? 0);
  const isOld = type === "RollingUpdate" && ordinal < startOrdinal(set) + kept;
  return statefulPod(set, isOld ? current : update, ordinal);
}

/** Answers whether nothing was left to delete, or to wait for. */
function planCondemned(view: StatefulSetView, { groups, parallel }: Draft, condemned: readonly Pod[]): boolean {
  const { set, nowMs } = view;
  const firstUnhealthy = condemned.find((pod) => !isHealthy(pod));
  let settled = true;
  for (const pod of condemned) {
    if (isTerminating(pod)) {
      if (!parallel) return false;
      continue;
    }
    const available = isRunningAndReady(pod) && isRunningAndAvailable(pod, set.spec?.minReadySeconds ?? 0, nowMs);
    if (!parallel && !available && pod !== firstUnhealthy) return false;
    groups.push([{ kind: "deletePod", pod, because: "surplus" }]);
    settled = false;
    if (!parallel) break;
  }
  return settled;
}

export function maxUnavailable(set: StatefulSet): number {
  const value = set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1;
  return Math.max(1, resolveIntOrPercent(value, replicasOf(set), false));
}

/** Pods that are down anyway are updated at once; others as far as maxUnavailable allows, highest ordinal first. */
function planUpdate({ set, update, nowMs }: StatefulSetView, { groups }: Draft, replicas: readonly Pod[]): void {
  const minReadySeconds = set.spec?.minReadySeconds ?? 0;
  const isUp = (pod: Pod) => isHealthy(pod) && isRunningAndAvailable(pod, minReadySeconds, nowMs);
  let room = maxUnavailable(set) - replicas.filter((pod) => !isUp(pod)).length;
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  for (const pod of replicas.slice(partition).toReversed()) {
    if (podRevision(pod) === update.metadata.name || isTerminating(pod)) continue;
    if (isUp(pod) && room-- <= 0) continue;
    groups.push([{ kind: "deletePod", pod, because: "update" }]);
  }
}

function statefulSetStatus(view: StatefulSetView): StatefulSetStatus {
  const { set, pods, current, update, collisionCount, nowMs } = view;
  const minReadySeconds = set.spec?.minReadySeconds ?? 0;
  const members = pods.filter((pod) => ordinalIn(set, pod) !== undefined);
  const alive = members.filter((pod) => !isTerminating(pod));
  const count = (list: readonly Pod[], is: (pod: Pod) => boolean) => list.filter(is).length;
  const updated = count(alive, (pod) => podRevision(pod) === update.metadata.name);
  const ready = count(members, isRunningAndReady);
  const isRolling = (set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";
  const total = replicasOf(set);
  const complete = isRolling && updated === total && members.length === total && ready === total;
  const currentRevision = complete ? update : current;
  const currentReplicas = count(alive, (pod) => podRevision(pod) === currentRevision.metadata.name);
  return {
    ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
    replicas: members.length,
    ...(ready === 0 ? {} : { readyReplicas: ready }),
    ...(currentReplicas === 0 ? {} : { currentReplicas }),
    ...(updated === 0 ? {} : { updatedReplicas: updated }),
    currentRevision: currentRevision.metadata.name,
    updateRevision: update.metadata.name,
    collisionCount,
    availableReplicas: count(members, (pod) => isRunningAndAvailable(pod, minReadySeconds, nowMs)),
    ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
  };
}

/** When the next ready pod becomes available. */
function nextAvailableMs({ set, pods, nowMs }: StatefulSetView): number | undefined {
  const minReadyMs = (set.spec?.minReadySeconds ?? 0) * 1000;
  const waits = pods.map((pod) => (readySinceMs(pod) ?? Number.NaN) + minReadyMs - nowMs).filter((ms) => ms > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}
