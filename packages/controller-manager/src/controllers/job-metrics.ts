/** Upstream's metrics of the Job controller. Source: k8s.io/kubernetes/pkg/controller/job/metrics/metrics.go */
import type { Job, JobCondition, JobStatus } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Counter, Histogram, type Registry } from "prom-client";
import { parseIndexes } from "../core/job/job-indexes.ts";
import { hasLimitPerIndex, hasTrackingFinalizer, isIndexed, isPodFailed } from "../core/job/job-pods.ts";
import { judgeFailure } from "../core/job/job-policies.ts";
import { isPodTerminal } from "../core/pod-state.ts";

export type JobAction = "reconciling" | "tracking" | "pods_created" | "pods_deleted";

/** 4 ms doubling, fifteen of them. */
const SYNC_BUCKETS = Array.from({ length: 15 }, (_, i) => 0.004 * 2 ** i);

export class JobMetrics {
  readonly #duration: Histogram<"completion_mode" | "result" | "action">;
  readonly #syncs: Counter<"completion_mode" | "result" | "action">;
  readonly #finished: Counter<"completion_mode" | "result" | "reason">;
  readonly #external: Counter<"controller_name">;
  readonly #podsFinished: Counter<"completion_mode" | "result">;
  readonly #byPolicy: Counter<"action">;
  readonly #held: Counter<"event">;
  readonly #indexes: Counter<"status" | "backoffLimit">;
  readonly #creations: Counter<"reason" | "status">;

  constructor(registry: Registry) {
    const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
      new Counter({ name: `job_controller_${name}`, help, labelNames: [...labelNames], registers: [registry] });
    const ofSyncs = ["completion_mode", "result", "action"] as const;
    this.#duration = new Histogram({
      name: "job_controller_job_sync_duration_seconds",
      help: "[STABLE] The time it took to sync a job",
      labelNames: [...ofSyncs],
      buckets: SYNC_BUCKETS,
      registers: [registry],
    });
    this.#syncs = counter("job_syncs_total", "[STABLE] The number of job syncs", ofSyncs);
    this.#finished = counter("jobs_finished_total", "[STABLE] The number of finished jobs", [
      "completion_mode",
      "result",
      "reason",
    ]);
    this.#external = counter(
      "jobs_by_external_controller_total",
      "[ALPHA] The number of Jobs managed by an external controller",
      ["controller_name"],
    );
    this.#podsFinished = counter(
      "job_pods_finished_total",
      "[STABLE] The number of finished Pods that are fully tracked",
      ["completion_mode", "result"],
    );
    this.#byPolicy = counter(
      "pod_failures_handled_by_failure_policy_total",
      "[BETA] The number of failed Pods that a rule of the pod failure policy matched, by its action",
      ["action"],
    );
    this.#held = counter(
      "terminated_pods_tracking_finalizer_total",
      "[BETA] Ended pods that got or lost the finalizer batch.kubernetes.io/job-tracking",
      ["event"],
    );
    this.#indexes = counter("job_finished_indexes_total", "[ALPHA] The number of finished indexes", [
      "status",
      "backoffLimit",
    ]);
    this.#creations = counter("job_pods_creation_total", "[ALPHA] The number of Pods created, by reason", [
      "reason",
      "status",
    ]);
  }

  synced(job: Job, action: JobAction, ok: boolean, durationMs: number): void {
    const labels = { completion_mode: modeOf(job), result: ok ? "success" : "error", action };
    this.#syncs.inc(labels);
    this.#duration.observe(labels, durationMs / 1000);
  }

  finished(job: Job, { type, reason = "" }: JobCondition): void {
    const result = type === "Complete" ? "succeeded" : "failed";
    this.#finished.inc({ completion_mode: modeOf(job), result, reason });
  }

  /** A Job that another controller looks after was seen. */
  external(controllerName: string): void {
    this.#external.inc({ controller_name: controllerName });
  }

  created(job: Job, failedBefore: number, outcome: { readonly succeeded: number; readonly failed: number }): void {
    const reason = creationReason(job, failedBefore);
    if (outcome.succeeded > 0) this.#creations.inc({ reason, status: "succeeded" }, outcome.succeeded);
    if (outcome.failed > 0) this.#creations.inc({ reason, status: "failed" }, outcome.failed);
  }

  /** The status was written: what it counts that it did not count before. */
  counted(job: Job, status: JobStatus): void {
    const completion_mode = modeOf(job);
    const succeeded = (status.succeeded ?? 0) - (job.status?.succeeded ?? 0);
    const failed = (status.failed ?? 0) - (job.status?.failed ?? 0);
    if (succeeded > 0) this.#podsFinished.inc({ completion_mode, result: "succeeded" }, succeeded);
    if (failed > 0) this.#podsFinished.inc({ completion_mode, result: "failed" }, failed);
    if (!isIndexed(job)) return;
    const completions = job.spec?.completions ?? 0;
    const backoffLimit = hasLimitPerIndex(job) ? "perIndex" : "global";
    const more = (now: string | undefined, before: string | undefined) =>
      parseIndexes(now, completions).size - parseIndexes(before, completions).size;
    const done = more(status.completedIndexes, job.status?.completedIndexes);
    const lost = more(status.failedIndexes, job.status?.failedIndexes);
    if (done > 0) this.#indexes.inc({ status: "succeeded", backoffLimit }, done);
    if (lost > 0) this.#indexes.inc({ status: "failed", backoffLimit }, lost);
  }

  /** Pods whose finalizer was taken away, so that they are judged for good. */
  released(job: Job, pods: readonly Pod[]): void {
    for (const pod of pods) {
      if (!isPodFailed(pod, job)) continue;
      const { action } = judgeFailure(job.spec?.podFailurePolicy, pod);
      if (action !== undefined) this.#byPolicy.inc({ action });
    }
  }

  podChanged(old: Pod | undefined, pod: Pod | undefined): void {
    const [was, is] = [isHeld(old), isHeld(pod)];
    if (was !== is) this.#held.inc({ event: is ? "add" : "delete" });
  }
}

function modeOf(job: Job): string {
  return job.spec?.completionMode ?? "NonIndexed";
}

function isHeld(pod: Pod | undefined): boolean {
  return pod !== undefined && isPodTerminal(pod) && hasTrackingFinalizer(pod);
}

function creationReason(job: Job, failedBefore: number): string {
  if (job.spec?.podReplacementPolicy === "Failed" && failedBefore > 0) return "recreate_failed";
  if (failedBefore > 0 || (job.status?.terminating ?? 0) > 0) return "recreate_terminating_or_failed";
  return "new";
}
