/**
 * Which pods a Job needs now: to create, to delete, or to wait for. Pure.
 * Source: kubernetes/pkg/controller/job/job_controller.go manageJob, indexed_job_utils.go
 */
import type { Job } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { rankForDeletion } from "../deletion-ranking.ts";
import { isPodTerminating } from "../pod-state.ts";
import { remainingBackoffMs, remainingIndexBackoffMs } from "./job-backoff.ts";
import type { JobAssessment } from "./job-plan.ts";
import { completionIndex, hasLimitPerIndex, isIndexed, isSuspended, replacesOnlyFailed } from "./job-pods.ts";

/** At most so many pods are made or deleted in one go. */
const BURST = 500;

export type PodStep =
  | { readonly kind: "none" }
  /** The cache is behind, or the Job is being deleted: its pods are left alone. */
  | { readonly kind: "unsettled" }
  /** Nothing before the back-off is over. */
  | { readonly kind: "wait"; readonly ms: number }
  /** Too many, or suspended: their finalizers go with them, they don't count. */
  | { readonly kind: "remove"; readonly pods: readonly Pod[] }
  /** The Job is decided: they end, and are counted. */
  | { readonly kind: "end"; readonly pods: readonly Pod[] }
  /** One pod for each, undefined in a Job without indexes. */
  | { readonly kind: "create"; readonly indexes: readonly (number | undefined)[] };

type Input = Omit<JobAssessment, "step" | "requeueAfterMs">;

export function planPods(of: Input): PodStep {
  const { view, active, verdict } = of;
  const { job } = view;
  if (verdict !== undefined) return active.length === 0 ? { kind: "none" } : { kind: "end", pods: active };
  if (!view.settled || job.metadata.deletionTimestamp !== undefined) return { kind: "unsettled" };
  const wanted = isSuspended(job) ? 0 : wantedActive(of);
  const surplus = podsToRemove(of, Math.max(0, active.length - wanted));
  if (surplus.length > 0) return { kind: "remove", pods: isSuspended(job) ? surplus : surplus.slice(0, BURST) };
  if (isSuspended(job)) return { kind: "none" };
  const terminating = replacesOnlyFailed(job) ? view.pods.filter(isPodTerminating).length : 0;
  const missing = Math.min(wanted - terminating - active.length, BURST);
  return missing <= 0 ? { kind: "none" } : create(of, missing);
}

function wantedActive({ view, active, succeeded }: Input): number {
  const { completions, parallelism = 1 } = view.job.spec ?? {};
  // A work queue: after the first success no pod is added, those that run finish.
  if (completions === undefined) return succeeded > 0 ? active.length : parallelism;
  return Math.max(0, Math.min(completions - succeeded, parallelism));
}

function create(of: Input, missing: number): PodStep {
  const { view, backoff } = of;
  if (!hasLimitPerIndex(view.job)) {
    const ms = remainingBackoffMs(backoff, view.nowMs);
    if (ms > 0) return { kind: "wait", ms };
  }
  if (!isIndexed(view.job)) return { kind: "create", indexes: Array.from({ length: missing }, () => undefined) };
  const pending = pendingIndexes(of, missing);
  if (!hasLimitPerIndex(view.job))
    return pending.length === 0 ? { kind: "none" } : { kind: "create", indexes: pending };
  const waits = pending.map((index) => remainingIndexBackoffMs(of.delayed.get(index), view.nowMs));
  const ready = pending.filter((_index, i) => waits[i] === 0);
  if (ready.length > 0) return { kind: "create", indexes: ready };
  return pending.length === 0 ? { kind: "none" } : { kind: "wait", ms: Math.min(...waits) };
}

/** The lowest indexes that have neither a pod nor a result. */
function pendingIndexes(of: Input, count: number): number[] {
  const { view, active, succeededIndexes, failedIndexes } = of;
  const taken = new Set([...succeededIndexes, ...(failedIndexes ?? [])]);
  const holders = replacesOnlyFailed(view.job) ? [...active, ...view.pods.filter(isPodTerminating)] : active;
  for (const pod of holders) taken.add(completionIndex(pod) ?? -1);
  const found: number[] = [];
  for (let index = 0; index < (view.job.spec?.completions ?? 0) && found.length < count; index++) {
    if (!taken.has(index)) found.push(index);
  }
  return found;
}

/** Pods that must go: with an index twice or none at all, then those that would be missed least. */
function podsToRemove({ view, active }: Input, atLeast: number): readonly Pod[] {
  const { job, nowMs } = view;
  const rank = (pods: readonly Pod[]) => rankForDeletion({ pods, related: [], nowMs });
  const { wrong, right } = isIndexed(job) ? byIndex(job, active, rank) : { wrong: [], right: active };
  if (wrong.length >= atLeast) return wrong;
  return [...wrong, ...rank(right).slice(0, atLeast - wrong.length)];
}

function byIndex(
  job: Job,
  active: readonly Pod[],
  rank: (pods: readonly Pod[]) => readonly Pod[],
): { wrong: readonly Pod[]; right: readonly Pod[] } {
  const groups = Map.groupBy(active, (pod) => completionIndex(pod, job.spec?.completions));
  const wrong: Pod[] = [...(groups.get(undefined) ?? [])];
  const right: Pod[] = [];
  for (const [index, pods] of groups) {
    if (index === undefined) continue;
    const ranked = rank(pods);
    wrong.push(...ranked.slice(0, -1));
    right.push(...ranked.slice(-1));
  }
  return { wrong, right };
}
