/**
 * A Job's next step, in three pure parts, because each write decides about the next:
 *
 *   assessJob -> pods to create or delete --(done)--> trackPods -> status with the ended pods' uids, finalizers to remove
 *   --(done)--> settleCounts -> status with those uids counted, and Complete or Failed once nothing is left to count
 *
 * A pod keeps its finalizer until its uid (or its index) is in the status; a uid leaves the status, and is counted, only
 * when the pod's finalizer is known to be gone. So no crash loses a pod or counts it twice.
 * Source: kubernetes/pkg/controller/job/job_controller.go, KEP-2307
 */
import type { Job, JobCondition, JobStatus } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { isPodActive, isPodReady, isPodTerminating } from "../pod-state.ts";
import { type BackoffRecord, nextBackoff } from "./job-backoff.ts";
import {
  ensureCondition,
  FAILED_INDEXES,
  failureOf,
  isInterim,
  newCondition,
  REACHED,
  TOO_MANY_FAILED_INDEXES,
  terminalOf,
  trueCondition,
} from "./job-conditions.ts";
import { formatIndexes, type Indexes, parseIndexes } from "./job-indexes.ts";
import {
  allIndexFailures,
  completionIndex,
  failsIndex,
  hasLimitPerIndex,
  hasTrackingFinalizer,
  isIndexed,
  isPodFailed,
  isSuspended,
} from "./job-pods.ts";
import { judgeFailure, metSuccessRule } from "./job-policies.ts";
import { type PodStep, planPods } from "./job-scale.ts";

/** So many uids at most wait in a status to be counted. */
export const MAX_UNCOUNTED = 500;

export interface JobView {
  readonly job: Job;
  /** Every pod that the Job controls. */
  readonly pods: readonly Pod[];
  /** Whether the cache shows all that was asked for. */
  readonly settled: boolean;
  /** Uids of pods whose finalizer was removed, though the cache may not show it yet. */
  readonly released: ReadonlySet<string>;
  readonly backoff: BackoffRecord;
  readonly nowMs: number;
}

export interface JobAssessment {
  readonly view: JobView;
  readonly active: readonly Pod[];
  readonly succeeded: number;
  readonly failed: number;
  readonly startTime: string | undefined;
  /** Indexed Jobs: by the status, and with the pods that succeeded since. */
  readonly countedIndexes: Indexes;
  readonly succeededIndexes: Indexes;
  /** With a limit per index only. */
  readonly failedIndexes: Indexes | undefined;
  /** Failed pods that stay until their index has a new pod, which takes over their count. */
  readonly delayed: ReadonlyMap<number, Pod>;
  /** FailureTarget or SuccessCriteriaMet, where one holds already or must be told now. */
  readonly verdict: JobCondition | undefined;
  readonly backoff: BackoffRecord;
  readonly step: PodStep;
  readonly requeueAfterMs: number | undefined;
}

export function assessJob(view: JobView): JobAssessment {
  const { job, pods, nowMs } = view;
  const completions = job.spec?.completions ?? 0;
  const active = pods.filter(isPodActive);
  const uncounted = job.status?.uncountedTerminatedPods ?? {};
  const newlySucceeded = uncountedPods(view, uncounted.succeeded).filter((pod) => pod.status?.phase === "Succeeded");
  const newlyFailed = uncountedPods(view, uncounted.failed).filter((pod) => isPodFailed(pod, job));
  const failedOnes = newlyFailed.filter((pod) => judgeFailure(job.spec?.podFailurePolicy, pod).counts);
  const failed = (job.status?.failed ?? 0) + failedOnes.length + (uncounted.failed?.length ?? 0);
  const startTime = job.status?.startTime ?? (isSuspended(job) ? undefined : rfc3339Seconds(nowMs));
  const countedIndexes = isIndexed(job) ? parseIndexes(job.status?.completedIndexes, completions) : new Set<number>();
  const succeededIndexes = withPods(countedIndexes, newlySucceeded, completions);
  const failedIndexes = hasLimitPerIndex(job) ? failedIndexesOf(view, completions) : undefined;
  const succeeded = isIndexed(job)
    ? succeededIndexes.size
    : (job.status?.succeeded ?? 0) + newlySucceeded.length + (uncounted.succeeded?.length ?? 0);
  const delayed =
    failedIndexes === undefined ? new Map() : delayedPods(view, { active, succeededIndexes, failedIndexes });
  const partial = {
    view,
    active,
    succeeded,
    failed,
    startTime,
    countedIndexes,
    succeededIndexes,
    failedIndexes,
    delayed,
  };
  const verdict = verdictOf(partial);
  const backoff = nextBackoff(view.backoff, newlySucceeded, newlyFailed);
  const step = planPods({ ...partial, backoff, verdict });
  return { ...partial, verdict, backoff, step, requeueAfterMs: requeueAfterMs(partial, { verdict, step }) };
}

