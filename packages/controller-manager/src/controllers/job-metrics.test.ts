import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, JobSpec, JobStatus } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Registry } from "prom-client";
import { JOB_TRACKING_FINALIZER } from "../core/job/job-pods.ts";
import { JobMetrics } from "./job-metrics.ts";

function job(spec: Partial<JobSpec>, status: JobStatus = {}): Job {
  return { metadata: { name: "j" }, spec: { template: { spec: { containers: [] } }, ...spec }, status } as Job;
}

function pod(phase: string, finalizers: string[], exitCode = 0): Pod {
  const terminated = { exitCode };
  const containerStatuses = [{ name: "c", state: { terminated } }];
  return { metadata: { name: "p", finalizers }, status: { phase, containerStatuses } } as unknown as Pod;
}

async function linesAfter(use: (metrics: JobMetrics) => void): Promise<string[]> {
  const registry = new Registry();
  use(new JobMetrics(registry));
  const text = await registry.metrics();
  return text.split("\n").filter((line) => line.startsWith("job_controller_") && !line.includes("_bucket"));
}

const CASES: readonly { name: string; use: (metrics: JobMetrics) => void; want: readonly string[] }[] = [
  {
    name: "synced() counts and times a sync by mode, result and action",
    use: (m) => m.synced(job({}), "pods_created", true, 250),
    want: [
      'job_controller_job_sync_duration_seconds_sum{completion_mode="NonIndexed",result="success",action="pods_created"} 0.25',
      'job_controller_job_sync_duration_seconds_count{completion_mode="NonIndexed",result="success",action="pods_created"} 1',
      'job_controller_job_syncs_total{completion_mode="NonIndexed",result="success",action="pods_created"} 1',
    ],
  },
  {
    name: "finished() names the result and why",
    use: (m) => {
      m.finished(job({}), { type: "Complete", status: "True", reason: "CompletionsReached" });
      m.finished(job({ completionMode: "Indexed" }), {
        type: "Failed",
        status: "True",
        reason: "BackoffLimitExceeded",
      });
    },
    want: [
      'job_controller_jobs_finished_total{completion_mode="NonIndexed",result="succeeded",reason="CompletionsReached"} 1',
      'job_controller_jobs_finished_total{completion_mode="Indexed",result="failed",reason="BackoffLimitExceeded"} 1',
    ],
  },
  {
    name: "counted() tells the pods and indexes that are new in the status",
    use: (m) =>
      m.counted(job({ completionMode: "Indexed", completions: 5 }, { succeeded: 1, completedIndexes: "0" }), {
        succeeded: 3,
        failed: 1,
        completedIndexes: "0-2",
      }),
    want: [
      'job_controller_job_pods_finished_total{completion_mode="Indexed",result="succeeded"} 2',
      'job_controller_job_pods_finished_total{completion_mode="Indexed",result="failed"} 1',
      'job_controller_job_finished_indexes_total{status="succeeded",backoffLimit="global"} 2',
    ],
  },
  {
    name: "released() counts failures that a rule of the policy matched",
    use: (m) => {
      const onExitCodes = { operator: "In", values: [42] };
      const policy = { podFailurePolicy: { rules: [{ action: "Ignore", onExitCodes }] } };
      m.released(job(policy), [pod("Failed", [], 42), pod("Failed", [], 1), pod("Succeeded", [])]);
    },
    want: ['job_controller_pod_failures_handled_by_failure_policy_total{action="Ignore"} 1'],
  },
  {
    name: "podChanged() follows the finalizer of ended pods only",
    use: (m) => {
      m.podChanged(undefined, pod("Running", [JOB_TRACKING_FINALIZER]));
      m.podChanged(pod("Running", [JOB_TRACKING_FINALIZER]), pod("Succeeded", [JOB_TRACKING_FINALIZER]));
      m.podChanged(pod("Succeeded", [JOB_TRACKING_FINALIZER]), pod("Succeeded", []));
    },
    want: [
      'job_controller_terminated_pods_tracking_finalizer_total{event="add"} 1',
      'job_controller_terminated_pods_tracking_finalizer_total{event="delete"} 1',
    ],
  },
  {
    name: "created() names why pods were made",
    use: (m) => {
      m.created(job({}), 0, { succeeded: 3, failed: 0 });
      m.created(job({ podReplacementPolicy: "Failed" }), 1, { succeeded: 0, failed: 1 });
      m.created(job({}, { terminating: 1 }), 0, { succeeded: 1, failed: 0 });
    },
    want: [
      'job_controller_job_pods_creation_total{reason="new",status="succeeded"} 3',
      'job_controller_job_pods_creation_total{reason="recreate_failed",status="failed"} 1',
      'job_controller_job_pods_creation_total{reason="recreate_terminating_or_failed",status="succeeded"} 1',
    ],
  },
];

for (const { name, use, want } of CASES) {
  test(`JobMetrics.${name}`, async () => {
    assert.deepEqual(await linesAfter(use), want);
  });
}
