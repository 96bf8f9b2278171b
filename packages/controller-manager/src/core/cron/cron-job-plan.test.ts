import assert from "node:assert/strict";
import { test } from "node:test";
import type { CronJob, CronJobSpec, CronJobStatus, Job } from "@knarr/api/generated/types/batch-v1.ts";
import { planCronJob, withStarted } from "./cron-job-plan.ts";

const NOW = Date.UTC(2026, 0, 1, 12, 0, 30);
const time = (minutesAgo: number) =>
  new Date(Date.UTC(2026, 0, 1, 12) - minutesAgo * 60_000).toISOString().replace(".000", "");

function cron(spec: Partial<CronJobSpec> = {}, status?: CronJobStatus, createdMinutesAgo = 90): CronJob {
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { namespace: "ns", name: "tick", uid: "cron", creationTimestamp: time(createdMinutesAgo) },
    spec: {
      schedule: "*/5 * * * *",
      concurrencyPolicy: "Allow",
      jobTemplate: { metadata: { labels: { a: "b" } }, spec: { template: {} } },
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}
const ended = (name: string, type: string, minutesAgo: number): Job => ({
  metadata: { namespace: "ns", name, uid: name },
  status: {
    startTime: time(minutesAgo + 1),
    conditions: [{ type, status: "True" }],
    ...(type === "Complete" ? { completionTime: time(minutesAgo) } : {}),
  },
});
const running = (name: string): Job => ({ metadata: { namespace: "ns", name, uid: name } });
const ref = (name: string) => ({ kind: "Job", namespace: "ns", name, uid: name });
const plan = (cronJob: CronJob, jobs: readonly Job[] = [], more: object = {}) =>
  planCronJob({ cronJob, jobs, missing: new Set(), localZone: "UTC", nowMs: NOW, ...more });
const minutes = (ms: number) => Math.floor(ms / 60_000);

test("planCronJob() starts the Job of the latest scheduled time, named after it", () => {
  const { start, requeueAfterMs, events } = plan(cron({}, undefined, 7));
  assert.deepEqual(events, []);
  assert.equal(start?.scheduledMs, Date.UTC(2026, 0, 1, 12));
  assert.deepEqual(start?.job.metadata, {
    namespace: "ns",
    name: `tick-${minutes(Date.UTC(2026, 0, 1, 12))}`,
    labels: { a: "b" },
    annotations: { "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T12:00:00Z" },
    ownerReferences: [
      {
        apiVersion: "batch/v1",
        kind: "CronJob",
        name: "tick",
        uid: "cron",
        controller: true,
        blockOwnerDeletion: true,
      },
    ],
  });
  assert.equal(requeueAfterMs, 4.5 * 60_000 + 100);
});

test("planCronJob() writes the scheduled time on the zone's clock", () => {
  const annotation = (timeZone: string) =>
    plan(cron({ timeZone, schedule: "0 * * * *" })).start?.job.metadata.annotations?.[
      "batch.kubernetes.io/cronjob-scheduled-timestamp"
    ];
  assert.equal(annotation("Europe/Berlin"), "2026-01-01T13:00:00+01:00");
  assert.equal(annotation("America/St_Johns"), "2026-01-01T08:00:00-03:30");
});

const nothing: { when: string; cronJob: CronJob; reason?: string; jobs?: Job[]; wakes: boolean }[] = [
  { when: "it was created after the last scheduled time", cronJob: cron({}, undefined, 0), wakes: true },
  { when: "that time was served", cronJob: cron({}, { lastScheduleTime: time(0) }), wakes: true },
  { when: "it is suspended", cronJob: cron({ suspend: true }), wakes: false },
  {
    when: "the starting deadline has passed",
    cronJob: cron({ startingDeadlineSeconds: 29 }, { lastScheduleTime: time(5) }),
    wakes: true,
  },
  {
    when: "one runs and the policy is Forbid",
    cronJob: cron({ concurrencyPolicy: "Forbid" }, { active: [ref("tick-1")] }),
    jobs: [running("tick-1")],
    reason: "JobAlreadyActive",
    wakes: true,
  },
  { when: "the zone is unknown", cronJob: cron({ timeZone: "Mars/Base" }), reason: "UnknownTimeZone", wakes: false },
  {
    when: "the schedule makes no sense",
    cronJob: cron({ schedule: "x" }),
    reason: "UnparseableSchedule",
    wakes: false,
  },
];
for (const { when, cronJob, reason, jobs = [], wakes } of nothing) {
  test(`planCronJob() starts nothing when ${when}`, () => {
    const got = plan(cronJob, jobs);
    assert.equal(got.start, undefined);
    assert.deepEqual(
      got.events.map((event) => event.reason),
      reason === undefined ? [] : [reason],
    );
    assert.equal(got.requeueAfterMs !== undefined, wakes);
  });
}

test("planCronJob() replaces the running Job when the policy is Replace", () => {
  const { start, replace } = plan(
    cron({ concurrencyPolicy: "Replace" }, { active: [ref("tick-1")], lastScheduleTime: time(5) }),
    [running("tick-1")],
  );
  assert.deepEqual([start !== undefined, replace.map(({ name }) => name)], [true, ["tick-1"]]);
});

test("planCronJob() says that too many times were missed, and starts the latest", () => {
  const { start, events } = plan(cron({ schedule: "* * * * *" }, undefined, 600));
  assert.deepEqual(
    events.map(({ reason }) => reason),
    ["TooManyMissedTimes"],
  );
  assert.equal(start?.scheduledMs, Date.UTC(2026, 0, 1, 12));
  const every = plan(cron({ schedule: "@every 7m" }, undefined, 7 * 500 + 3));
  assert.equal(every.start?.scheduledMs, Date.UTC(2026, 0, 1, 11, 57));
  assert.deepEqual(plan(cron({ schedule: "* * * * *", startingDeadlineSeconds: 200 }, undefined, 600)).events, []);
});

test("planCronJob() keeps its list of active Jobs and the last success", () => {
  const status = { active: [ref("a"), ref("b"), ref("c")], lastScheduleTime: time(0) };
  const jobs = [ended("a", "Complete", 3), ended("old", "Complete", 30), running("c"), running("stray")];
  const got = plan(cron({}, status), jobs, { missing: new Set(["b"]) });
  assert.deepEqual(got.status, { active: [ref("c")], lastScheduleTime: time(0), lastSuccessfulTime: time(3) });
  assert.deepEqual(
    got.events.map(({ type, reason, message }) => `${type} ${reason} ${message}`),
    [
      "Normal SawCompletedJob Saw completed job: a, condition: Complete",
      "Warning UnexpectedJob Saw a job that the controller did not create or forgot: stray",
      "Normal MissingJob Active job went missing: b",
    ],
  );
});

test("planCronJob() removes the oldest ended Jobs beyond each limit", () => {
  const jobs = [
    ended("s1", "Complete", 40),
    ended("s2", "Complete", 30),
    ended("s3", "Complete", 20),
    ended("f1", "Failed", 15),
    ended("f2", "Failed", 50),
    running("r"),
  ];
  const got = plan(cron({ successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0 }), jobs);
  assert.deepEqual(
    got.remove.map(({ metadata }) => metadata.name),
    ["s1", "s2", "f2", "f1"],
  );
});

test("withStarted() lists the new Job", () => {
  const job: Job = { metadata: { namespace: "ns", name: "n", uid: "u", resourceVersion: "7" } };
  assert.deepEqual(withStarted({}, job, NOW), {
    active: [{ kind: "Job", namespace: "ns", name: "n", uid: "u", apiVersion: "batch/v1", resourceVersion: "7" }],
    lastScheduleTime: "2026-01-01T12:00:30Z",
  });
});