type Partial = Omit<JobAssessment, "verdict" | "step" | "backoff" | "requeueAfterMs">;

/** Pods that the status doesn't know yet: with a finalizer, not in its lists, and with an index if the Job has indexes. */
function uncountedPods({ job, pods, released }: JobView, listed: readonly string[] | undefined): readonly Pod[] {
  const known = new Set(listed);
  return pods.filter((pod) => {
    const uid = pod.metadata.uid ?? "";
    if (!hasTrackingFinalizer(pod) || known.has(uid) || released.has(uid)) return false;
    return !isIndexed(job) || completionIndex(pod, job.spec?.completions) !== undefined;
  });
}

function withPods(indexes: Indexes, pods: readonly Pod[], completions: number): Indexes {
  const found = pods.map((pod) => completionIndex(pod, completions)).filter((index) => index !== undefined);
  return new Set([...indexes, ...found]);
}

function failedIndexesOf({ job, pods }: JobView, completions: number): Indexes {
  const before = parseIndexes(job.status?.failedIndexes, completions);
  return withPods(
    before,
    pods.filter((pod) => failsIndex(pod, job)),
    completions,
  );
}

function delayedPods(
  view: JobView,
  of: { active: readonly Pod[]; succeededIndexes: Indexes; failedIndexes: Indexes },
): ReadonlyMap<number, Pod> {
  const { job } = view;
  const activeIndexes = withPods(new Set(), of.active, Number.POSITIVE_INFINITY);
  const delayed = new Map<number, Pod>();
  for (const pod of uncountedPods(view, undefined)) {
    const index = completionIndex(pod, job.spec?.completions);
    if (index === undefined || !isPodFailed(pod, job)) continue;
    if (of.succeededIndexes.has(index) || of.failedIndexes.has(index) || activeIndexes.has(index)) continue;
    const other = delayed.get(index);
    if (other === undefined || allIndexFailures(other) <= allIndexFailures(pod)) delayed.set(index, pod);
  }
  return delayed;
}

function verdictOf(of: Partial): JobCondition | undefined {
  const { job, pods, nowMs } = of.view;
  const { completions = 0, maxFailedIndexes } = job.spec ?? {};
  const told = trueCondition(job, "SuccessCriteriaMet") ?? trueCondition(job, "FailureTarget");
  if (told !== undefined) return told;
  const startedAtMs = of.startTime === undefined ? undefined : Date.parse(of.startTime);
  const failure = failureOf({ job, pods, failed: of.failed, startedAtMs, nowMs });
  if (failure !== undefined) return newCondition(failure, nowMs);
  if (!isIndexed(job)) return undefined;
  const lost = of.failedIndexes?.size ?? 0;
  if (maxFailedIndexes !== undefined && lost > maxFailedIndexes) return newCondition(TOO_MANY_FAILED_INDEXES, nowMs);
  if (lost > 0 && lost + of.succeededIndexes.size >= completions) return newCondition(FAILED_INDEXES, nowMs);
  const message = metSuccessRule(job, of.succeededIndexes);
  if (message === undefined) return undefined;
  return newCondition({ type: "SuccessCriteriaMet", reason: "SuccessPolicy", message }, nowMs);
}

function requeueAfterMs(
  of: Partial,
  { verdict, step }: { verdict: JobCondition | undefined; step: PodStep },
): number | undefined {
  const { job, nowMs } = of.view;
  const waits: number[] = [];
  if (step.kind === "wait") waits.push(step.ms);
  const deadline = job.spec?.activeDeadlineSeconds;
  if (verdict === undefined && deadline !== undefined && of.startTime !== undefined && !isSuspended(job)) {
    waits.push(Date.parse(of.startTime) + deadline * 1000 - nowMs);
  }
  return waits.length === 0 ? undefined : Math.max(0, Math.min(...waits));
}

/** What came of the assessment's step. */
export interface StepOutcome {
  /** Pods created. */
  readonly created: number;
  /** Pods deleted, of those of the step. */
  readonly deleted: readonly Pod[];
}

