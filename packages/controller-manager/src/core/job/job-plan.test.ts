import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, JobSpec, JobStatus } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { noFailures } from "./job-backoff.ts";
import { at, job, NOW, type PodOptions, pod, view } from "./job-fixture.ts";
import { assessJob, type JobView, settleCounts, trackPods } from "./job-plan.ts";

/** The step, then what one reconcile leaves, every write having gone well. */
function reconcile(of: Partial<JobView> & { job: Job }): { step: string; status: JobStatus; finished?: string } {
  const assessment = assessJob(view(of));
  const { step } = assessment;
  const deleted = step.kind === "end" || step.kind === "remove" ? step.pods : [];
  const created = step.kind === "create" ? step.indexes.length : 0;
  const tracking = trackPods(assessment, { created, deleted });
  const uids = tracking.releases.map(({ metadata }) => metadata.uid ?? "");
  const { status, finished } = settleCounts(tracking, uids);
  const detail =
    step.kind === "create"
      ? ` ${step.indexes.map((i) => i ?? "x").join()}`
      : step.kind === "wait"
        ? ` ${step.ms}`
        : deleted.length > 0
          ? ` ${deleted.map(({ metadata }) => metadata.name).join()}`
          : "";
  return {
    step: `${step.kind}${detail}`,
    status,
    ...(finished?.reason === undefined ? {} : { finished: finished.reason }),
  };
}
const conditionsOf = (status: JobStatus) => (status.conditions ?? []).map((c) => `${c.type}=${c.status} ${c.reason}`);

interface Row {
  readonly when: string;
  readonly spec?: Partial<JobSpec>;
  readonly status?: JobStatus;
  readonly pods?: readonly Pod[];
  readonly view?: Partial<JobView>;
  readonly want: {
    readonly step?: string;
    readonly conditions?: readonly string[];
    readonly status?: Partial<JobStatus>;
  };
}
const indexed = (spec: Partial<JobSpec> = {}): Partial<JobSpec> => ({
  completionMode: "Indexed",
  completions: 3,
  ...spec,
});
const failing = (spec: Partial<JobSpec>, ...rules: object[]) => ({ ...spec, podFailurePolicy: { rules } as never });
const exits = (action: string, ...values: number[]) => ({ action, onExitCodes: { operator: "In", values } });
const many = (n: number, o: PodOptions) => Array.from({ length: n }, (_, i) => pod(`p${i}`, o));

