/**
 * How long a Job waits before it replaces failed pods: 10 s after the first failure since the last success, doubling to
 * 10 minutes. Source: kubernetes/pkg/controller/job/backoff_utils.go
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { podCondition } from "../pod-state.ts";
import { allIndexFailures } from "./job-pods.ts";

const BASE_MS = 10_000;
const MAX_MS = 600_000;

export interface BackoffRecord {
  readonly failuresSinceSuccess: number;
  readonly lastFailureMs: number;
}

export const noFailures: BackoffRecord = Object.freeze({ failuresSinceSuccess: 0, lastFailureMs: 0 });

/** The record after pods that ended since it was made. */
export function nextBackoff(record: BackoffRecord, succeeded: readonly Pod[], failed: readonly Pod[]): BackoffRecord {
  const failures = failed.map(finishedAtMs);
  if (succeeded.length === 0) {
    if (failures.length === 0) return record;
    return {
      failuresSinceSuccess: record.failuresSinceSuccess + failures.length,
      lastFailureMs: Math.max(record.lastFailureMs, ...failures),
    };
  }
  const lastSuccess = Math.max(...succeeded.map(finishedAtMs));
  const since = failures.filter((ms) => ms > lastSuccess);
  return since.length === 0 ? noFailures : { failuresSinceSuccess: since.length, lastFailureMs: Math.max(...since) };
}

export function remainingBackoffMs(record: BackoffRecord, nowMs: number): number {
  return remaining(record.failuresSinceSuccess, record.lastFailureMs, nowMs);
}

/** For one index: counted on the failed pod that is to be replaced. */
export function remainingIndexBackoffMs(replaced: Pod | undefined, nowMs: number): number {
  if (replaced === undefined) return 0;
  return remaining(allIndexFailures(replaced) + 1, finishedAtMs(replaced), nowMs);
}

function remaining(failures: number, lastFailureMs: number, nowMs: number): number {
  if (failures === 0) return 0;
  const backoffMs = Math.min(MAX_MS, BASE_MS * 2 ** (failures - 1));
  return Math.max(0, lastFailureMs + backoffMs - nowMs);
}

/** The best that is known of when a pod ended. */
export function finishedAtMs({ metadata, status, ...pod }: Pod): number {
  const ends = (status?.containerStatuses ?? []).map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ""));
  const last = Math.max(...ends);
  if (ends.length > 0 && !Number.isNaN(last)) return last;
  const ready = podCondition({ ...pod, metadata, ...(status === undefined ? {} : { status }) }, "Ready");
  if (ready?.status === "False" && ready.lastTransitionTime !== undefined) return Date.parse(ready.lastTransitionTime);
  if (metadata.deletionTimestamp !== undefined) {
    return Date.parse(metadata.deletionTimestamp) - (metadata.deletionGracePeriodSeconds ?? 0) * 1000;
  }
  return Date.parse(metadata.creationTimestamp ?? "") || 0;
}