export interface JobTracking {
  readonly assessment: JobAssessment;
  /** To be written before any finalizer is removed, where it says something new. */
  readonly status: JobStatus;
  readonly releases: readonly Pod[];
  /** Complete or Failed, once everything is counted. */
  readonly terminal: JobCondition | undefined;
  readonly event: "Suspended" | "Resumed" | undefined;
}

export function trackPods(assessment: JobAssessment, { created, deleted }: StepOutcome): JobTracking {
  const { view, verdict, step } = assessment;
  const { job, nowMs } = view;
  const active = assessment.active.length + created - deleted.length;
  let decided = verdict;
  if (verdict !== undefined && (active > 0 || !view.settled)) decided = undefined;
  if (verdict === undefined && isComplete(assessment, active)) decided = newCondition(REACHED, nowMs);
  const suspension = decided === undefined && verdict === undefined && step.kind !== "unsettled";
  const { conditions, startTime, event } = suspension
    ? suspensionOf(assessment)
    : { conditions: job.status?.conditions ?? [], startTime: assessment.startTime, event: undefined };
  const { uncounted, releases, indexes, full } = collect(assessment, decided);
  const counts = cleaned({ ...job.status, uncountedTerminatedPods: uncounted }, stillHeld(view));
  const status: JobStatus = {
    ...counts,
    ...(startTime === undefined ? {} : { startTime }),
    ...(isIndexed(job) ? { succeeded: indexes.size, completedIndexes: formatIndexes(indexes) } : {}),
    ...(assessment.failedIndexes === undefined ? {} : { failedIndexes: formatIndexes(assessment.failedIndexes) }),
    active,
    ready: assessment.active.filter(isPodReady).length - deleted.filter(isPodReady).length,
    terminating: view.pods.filter(isPodTerminating).length + deleted.length,
    conditions: [...(decided === undefined ? conditions : withInterim(conditions, decided, nowMs))],
  };
  const terminal = decided === undefined || full ? undefined : terminalOf(decided, nowMs);
  return { assessment, status: tidy(status), releases, terminal, event };
}

function isComplete({ view, succeeded }: JobAssessment, active: number): boolean {
  const completions = view.job.spec?.completions;
  return active === 0 && (completions === undefined ? succeeded > 0 : succeeded >= completions);
}

function withInterim(
  conditions: readonly JobCondition[],
  decided: JobCondition,
  nowMs: number,
): readonly JobCondition[] {
  if (!isInterim(decided)) return conditions;
  const { type, reason = "", message = "" } = decided;
  return ensureCondition(conditions, { type, reason, message }, nowMs);
}

function suspensionOf({ view, startTime }: JobAssessment): {
  conditions: readonly JobCondition[];
  startTime: string | undefined;
  event: "Suspended" | "Resumed" | undefined;
} {
  const { job, nowMs } = view;
  const before = job.status?.conditions ?? [];
  const suspended = isSuspended(job);
  const text = suspended ? { status: "True", name: "Suspended" } : { status: "False", name: "Resumed" };
  const next = { type: "Suspended", reason: `Job${text.name}`, message: `Job ${text.name.toLowerCase()}` };
  const conditions = ensureCondition(before, { ...next, status: suspended ? "True" : "False" }, nowMs);
  if (conditions === before) return { conditions, startTime, event: undefined };
  // activeDeadlineSeconds counts from the last resumption.
  return suspended
    ? { conditions, startTime, event: "Suspended" }
    : { conditions, startTime: rfc3339Seconds(nowMs), event: "Resumed" };
}

