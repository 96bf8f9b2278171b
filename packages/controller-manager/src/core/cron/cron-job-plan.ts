/**
 * What a CronJob needs now: its list of active Jobs brought up to date, perhaps a Job started, old Jobs removed. Pure.
 * Source: kubernetes/pkg/controller/cronjob/{cronjob_controllerv2,utils}.go
 */
import type { CronJob, CronJobStatus, Job } from "@knarr/api/generated/types/batch-v1.ts";
import type { ObjectReference } from "@knarr/api/generated/types/core-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { controllerRef } from "../claim-plan.ts";
import { trueCondition } from "../job/job-conditions.ts";
import { CronError, type CronSchedule, parseCron } from "./cron-schedule.ts";
import { isTimeZone, wallMs, zoneOffsetMs } from "./zone-clock.ts";

/** Woken a little late, so that the clock has passed the scheduled time. */
const WAKE_DELAY_MS = 100;
const TOO_MANY_MISSED = 100;
const SCHEDULED_TIMESTAMP = "batch.kubernetes.io/cronjob-scheduled-timestamp";

export interface CronJobView {
  readonly cronJob: CronJob;
  /** Those that the CronJob controls. */
  readonly jobs: readonly Job[];
  /** Uids in status.active of which the server says that they are gone. */
  readonly missing: ReadonlySet<string>;
  /** For CronJobs that name none. */
  readonly localZone: string;
  readonly nowMs: number;
}

export interface CronEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface CronJobPlan {
  readonly events: readonly CronEvent[];
  /** But for a Job that is started, which `withStarted` adds. */
  readonly status: CronJobStatus;
  readonly start?: { readonly scheduledMs: number; readonly job: Job };
  /** To be deleted before the start: the policy is Replace. */
  readonly replace: readonly ObjectReference[];
  /** Ended Jobs beyond the history's limits, oldest first. */
  readonly remove: readonly Job[];
  readonly requeueAfterMs?: number;
}

export function planCronJob(view: CronJobView): CronJobPlan {
  const { cronJob, jobs } = view;
  const { events, status } = updateStatus(view);
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec;
  const remove = [
    ...oldest(jobs, "Complete", successfulJobsHistoryLimit),
    ...oldest(jobs, "Failed", failedJobsHistoryLimit),
  ];
  const { events: more = [], ...next } =
    cronJob.metadata.deletionTimestamp === undefined ? planStart(view, status) : {};
  return { replace: [], remove, ...next, events: [...events, ...more], status };
}

const endOf = (job: Job) => trueCondition(job, "Complete") ?? trueCondition(job, "Failed");

function updateStatus({ cronJob, jobs, missing }: CronJobView): {
  events: readonly CronEvent[];
  status: CronJobStatus;
} {
  const events: CronEvent[] = [];
  const before = cronJob.status ?? {};
  const active = new Map((before.active ?? []).map((ref) => [ref.uid ?? "", ref]));
  let { lastSuccessfulTime } = before;
  for (const job of jobs) {
    const { uid = "", name } = job.metadata;
    const end = endOf(job);
    if (end === undefined) {
      if (active.has(uid)) continue;
      const message = `Saw a job that the controller did not create or forgot: ${name}`;
      events.push({ type: "Warning", reason: "UnexpectedJob", message });
    } else if (active.delete(uid)) {
      const message = `Saw completed job: ${name}, condition: ${end.type}`;
      events.push({ type: "Normal", reason: "SawCompletedJob", message });
    }
    const { completionTime } = job.status ?? {};
    if (end?.type !== "Complete" || completionTime === undefined) continue;
    if (lastSuccessfulTime === undefined || Date.parse(completionTime) > Date.parse(lastSuccessfulTime)) {
      lastSuccessfulTime = completionTime;
    }
  }
  for (const [uid, { name }] of active) {
    if (!missing.has(uid)) continue;
    active.delete(uid);
    events.push({ type: "Normal", reason: "MissingJob", message: `Active job went missing: ${name}` });
  }
  const status: CronJobStatus = {
    ...(active.size === 0 ? {} : { active: [...active.values()] }),
    ...(before.lastScheduleTime === undefined ? {} : { lastScheduleTime: before.lastScheduleTime }),
    ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
  };
  return { events, status };
}

function oldest(jobs: readonly Job[], type: "Complete" | "Failed", limit: number | undefined): readonly Job[] {
  if (limit === undefined) return [];
  const ended = jobs.filter((job) => job.metadata.deletionTimestamp === undefined && endOf(job)?.type === type);
  const started = ({ metadata, status }: Job) => `${status?.startTime ?? "~"} ${metadata.name}`;
  return ended.sort((a, b) => (started(a) < started(b) ? -1 : 1)).slice(0, Math.max(0, ended.length - limit));
}

type Start = Partial<Pick<CronJobPlan, "start" | "replace" | "requeueAfterMs" | "events">>;

