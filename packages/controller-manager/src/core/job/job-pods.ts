/**
 * What a Job asks about its pods, and the pods it makes. Pure.
 * Source: kubernetes/pkg/controller/job/{job_controller,indexed_job_utils,tracking_utils}.go
 */
import type { Job } from "@knarr/api/generated/types/batch-v1.ts";
import type { Container, Pod, PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import { generateNameWithIndex, podOf } from "../pod-template.ts";
import { judgeFailure } from "./job-policies.ts";

export const JOB_TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking";
export const COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index";
const FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count";
const INDEX_VARIABLE = "JOB_COMPLETION_INDEX";

export const isIndexed = (job: Job) => job.spec?.completionMode === "Indexed";
export const isSuspended = (job: Job) => job.spec?.suspend === true;
export const hasLimitPerIndex = (job: Job) => isIndexed(job) && job.spec?.backoffLimitPerIndex !== undefined;
export const hasTrackingFinalizer = (pod: Pod) => pod.metadata.finalizers?.includes(JOB_TRACKING_FINALIZER) === true;

/** Terminating pods are replaced only once they have ended. */
export function replacesOnlyFailed({ spec }: Job): boolean {
  return spec?.podReplacementPolicy === "Failed" || spec?.podFailurePolicy !== undefined;
}

/** Failed, or on its way out without having succeeded (unless the Job waits for the end of such pods). */
export function isPodFailed(pod: Pod, job: Job): boolean {
  if (pod.status?.phase === "Failed") return true;
  if (replacesOnlyFailed(job)) return false;
  return pod.metadata.deletionTimestamp !== undefined && pod.status?.phase !== "Succeeded";
}

/** Undefined when the pod has none that makes sense, or one beyond the Job's completions. */
export function completionIndex(pod: Pod, completions = Number.POSITIVE_INFINITY): number | undefined {
  const text = pod.metadata.annotations?.[COMPLETION_INDEX] ?? "";
  if (!/^\d+$/.test(text)) return undefined;
  return Number(text) < completions ? Number(text) : undefined;
}

const numberIn = (pod: Pod, annotation: string) => {
  const text = pod.metadata.annotations?.[annotation] ?? "";
  return /^\d+$/.test(text) ? Number(text) : 0;
};

/** Failures of the pod's index before this pod that count against the limit per index. */
export const indexFailures = (pod: Pod) => numberIn(pod, FAILURE_COUNT);
/** The same with those that the failure policy ignored: for the back-off. */
export const allIndexFailures = (pod: Pod) => indexFailures(pod) + numberIn(pod, IGNORED_FAILURE_COUNT);

/** The pod's index is lost: by the policy, or because it failed too often. */
export function failsIndex(pod: Pod, job: Job): boolean {
  if (!isPodFailed(pod, job)) return false;
  const { action, counts } = judgeFailure(job.spec?.podFailurePolicy, pod);
  if (action === "FailIndex") return true;
  return counts && indexFailures(pod) >= (job.spec?.backoffLimitPerIndex ?? Number.POSITIVE_INFINITY);
}

/** A pod of the Job. `replaced` is the failed pod of the same index whose count goes on. */
export function podOfJob(job: Job, index?: number, replaced?: Pod): Pod {
  const template = job.spec?.template as PodTemplateSpec;
  const finalizers = new Set([...(template.metadata?.finalizers ?? []), JOB_TRACKING_FINALIZER]);
  const metadata = { ...template.metadata, finalizers: [...finalizers] };
  if (index === undefined) return podOf(job, { ...template, metadata });
  const { spec } = template;
  const containers = (list: readonly Container[]) => list.map(withIndexVariable);
  const annotations = {
    ...metadata.annotations,
    [COMPLETION_INDEX]: `${index}`,
    ...(hasLimitPerIndex(job) ? failureCounts(job, replaced) : {}),
  };
  const labels = { ...metadata.labels, [COMPLETION_INDEX]: `${index}` };
  const indexed: PodTemplateSpec = {
    metadata: { ...metadata, annotations, labels },
    ...(spec === undefined
      ? {}
      : {
          spec: {
            ...spec,
            hostname: `${job.metadata.name}-${index}`,
            containers: containers(spec.containers),
            ...(spec.initContainers === undefined ? {} : { initContainers: containers(spec.initContainers) }),
          },
        }),
  };
  return podOf(job, indexed, generateNameWithIndex(job.metadata.name ?? "", index));
}

function withIndexVariable(container: Container): Container {
  if (container.env?.some(({ name }) => name === INDEX_VARIABLE) === true) return container;
  const fieldPath = `metadata.labels['${COMPLETION_INDEX}']`;
  return {
    ...container,
    env: [...(container.env ?? []), { name: INDEX_VARIABLE, valueFrom: { fieldRef: { fieldPath } } }],
  };
}

function failureCounts(job: Job, replaced: Pod | undefined): Record<string, string> {
  if (replaced === undefined) return { [FAILURE_COUNT]: "0" };
  const { counts } = judgeFailure(job.spec?.podFailurePolicy, replaced);
  const ignored = numberIn(replaced, IGNORED_FAILURE_COUNT) + (counts ? 0 : 1);
  return {
    [FAILURE_COUNT]: `${indexFailures(replaced) + (counts ? 1 : 0)}`,
    ...(ignored > 0 ? { [IGNORED_FAILURE_COUNT]: `${ignored}` } : {}),
  };
}
