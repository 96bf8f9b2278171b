/**
 * The arithmetic of a rolling update: how many pods may exist, how many may be missing, and how a change of scale is
 * shared out. Source: kubernetes/pkg/controller/deployment/util/deployment_util.go
 */
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { IntOrString } from "@knarr/apimachinery/generated/meta-v1.ts";
import { resolveIntOrPercent } from "@knarr/apimachinery/int-or-string.ts";

export const REVISION_ANNOTATION = "deployment.kubernetes.io/revision";
export const REVISION_HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history";
export const DESIRED_REPLICAS_ANNOTATION = "deployment.kubernetes.io/desired-replicas";
export const MAX_REPLICAS_ANNOTATION = "deployment.kubernetes.io/max-replicas";

export function isRollingUpdate(deployment: Deployment): boolean {
  return (deployment.spec?.strategy?.type ?? "RollingUpdate") === "RollingUpdate";
}

export function desiredReplicas(object: { spec?: { replicas?: number | undefined } | undefined }): number {
  return object.spec?.replicas ?? 1;
}

/** A percentage that isn't one never passes the server's validation; an absent value is the default of 25%. */
function resolve(value: IntOrString | undefined, total: number, roundUp: boolean): number {
  return resolveIntOrPercent(value ?? "25%", total, roundUp);
}

/** Surge rounds up, unavailable down; both zero would never move, so one may then be missing. */
function fenceposts(deployment: Deployment): { surge: number; unavailable: number } {
  const total = desiredReplicas(deployment);
  const { maxSurge, maxUnavailable } = deployment.spec?.strategy?.rollingUpdate ?? {};
  const surge = resolve(maxSurge, total, true);
  const unavailable = resolve(maxUnavailable, total, false);
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

/** Pods allowed above the desired number. */
export function maxSurge(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? fenceposts(deployment).surge : 0;
}

/** Pods that may be unavailable. */
export function maxUnavailable(deployment: Deployment): number {
  const total = desiredReplicas(deployment);
  if (!isRollingUpdate(deployment) || total === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, total);
}

/** A ReplicaSet as the plan moves it: what it is, and how many replicas it is to have. */
export interface SizedReplicaSet {
  readonly replicaSet: ReplicaSet;
  replicas: number;
}

export const sumReplicas = (sets: readonly SizedReplicaSet[]) => sets.reduce((sum, { replicas }) => sum + replicas, 0);
export const sumAvailable = (sets: readonly SizedReplicaSet[]) =>
  sets.reduce((sum, { replicaSet }) => sum + (replicaSet.status?.availableReplicas ?? 0), 0);

/** How many replicas the new ReplicaSet may have now, the others staying as they are. */
export function newReplicaSetSize(deployment: Deployment, all: readonly SizedReplicaSet[], current: number): number {
  const desired = desiredReplicas(deployment);
  if (!isRollingUpdate(deployment)) return desired;
  const room = desired + maxSurge(deployment) - sumReplicas(all);
  if (room <= 0) return current;
  return current + Math.min(room, desired - current);
}

/**
 * Shares a change of scale among ReplicaSets in proportion to their sizes, the remainder going to the first in order.
 *
 * Example: desired 10 -> 15 with surge 5, sizes 8 (new) and 5 (old): 20 - 13 = 7 more, 4 and 3.
 */
export function scaleProportionally(deployment: Deployment, sets: readonly SizedReplicaSet[]): void {
  const desired = desiredReplicas(deployment);
  const allowed = desired > 0 ? desired + maxSurge(deployment) : 0;
  const toAdd = allowed - sumReplicas(sets);
  const ordered = sets.toSorted(bySizeThen(toAdd > 0 ? -1 : 1));
  let added = 0;
  for (const set of ordered) {
    const share = toAdd === 0 ? 0 : proportion(deployment, set, { toAdd, added });
    set.replicas = Math.max(0, set.replicas + share);
    added += share;
  }
  const first = ordered[0];
  if (first !== undefined && toAdd !== 0) first.replicas = Math.max(0, first.replicas + toAdd - added);
}

/** Largest first; among equals the newest first when `age` is -1, the oldest first when 1. */
function bySizeThen(age: -1 | 1): (a: SizedReplicaSet, b: SizedReplicaSet) => number {
  return (a, b) => b.replicas - a.replicas || age * byCreation(a, b);
}

/** Oldest first, then by name. */
export function byCreation(a: SizedReplicaSet, b: SizedReplicaSet): number {
  const [ta, tb] = [a, b].map(({ replicaSet }) => replicaSet.metadata.creationTimestamp ?? "") as [string, string];
  if (ta !== tb) return ta < tb ? -1 : 1;
  return (a.replicaSet.metadata.name ?? "") < (b.replicaSet.metadata.name ?? "") ? -1 : 1;
}

function proportion(deployment: Deployment, set: SizedReplicaSet, of: { toAdd: number; added: number }): number {
  if (set.replicas === 0 || of.toAdd === of.added) return 0;
  const fraction = fractionOf(deployment, set);
  const left = of.toAdd - of.added;
  // A stale annotation may say anything, but it never turns growing into shrinking.
  return of.toAdd > 0 ? Math.max(0, Math.min(fraction, left)) : Math.min(0, Math.max(fraction, left));
}

function fractionOf(deployment: Deployment, { replicaSet, replicas }: SizedReplicaSet): number {
  const desired = desiredReplicas(deployment);
  if (desired === 0) return -replicas;
  const annotated = Number(replicaSet.metadata.annotations?.[MAX_REPLICAS_ANNOTATION] ?? Number.NaN);
  // The annotation is missing on ReplicaSets that were adopted or edited: the status is the next best base.
  const before = annotated > 0 ? annotated : (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  return Math.round((replicas * (desired + maxSurge(deployment))) / before) - replicas;
}