const rows: Row[] = [
  {
    when: "it is new",
    want: { step: "create x,x", conditions: [], status: { active: 2, ready: 0, terminating: 0, startTime: at(0) } },
  },
  {
    when: "one has succeeded and fewer are left than may run",
    spec: { completions: 2, parallelism: 5 },
    pods: [pod("a", { phase: "Succeeded" })],
    want: { step: "create x", status: { active: 1, succeeded: 1 } },
  },
  {
    when: "all have succeeded",
    spec: { completions: 2 },
    pods: many(2, { phase: "Succeeded" }),
    want: {
      step: "none",
      conditions: ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"],
      status: { succeeded: 2, completionTime: at(0), uncountedTerminatedPods: {} },
    },
  },
  {
    when: "a work queue's pod has succeeded",
    spec: { completions: undefined, parallelism: 3 } as never,
    pods: [pod("a", { phase: "Succeeded" }), pod("b")],
    want: { step: "none", conditions: [], status: { active: 1, succeeded: 1 } },
  },
  {
    when: "a pod failed just now",
    pods: [pod("a", { phase: "Failed", endedSecondsAgo: 4 })],
    want: { step: "wait 6000", status: { failed: 1 } },
  },
  {
    when: "three pods failed since the last success",
    pods: [pod("a", { phase: "Failed", endedSecondsAgo: 1 })],
    view: { backoff: { failuresSinceSuccess: 2, lastFailureMs: NOW - 60_000 } },
    want: { step: "wait 39000" },
  },
  {
    when: "more pods failed than allowed",
    spec: { backoffLimit: 1 },
    pods: [pod("a", { phase: "Failed" }), pod("b", { phase: "Failed" }), pod("c")],
    want: {
      step: "end c",
      // The pod that was told to end still has to.
      conditions: ["FailureTarget=True BackoffLimitExceeded"],
      status: { failed: 3, terminating: 1, active: undefined as never },
    },
  },
  {
    when: "containers restarted too often with OnFailure",
    spec: {
      backoffLimit: 2,
      template: { spec: { containers: [], restartPolicy: "OnFailure" } },
    },
    pods: [pod("a", { restarts: 2 })],
    want: { step: "end a", conditions: ["FailureTarget=True BackoffLimitExceeded"] },
  },
  {
    when: "it was active for too long",
    spec: { activeDeadlineSeconds: 60 },
    status: { startTime: at(60) },
    want: { conditions: ["FailureTarget=True DeadlineExceeded", "Failed=True DeadlineExceeded"] },
  },
  {
    when: "it is suspended",
    spec: { suspend: true },
    pods: [pod("a"), pod("b")],
    want: {
      step: "remove a,b",
      conditions: ["Suspended=True JobSuspended"],
      status: { startTime: undefined as never, terminating: 2 },
    },
  },
  {
    when: "it is resumed",
    spec: { suspend: false },
    status: { conditions: [{ type: "Suspended", status: "True", reason: "JobSuspended", message: "Job suspended" }] },
    want: { step: "create x,x", conditions: ["Suspended=False JobResumed"], status: { startTime: at(0) } },
  },
  {
    when: "the cache is behind",
    view: { settled: false },
    want: { step: "unsettled", status: { startTime: at(0) } },
  },
  {
    when: "an index has two pods, and one pod has an index too high",
    spec: indexed({ parallelism: 3 }),
    pods: [pod("a", { index: 0 }), pod("b", { index: 0, phase: "Pending" }), pod("c", { index: 7 })],
    want: { step: "remove c,b" },
  },
  {
    when: "indexes are left to run",
    spec: indexed({ completions: 8, parallelism: 4 }),
    status: { completedIndexes: "0-2,5", succeeded: 4 },
    pods: [pod("a", { index: 3 }), pod("b", { index: 4, phase: "Succeeded" })],
    want: { step: "create 6,7", status: { completedIndexes: "0-2,4,5", succeeded: 5 } },
  },
  {
    when: "an index failed below its own limit",
    spec: indexed({ backoffLimitPerIndex: 1, backoffLimit: 2 ** 31 - 1 }),
    pods: [pod("a", { index: 0, phase: "Failed", endedSecondsAgo: 30 }), pod("b", { index: 1 })],
    // The failed pod keeps its finalizer until its index has a new pod.
    want: { step: "create 0", status: { failed: undefined as never, failedIndexes: "" } },
  },
  {
    when: "indexes failed over their own limit and the rest succeeded",
    spec: indexed({ backoffLimitPerIndex: 0, backoffLimit: 2 ** 31 - 1 }),
    status: { completedIndexes: "1,2" },
    pods: [pod("a", { index: 0, phase: "Failed" })],
    want: {
      conditions: ["FailureTarget=True FailedIndexes", "Failed=True FailedIndexes"],
      status: { failedIndexes: "0", failed: 1, completedIndexes: "1,2" },
    },
  },
  {
    when: "more indexes failed than allowed",
    spec: indexed({ completions: 9, backoffLimitPerIndex: 0, maxFailedIndexes: 1, backoffLimit: 2 ** 31 - 1 }),
    pods: [pod("a", { index: 0, phase: "Failed" }), pod("b", { index: 4, phase: "Failed" })],
    want: {
      conditions: ["FailureTarget=True MaxFailedIndexesExceeded", "Failed=True MaxFailedIndexesExceeded"],
      status: { failedIndexes: "0,4" },
    },
  },
  {
    when: "the failure policy ends the Job",
    spec: failing({}, exits("FailJob", 42)),
    pods: [pod("a", { phase: "Failed", exitCode: 42 })],
    want: {
      conditions: ["FailureTarget=True PodFailurePolicy", "Failed=True PodFailurePolicy"],
      status: { failed: 1 },
    },
  },
  {
    when: "the failure policy ignores a disruption",
    spec: failing({}, { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }),
    pods: [
      pod("a", { phase: "Failed", endedSecondsAgo: 99, conditions: [{ type: "DisruptionTarget", status: "True" }] }),
    ],
    want: { step: "create x,x", conditions: [], status: { failed: undefined as never } },
  },
  {
    when: "the failure policy gives an index up",
    spec: failing(indexed({ backoffLimitPerIndex: 5, backoffLimit: 2 ** 31 - 1 }), exits("FailIndex", 3)),
    pods: [pod("a", { index: 1, phase: "Failed", exitCode: 3 })],
    want: { step: "create 0,2", status: { failedIndexes: "1", failed: 1 } },
  },
  {
    when: "the success policy is met while pods run",
    spec: indexed({ parallelism: 3, successPolicy: { rules: [{ succeededIndexes: "0" }] } }),
    pods: [pod("a", { index: 0, phase: "Succeeded" }), pod("b", { index: 1 })],
    want: {
      step: "end b",
      conditions: ["SuccessCriteriaMet=True SuccessPolicy"],
      status: { succeeded: 1, completedIndexes: "0", failed: undefined as never },
    },
  },
  {
    when: "the success policy was met and all have ended",
    spec: indexed({ successPolicy: { rules: [{ succeededCount: 1 }] } }),
    status: {
      completedIndexes: "0",
      conditions: [{ type: "SuccessCriteriaMet", status: "True", reason: "SuccessPolicy", message: "m" }],
    },
    want: { conditions: ["SuccessCriteriaMet=True SuccessPolicy", "Complete=True SuccessPolicy"] },
  },
  {
    when: "a terminating pod is not to be replaced before it failed",
    spec: { podReplacementPolicy: "Failed" },
    pods: [pod("a", { deleting: true })],
    want: { step: "create x", status: { terminating: 1, failed: undefined as never } },
  },
  {
    when: "a terminating pod counts as failed at once",
    view: { backoff: noFailures },
    pods: [pod("a", { deleting: true })],
    want: { step: "wait 10000", status: { terminating: 1, failed: 1 } },
  },
  {
    when: "its uids were written but not yet counted",
    status: { uncountedTerminatedPods: { succeeded: ["a"], failed: ["b"] } },
    pods: [pod("a", { phase: "Succeeded", tracked: false })],
    want: { status: { succeeded: 1, failed: 1, uncountedTerminatedPods: {} } },
  },
];
for (const { when, want, ...row } of rows) {
  test(`assessJob(), trackPods(), settleCounts() do right when ${when}`, () => {
    const got = reconcile({ job: job(row.spec, row.status), pods: row.pods ?? [], ...row.view });
    if (want.step !== undefined) assert.equal(got.step, want.step);
    if (want.conditions !== undefined) assert.deepEqual(conditionsOf(got.status), want.conditions);
    for (const [field, value] of Object.entries(want.status ?? {})) {
      assert.deepEqual(got.status[field as keyof JobStatus], value, field);
    }
  });
}

