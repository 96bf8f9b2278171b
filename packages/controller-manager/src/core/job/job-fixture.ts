/** Jobs and pods for this folder's tests. */
import type { Job, JobSpec, JobStatus } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { noFailures } from "./job-backoff.ts";
import type { JobView } from "./job-plan.ts";
import { COMPLETION_INDEX, JOB_TRACKING_FINALIZER } from "./job-pods.ts";

export const NOW = Date.UTC(2026, 0, 1, 12);
export const at = (secondsAgo: number) => new Date(NOW - secondsAgo * 1000).toISOString().replace(".000Z", "Z");

export function job(spec: Partial<JobSpec> = {}, status?: JobStatus): Job {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { namespace: "ns", name: "j", uid: "job", creationTimestamp: at(600) },
    spec: {
      parallelism: 2,
      ...(spec.completionMode === undefined && spec.completions === undefined ? { completions: 3 } : {}),
      backoffLimit: 6,
      selector: { matchLabels: { job: "j" } },
      template: {
        metadata: { labels: { job: "j" } },
        spec: { containers: [{ name: "c", image: "i" }], restartPolicy: "Never" },
      },
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

export interface PodOptions {
  readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed";
  readonly index?: number;
  readonly deleting?: boolean;
  readonly exitCode?: number;
  readonly endedSecondsAgo?: number;
  readonly tracked?: boolean;
  readonly annotations?: Record<string, string>;
  readonly conditions?: { type: string; status: string }[];
  readonly restarts?: number;
}

export function pod(name: string, o: PodOptions = {}): Pod {
  const ended = o.phase === "Succeeded" || o.phase === "Failed";
  const terminated = {
    exitCode: o.exitCode ?? (o.phase === "Failed" ? 1 : 0),
    finishedAt: at(o.endedSecondsAgo ?? 0),
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      namespace: "ns",
      name,
      uid: name,
      creationTimestamp: at(300),
      labels: { job: "j" },
      ...(o.tracked === false ? {} : { finalizers: [JOB_TRACKING_FINALIZER] }),
      annotations: { ...(o.index === undefined ? {} : { [COMPLETION_INDEX]: `${o.index}` }), ...o.annotations },
      ...(o.deleting === true ? { deletionTimestamp: at(0) } : {}),
    },
    spec: { containers: [{ name: "c", image: "i" }] },
    status: {
      phase: o.phase ?? "Running",
      conditions: o.conditions ?? [],
      containerStatuses: [
        {
          name: "c",
          image: "i",
          imageID: "",
          ready: false,
          restartCount: o.restarts ?? 0,
          ...(ended ? { state: { terminated } } : {}),
        },
      ],
    },
  };
}

export function view(of: Partial<JobView> & Pick<JobView, "job">): JobView {
  return { pods: [], settled: true, released: new Set(), backoff: noFailures, nowMs: NOW, ...of };
}