function planStart(view: CronJobView, status: CronJobStatus): Start {
  const { cronJob, localZone, nowMs } = view;
  const { spec } = cronJob;
  const zone = spec.timeZone ?? localZone;
  if (!isTimeZone(zone)) {
    return warn("UnknownTimeZone", `invalid timeZone: ${JSON.stringify(zone)}: unknown time zone ${zone}`);
  }
  if (spec.suspend === true) return {};
  let schedule: CronSchedule;
  try {
    schedule = parseCron(spec.schedule, zone);
  } catch (error) {
    if (!(error instanceof CronError)) throw error;
    return warn("UnparseableSchedule", `unparseable schedule: ${JSON.stringify(spec.schedule)} : ${error.message}`);
  }
  const { latestMs, missed } = latestSchedule(cronJob, schedule, { nowMs, withDeadline: true });
  const events: CronEvent[] = [];
  if (missed > TOO_MANY_MISSED) {
    const message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
    events.push({ type: "Warning", reason: "TooManyMissedTimes", message });
  }
  const wake = { events, ...wakeAfter(cronJob, schedule, nowMs) };
  if (latestMs === undefined || isStarted(cronJob, status, latestMs)) return wake;
  const { startingDeadlineSeconds } = spec;
  if (startingDeadlineSeconds !== undefined && latestMs + startingDeadlineSeconds * 1000 < nowMs) {
    const message = `Missed scheduled time to start a job: ${rfc1123(latestMs)}`;
    events.push({ type: "Warning", reason: "MissSchedule", message });
    return wake;
  }
  const active = status.active ?? [];
  if (spec.concurrencyPolicy === "Forbid" && active.length > 0) {
    const message = "Not starting job because prior execution is running and concurrency policy is Forbid";
    events.push({ type: "Normal", reason: "JobAlreadyActive", message });
    return wake;
  }
  const start = { scheduledMs: latestMs, job: jobOf(cronJob, latestMs, zone) };
  return { ...wake, start, replace: spec.concurrencyPolicy === "Replace" ? active : [] };
}

const warn = (reason: string, message: string): Start => ({ events: [{ type: "Warning", reason, message }] });

function isStarted({ metadata, status: before }: CronJob, { active = [] }: CronJobStatus, ms: number): boolean {
  const name = jobName(metadata.name, ms);
  return active.some((ref) => ref.name === name) || Date.parse(before?.lastScheduleTime ?? "") === ms;
}

function wakeAfter(cronJob: CronJob, schedule: CronSchedule, nowMs: number): { requeueAfterMs?: number } {
  const { earliestMs, latestMs } = latestSchedule(cronJob, schedule, { nowMs, withDeadline: false });
  const next = schedule.next(latestMs ?? earliestMs);
  return next === undefined ? {} : { requeueAfterMs: Math.max(0, next - nowMs) + WAKE_DELAY_MS };
}

/**
 * The latest scheduled time up to now since the last start (or the creation, or the starting deadline, if later), and
 * how many there were, counted to one more than are too many.
 */
export function latestSchedule(
  { metadata, spec, status }: CronJob,
  schedule: CronSchedule,
  { nowMs, withDeadline }: { nowMs: number; withDeadline: boolean },
): { earliestMs: number; latestMs: number | undefined; missed: number } {
  let earliestMs = Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp ?? "");
  if (withDeadline && spec.startingDeadlineSeconds !== undefined) {
    earliestMs = Math.max(earliestMs, nowMs - spec.startingDeadlineSeconds * 1000);
  }
  let latestMs: number | undefined;
  let missed = 0;
  for (let t = schedule.next(earliestMs); t !== undefined && t <= nowMs; t = schedule.next(t)) {
    latestMs = t;
    if (++missed > TOO_MANY_MISSED) return { earliestMs, missed, latestMs: lastUntil(schedule, latestMs, nowMs) };
  }
  return { earliestMs, latestMs, missed };
}

/** The last scheduled time up to now, when there may be very many after `fromMs`: looked for from near now. */
function lastUntil(schedule: CronSchedule, fromMs: number, nowMs: number): number {
  if (schedule.everyMs !== undefined) {
    return fromMs + Math.floor((nowMs - fromMs) / schedule.everyMs) * schedule.everyMs;
  }
  for (let windowMs = 3_600_000; ; windowMs *= 24) {
    let latest = Math.max(fromMs, nowMs - windowMs);
    for (let t = schedule.next(latest); t !== undefined && t <= nowMs; t = schedule.next(t)) latest = t;
    if (latest > nowMs - windowMs || latest === fromMs) return latest;
  }
}

const jobName = (name: string | undefined, ms: number) => `${name}-${Math.floor(ms / 60_000)}`;

function jobOf(cronJob: CronJob, scheduledMs: number, zone: string): Job {
  const { metadata = {}, spec } = cronJob.spec.jobTemplate;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobName(cronJob.metadata.name, scheduledMs),
      namespace: cronJob.metadata.namespace,
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      annotations: { ...metadata.annotations, [SCHEDULED_TIMESTAMP]: zonedTime(scheduledMs, zone) },
      ownerReferences: [controllerRef(cronJob)],
    },
    ...(spec === undefined ? {} : { spec }),
  };
}

/** The status once the Job of `start` exists. */
export function withStarted(status: CronJobStatus, started: Job, scheduledMs: number): CronJobStatus {
  const { name, namespace, uid, resourceVersion } = started.metadata;
  const ref = { kind: "Job", namespace, name, uid, apiVersion: "batch/v1", resourceVersion };
  return { ...status, active: [...(status.active ?? []), ref], lastScheduleTime: rfc3339Seconds(scheduledMs) };
}

/** RFC 3339 on the zone's wall clock: "2026-03-01T08:00:00+01:00". */
function zonedTime(ms: number, zone: string): string {
  const offset = zoneOffsetMs(zone, ms) / 60_000;
  if (offset === 0) return rfc3339Seconds(ms);
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  return `${rfc3339Seconds(wallMs(zone, ms)).slice(0, -1)}${offset < 0 ? "-" : "+"}${two(hours)}:${two(minutes)}`;
}

/** "Mon, 02 Jan 2006 15:04:05 +0000" */
function rfc1123(ms: number): string {
  return new Date(ms).toUTCString().replace("GMT", "+0000");
}
