/**
 * A Job's conditions, and when it has failed or met its criteria. Pure.
 *
 *   running --> FailureTarget ------> (pods end, are counted) --> Failed
 *          \--> SuccessCriteriaMet --> (pods end, are counted) --> Complete
 *
 * Source: kubernetes/pkg/controller/job/job_controller.go, KEP-3329, KEP-3998, KEP-4368
 */
import type { Job, JobCondition } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { isPodFailed, isSuspended } from "./job-pods.ts";
import { judgeFailure } from "./job-policies.ts";

export interface ConditionText {
  readonly type: string;
  readonly status?: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

export function newCondition({ type, status = "True", reason, message }: ConditionText, nowMs: number): JobCondition {
  const now = rfc3339Seconds(nowMs);
  return { type, status, lastProbeTime: now, lastTransitionTime: now, reason, message };
}

/** The conditions with this one as it should be; the same array when it is already. Nothing does not become "False". */
export function ensureCondition(
  conditions: readonly JobCondition[],
  next: ConditionText,
  nowMs: number,
): readonly JobCondition[] {
  const { type, status = "True", reason, message } = next;
  const current = conditions.find((condition) => condition.type === type);
  if (current === undefined) return status === "False" ? conditions : [...conditions, newCondition(next, nowMs)];
  const { reason: oldReason = "", message: oldMessage = "" } = current;
  if (current.status === status && oldReason === reason && oldMessage === message) return conditions;
  return conditions.map((condition) => (condition === current ? newCondition(next, nowMs) : condition));
}

export function trueCondition(job: Job, type: string): JobCondition | undefined {
  return job.status?.conditions?.find((condition) => condition.type === type && condition.status === "True");
}

export function isJobFinished(job: Job): boolean {
  return trueCondition(job, "Complete") !== undefined || trueCondition(job, "Failed") !== undefined;
}

/** Complete and Failed are reached through these; each is told before the finalizers go. */
const TERMINAL_OF: Readonly<Record<string, string>> = { FailureTarget: "Failed", SuccessCriteriaMet: "Complete" };

export function isInterim(condition: JobCondition): boolean {
  return TERMINAL_OF[condition.type] !== undefined;
}

/** Failed for FailureTarget, Complete for SuccessCriteriaMet. */
export function terminalOf({ type, reason = "", message = "" }: JobCondition, nowMs: number): JobCondition {
  return newCondition({ type: TERMINAL_OF[type] ?? type, reason, message }, nowMs);
}

const fail = (reason: string, message: string): ConditionText => ({ type: "FailureTarget", reason, message });

export const REACHED: ConditionText = {
  type: "SuccessCriteriaMet",
  reason: "CompletionsReached",
  message: "Reached expected number of succeeded pods",
};
export const FAILED_INDEXES = fail("FailedIndexes", "Job has failed indexes");
export const TOO_MANY_FAILED_INDEXES = fail(
  "MaxFailedIndexesExceeded",
  "Job has exceeded the specified maximal number of failed indexes",
);

/** Why the Job fails by its policy, its back-off limit or its deadline; undefined when it doesn't. */
export function failureOf(of: {
  readonly job: Job;
  readonly pods: readonly Pod[];
  readonly failed: number;
  readonly startedAtMs: number | undefined;
  readonly nowMs: number;
}): ConditionText | undefined {
  const { job, pods, failed, startedAtMs, nowMs } = of;
  const { podFailurePolicy, backoffLimit = 6, activeDeadlineSeconds } = job.spec ?? {};
  if (podFailurePolicy !== undefined) {
    for (const pod of pods) {
      const message = isPodFailed(pod, job) ? judgeFailure(podFailurePolicy, pod).message : undefined;
      if (message !== undefined) return fail("PodFailurePolicy", message);
    }
  }
  if (failed > backoffLimit || restartsTooOften(job, pods, backoffLimit)) {
    return fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  }
  if (activeDeadlineSeconds !== undefined && startedAtMs !== undefined && !isSuspended(job)) {
    if (nowMs - startedAtMs >= activeDeadlineSeconds * 1000) {
      return fail("DeadlineExceeded", "Job was active longer than specified deadline");
    }
  }
  return undefined;
}

/** With restartPolicy OnFailure, restarts of containers are what counts. */
function restartsTooOften(job: Job, pods: readonly Pod[], limit: number): boolean {
  if (job.spec?.template.spec?.restartPolicy !== "OnFailure") return false;
  let restarts = 0;
  for (const { status } of pods) {
    if (status?.phase !== "Running" && status?.phase !== "Pending") continue;
    for (const list of [status.initContainerStatuses, status.containerStatuses]) {
      for (const { restartCount = 0 } of list ?? []) restarts += restartCount;
    }
  }
  return limit === 0 ? restarts > 0 : restarts >= limit;
}
