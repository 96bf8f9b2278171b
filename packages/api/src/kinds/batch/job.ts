import { ageColumn, containerColumns, formatSelector, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { batch } from "../../generated/resources.ts";
import type { Job, JobSpec } from "../../generated/types/batch-v1.ts";
import { humanDuration } from "../../human-duration.ts";
import { labelName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { defaultPodTemplate } from "../core/pod-spec/defaults.ts";
import { podSpecWarnings } from "../core/pod-warnings.ts";
import { defaultJobSpec, validateJobSelector, validateJobSpec } from "./job-spec.ts";

const nameLabels = ["job-name", "batch.kubernetes.io/job-name"];
const uidLabels = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/** Mutates: labels that make the pods this job's alone, and the selector for them. Needs metadata.uid. */
function generateSelector(job: Job): void {
  const { spec } = job;
  if (spec === undefined || spec.manualSelector === true) return;
  spec.template.metadata ??= {};
  const labels = { ...spec.template.metadata.labels };
  for (const key of nameLabels) labels[key] ??= job.metadata.name ?? "";
  for (const key of uidLabels) labels[key] ??= job.metadata.uid ?? "";
  spec.template.metadata.labels = labels;
  spec.selector ??= {};
  spec.selector.matchLabels ??= {};
  spec.selector.matchLabels["batch.kubernetes.io/controller-uid"] ??= job.metadata.uid ?? "";
}

/** Mutates: a job without labels has those of its pods. */
function defaultLabels(job: Job): void {
  const labels = job.spec?.template.metadata?.labels;
  if (labels === undefined || Object.keys(job.metadata.labels ?? {}).length > 0) return;
  job.metadata.labels = { ...labels };
}

function completionsText(job: Job): string {
  const succeeded = job.status?.succeeded ?? 0;
  const { completions, parallelism } = job.spec ?? {};
  if (completions !== undefined) return `${succeeded}/${completions}`;
  return (parallelism ?? 0) > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function durationText(job: Job, now: number): string {
  const start = job.status?.startTime;
  if (start === undefined) return "";
  const end = job.status?.completionTime;
  return humanDuration((end === undefined ? now : Date.parse(end)) - Date.parse(start));
}

function statusText(job: Job): string {
  const has = (type: string) => job.status?.conditions?.some((c) => c.type === type && c.status === "True") ?? false;
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (job.metadata.deletionTimestamp !== undefined) return "Terminating";
  return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].find(has) ?? "Running";
}

/** Where pods run may still be chosen while a job is suspended and has not started. Source: KEP-2926 */
function withSchedulingOf(spec: JobSpec, old: JobSpec): JobSpec["template"] {
  const from = old.template.spec;
  if (spec.template.spec === undefined || from === undefined) return spec.template;
  const { nodeSelector, affinity, tolerations, schedulingGates } = from;
  const metadata = {
    ...spec.template.metadata,
    labels: old.template.metadata?.labels,
    annotations: old.template.metadata?.annotations,
  };
  return { metadata, spec: { ...spec.template.spec, nodeSelector, affinity, tolerations, schedulingGates } };
}

const frozen = [
  "selector",
  "completionMode",
  "podFailurePolicy",
  "backoffLimitPerIndex",
  "managedBy",
  "successPolicy",
] as const;

/** Source: pkg/registry/batch/job/strategy.go, ValidateJob */
export const jobKind = defineKind<Job>({
  ref: batch.jobs,
  categories: ["all"],
  subresources: [statusOf("Job")],
  prefix: "/registry/jobs",
  nameRule: labelName,
  selectable: { "status.successful": (job) => String(job.status?.succeeded ?? 0) },
  default(job) {
    if (job.spec === undefined) return;
    defaultJobSpec(job.spec);
    defaultPodTemplate(job.spec.template);
    defaultLabels(job);
  },
  prepareForCreate(job) {
    generateSelector(job);
    // Upstream defaults what it reads from storage too, so nobody ever sees a job without the labels just made.
    defaultLabels(job);
  },
  validate(errors, job) {
    if (job.spec === undefined) return;
    validateJobSpec(errors, "spec", job.spec);
    validateJobSelector(errors, job.spec);
  },
  validateUpdate(errors, job, old) {
    const { spec } = job;
    if (spec === undefined || old.spec === undefined) return;
    const elastic = spec.completionMode === "Indexed" && spec.completions === spec.parallelism;
    if (!elastic || spec.completions === undefined) {
      validateImmutable(errors, "spec.completions", spec.completions, old.spec.completions);
    }
    for (const field of frozen) validateImmutable(errors, `spec.${field}`, spec[field], old.spec[field]);
    const notStarted = old.spec.suspend === true && old.status?.startTime === undefined;
    const template = notStarted ? withSchedulingOf(spec, old.spec) : spec.template;
    if (!deepEqual(template, old.spec.template)) errors.invalid("spec.template", spec.template, "field is immutable");
  },
  warnings(job) {
    const spec = job.spec?.template?.spec;
    return spec === undefined ? [] : podSpecWarnings("spec.template.spec", spec);
  },
  deletion: { defaultPropagation: "Orphan" },
  columns: [
    nameColumn(),
    textColumn("Status", statusText),
    textColumn("Completions", completionsText),
    textColumn("Duration", durationText),
    ageColumn(),
    ...containerColumns<Job>((job) => job.spec?.template),
    textColumn("Selector", (job) => formatSelector(job.spec?.selector), "wide"),
  ],
});
