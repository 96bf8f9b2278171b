import { ageColumn, containerColumns, formatSelector, integerColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { batch } from "../../generated/resources.ts";
import type { CronJob, CronJobSpec } from "../../generated/types/batch-v1.ts";
import { ageSince } from "../../human-duration.ts";
import { requireText, validateNonNegative, validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { defaultPodTemplate } from "../core/pod-spec/defaults.ts";
import { podSpecWarnings } from "../core/pod-warnings.ts";
import { cronScheduleProblem, isTimeZone } from "./cron-schedule.ts";
import { validateJobSpec } from "./job-spec.ts";

/** Jobs get eleven characters more. */
const maxNameLength = 63 - 11;

function validateTimeZone(errors: FieldErrors, zone: string | undefined): void {
  if (zone === undefined) return;
  const path = "spec.timeZone";
  if (zone === "") errors.invalid(path, zone, "timeZone must be nil or non-empty string");
  else if (zone.toLowerCase() === "local")
    errors.invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  else if (!isTimeZone(zone)) errors.invalid(path, zone, `unknown time zone ${zone}`);
}

function validateSpec(errors: FieldErrors, spec: CronJobSpec, old: CronJobSpec | undefined): void {
  if (requireText(errors, "spec.schedule", spec.schedule)) {
    const problem = cronScheduleProblem(spec.schedule);
    if (problem !== undefined) errors.invalid("spec.schedule", spec.schedule, problem);
    if (/TZ/.test(spec.schedule) && spec.schedule !== old?.schedule) {
      errors.invalid(
        "spec.schedule",
        spec.schedule,
        "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
      );
    }
  }
  validateNonNegative(errors, "spec.startingDeadlineSeconds", spec.startingDeadlineSeconds);
  validateTimeZone(errors, spec.timeZone);
  validateOneOf(errors, "spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]);
  const { jobTemplate } = spec;
  if (jobTemplate.spec !== undefined) {
    if (jobTemplate.spec.manualSelector === true) {
      errors.notSupported("spec.jobTemplate.spec.manualSelector", true, ["nil", "false"]);
    }
    validateJobSpec(errors, "spec.jobTemplate.spec", jobTemplate.spec);
  }
  validateNonNegative(errors, "spec.successfulJobsHistoryLimit", spec.successfulJobsHistoryLimit);
  validateNonNegative(errors, "spec.failedJobsHistoryLimit", spec.failedJobsHistoryLimit);
}

function booleanText(value: boolean | undefined): string {
  return value === undefined ? "<unset>" : value ? "True" : "False";
}

/** Source: pkg/registry/batch/cronjob/strategy.go, ValidateCronJobCreate */
export const cronJobKind = defineKind<CronJob>({
  ref: batch.cronjobs,
  shortNames: ["cj"],
  categories: ["all"],
  subresources: [statusOf("CronJob")],
  prefix: "/registry/cronjobs",
  nameRule: subdomainName,
  default({ spec }) {
    if (spec === undefined) return;
    spec.concurrencyPolicy ||= "Allow";
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    defaultPodTemplate(spec.jobTemplate.spec?.template);
  },
  validate(errors, job, old) {
    if (job.spec !== undefined) validateSpec(errors, job.spec, old?.spec);
    const name = job.metadata.name ?? "";
    if (old === undefined && name.length > maxNameLength) {
      errors.invalid("metadata.name", name, `must be no more than ${maxNameLength} characters`);
    }
  },
  warnings(job) {
    const spec = job.spec?.jobTemplate.spec?.template.spec;
    return spec === undefined ? [] : podSpecWarnings("spec.jobTemplate.spec.template.spec", spec);
  },
  columns: [
    nameColumn(),
    textColumn("Schedule", (job) => job.spec?.schedule ?? ""),
    textColumn("Timezone", (job) => job.spec?.timeZone ?? "<none>"),
    { ...textColumn<CronJob>("Suspend", (job) => booleanText(job.spec?.suspend)), type: "boolean" },
    integerColumn("Active", (job) => job.status?.active?.length ?? 0),
    textColumn("Last Schedule", (job, now) =>
      job.status?.lastScheduleTime === undefined ? "<none>" : ageSince(job.status.lastScheduleTime, now),
    ),
    ageColumn(),
    ...containerColumns<CronJob>((job) => job.spec?.jobTemplate.spec?.template),
    textColumn("Selector", (job) => formatSelector(job.spec?.jobTemplate.spec?.selector), "wide"),
  ],
});