test("assessJob() asks to look again at the deadline or when the back-off is over, whichever comes first", () => {
  const spec = { activeDeadlineSeconds: 100 };
  const failed = pod("a", { phase: "Failed", endedSecondsAgo: 0 });
  const after = (status: JobStatus, pods: readonly Pod[]) =>
    assessJob(view({ job: job(spec, status), pods })).requeueAfterMs;
  assert.equal(after({ startTime: at(40) }, []), 60_000);
  assert.equal(after({ startTime: at(40) }, [failed]), 10_000);
  assert.equal(after({ startTime: at(95) }, [failed]), 5000);
});

test("judgeFailure() words the failure as upstream does", () => {
  const exit = reconcile({
    job: job(failing({}, exits("FailJob", 42))),
    pods: [pod("a", { phase: "Failed", exitCode: 42 })],
  });
  assert.equal(
    exit.status.conditions?.[0]?.message,
    "Container c for pod ns/a failed with exit code 42 matching FailJob rule at index 0",
  );
  const rule = { action: "FailJob", onPodConditions: [{ type: "ConfigIssue" }] };
  const conditions = [{ type: "ConfigIssue", status: "True" }];
  const condition = reconcile({ job: job(failing({}, rule)), pods: [pod("a", { phase: "Failed", conditions })] });
  assert.equal(
    condition.status.conditions?.[0]?.message,
    "Pod ns/a has condition ConfigIssue matching FailJob rule at index 0",
  );
});