/** Ended pods go into the status's lists (or indexes), and their finalizers may go; so many at most in one go. */
function collect(
  { view, countedIndexes, delayed }: JobAssessment,
  decided: JobCondition | undefined,
): {
  uncounted: { succeeded: string[]; failed: string[] };
  releases: readonly Pod[];
  indexes: Indexes;
  full: boolean;
} {
  const { job, released } = view;
  const completions = job.spec?.completions;
  const before = job.status?.uncountedTerminatedPods ?? {};
  const succeeded = new Set(before.succeeded);
  const failed = new Set(before.failed);
  const indexes = new Set(countedIndexes);
  const releases: Pod[] = [];
  const index = (pod: Pod) => completionIndex(pod, completions) ?? Number.POSITIVE_INFINITY;
  const pods = isIndexed(job) ? view.pods.toSorted((a, b) => (index(a) < index(b) ? -1 : 1)) : view.pods;
  for (const pod of pods) {
    const uid = pod.metadata.uid ?? "";
    if (!hasTrackingFinalizer(pod) || released.has(uid)) continue;
    const didFail = isPodFailed(pod, job);
    if (!mayRelease(pod, { job, decided, didFail, delayed })) continue;
    releases.push(pod);
    const valid = !isIndexed(job) || completionIndex(pod, completions) !== undefined;
    if (pod.status?.phase === "Succeeded" && !failed.has(uid)) {
      if (!isIndexed(job)) succeeded.add(uid);
      else if (valid) indexes.add(index(pod));
    } else if ((didFail || decided?.type === "FailureTarget") && valid) {
      // With the Job failed, every pod that has not ended counts as failed.
      if (judgeFailure(job.spec?.podFailurePolicy, pod).counts) failed.add(uid);
    }
    if (indexes.size - countedIndexes.size + succeeded.size + failed.size >= MAX_UNCOUNTED) {
      return { uncounted: { succeeded: [...succeeded], failed: [...failed] }, releases, indexes, full: true };
    }
  }
  return { uncounted: { succeeded: [...succeeded], failed: [...failed] }, releases, indexes, full: false };
}

function mayRelease(
  pod: Pod,
  of: { job: Job; decided: JobCondition | undefined; didFail: boolean; delayed: ReadonlyMap<number, Pod> },
): boolean {
  if (of.job.metadata.deletionTimestamp !== undefined || of.decided !== undefined) return true;
  if (pod.status?.phase === "Succeeded") return true;
  if (!of.didFail) return false;
  const index = completionIndex(pod, of.job.spec?.completions);
  return index === undefined || of.delayed.get(index)?.metadata.uid !== pod.metadata.uid;
}

/** Uids of pods that have their finalizer still. */
function stillHeld({ pods, released }: JobView): Set<string> {
  const uids = pods.filter(hasTrackingFinalizer).map(({ metadata }) => metadata.uid ?? "");
  return new Set(uids.filter((uid) => !released.has(uid)));
}

/** Counts the uids in the lists whose pods have no finalizer any more. */
function cleaned(status: JobStatus, held: ReadonlySet<string>): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const [stillSucceeded, stillFailed] = [succeeded, failed].map((uids) => uids.filter((uid) => held.has(uid)));
  return {
    ...status,
    succeeded: (status.succeeded ?? 0) + succeeded.length - (stillSucceeded?.length ?? 0),
    failed: (status.failed ?? 0) + failed.length - (stillFailed?.length ?? 0),
    uncountedTerminatedPods: {
      ...((stillSucceeded?.length ?? 0) === 0 ? {} : { succeeded: stillSucceeded }),
      ...((stillFailed?.length ?? 0) === 0 ? {} : { failed: stillFailed }),
    },
  };
}

export interface JobSettlement {
  readonly status: JobStatus;
  /** The Job has ended with this condition. */
  readonly finished: JobCondition | undefined;
}

/** After the status was written and the finalizers of `releasedUids` were removed. */
export function settleCounts(
  { assessment, status, terminal }: JobTracking,
  releasedUids: readonly string[],
): JobSettlement {
  const { view } = assessment;
  const held = stillHeld(view);
  for (const uid of releasedUids) held.delete(uid);
  const counted = cleaned(status, held);
  const { succeeded = [], failed = [] } = counted.uncountedTerminatedPods ?? {};
  const waiting = succeeded.length + failed.length + (counted.terminating ?? 0);
  if (terminal === undefined || waiting > 0) return { status: tidy(counted), finished: undefined };
  const { type, reason = "", message = "" } = terminal;
  const conditions = [...ensureCondition(counted.conditions ?? [], { type, reason, message }, view.nowMs)];
  const completionTime = type === "Complete" ? { completionTime: terminal.lastTransitionTime } : {};
  return { status: tidy({ ...counted, ...completionTime, conditions }), finished: terminal };
}

/** As Go would write it: zero counters and empty lists are absent, but for those that are pointers there. */
function tidy(status: JobStatus): JobStatus {
  const { active, succeeded, failed, completedIndexes, conditions, ...rest } = status;
  return {
    ...rest,
    ...(active ? { active } : {}),
    ...(succeeded ? { succeeded } : {}),
    ...(failed ? { failed } : {}),
    ...(completedIndexes ? { completedIndexes } : {}),
    ...((conditions ?? []).length === 0 ? {} : { conditions }),
  };
}
