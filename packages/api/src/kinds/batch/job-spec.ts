/** Job specs, of Jobs and of the templates in CronJobs. Source: k8s.io/kubernetes/pkg/apis/batch */
import { isDns1123Subdomain, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { JobSpec, PodFailurePolicy } from "../../generated/types/batch-v1.ts";
import { usableSelector } from "../../usable-selector.ts";
import { validateNonNegative, validateOneOf, validateRequiredOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { validateLabelSelector } from "../../validation/object-meta.ts";
import { validatePodTemplate } from "../core/pod-spec/validate.ts";
import { validateSuccessPolicy } from "./success-policy.ts";

const maxInt32 = 2147483647;
const maxIndexes = 100_000;
const maxExitCodes = 255;
const maxManagedBy = 63;

/** Mutates: what a Job gets and the template of a CronJob does not. */
export function defaultJobSpec(spec: JobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : maxInt32;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.manualSelector ??= false;
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= "True";
  }
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? "TerminatingOrFailed" : "Failed";
}

function validateFailurePolicy(errors: FieldErrors, path: string, policy: PodFailurePolicy, spec: JobSpec): void {
  const rules = policy.rules ?? [];
  if (rules.length > 20) errors.tooMany(`${path}.rules`, rules.length, 20);
  const { containers = [], initContainers = [] } = spec.template.spec ?? {};
  const names = new Set([...containers, ...initContainers].map((c) => c.name));
  for (const [i, rule] of rules.entries()) {
    const at = `${path}.rules[${i}]`;
    validateOneOf(errors, `${at}.action`, rule.action, ["Count", "FailIndex", "FailJob", "Ignore"]);
    if (rule.action === "FailIndex" && spec.backoffLimitPerIndex === undefined) {
      errors.invalid(`${at}.action`, rule.action, "requires the backoffLimitPerIndex to be set");
    }
    const exit = rule.onExitCodes;
    const conditions = rule.onPodConditions ?? [];
    if (exit !== undefined && conditions.length > 0) {
      errors.invalidOmitted(at, "specifying both OnExitCodes and OnPodConditions is not supported");
    } else if (exit === undefined && conditions.length === 0) {
      errors.invalidOmitted(at, "specifying one of OnExitCodes and OnPodConditions is required");
    }
    if (conditions.length > 20) errors.tooMany(`${at}.onPodConditions`, conditions.length, 20);
    for (const [j, pattern] of conditions.entries()) {
      errors.invalidAll(`${at}.onPodConditions[${j}].type`, pattern.type, isQualifiedName(pattern.type));
      const statuses = ["False", "True", "Unknown"];
      validateRequiredOneOf(errors, `${at}.onPodConditions[${j}].status`, pattern.status, statuses);
    }
    if (exit === undefined) continue;
    validateOneOf(errors, `${at}.onExitCodes.operator`, exit.operator, ["In", "NotIn"]);
    if ((exit.values ?? []).length === 0)
      errors.invalid(`${at}.onExitCodes.values`, exit.values, "at least one value is required");
    validateExitValues(errors, `${at}.onExitCodes.values`, exit.values ?? []);
    if (exit.containerName !== undefined && !names.has(exit.containerName)) {
      errors.invalid(
        `${at}.onExitCodes.containerName`,
        exit.containerName,
        "must be one of the container or initContainer names in the pod template",
      );
    }
    if (exit.operator === "In" && exit.values?.includes(0)) {
      errors.invalid(`${at}.onExitCodes.values[${exit.values.indexOf(0)}]`, 0, "must not be 0 for the In operator");
    }
  }
}

/** In ascending order, each once. */
function validateExitValues(errors: FieldErrors, path: string, values: readonly number[]): void {
  if (values.length > maxExitCodes) errors.tooMany(path, values.length, maxExitCodes);
  const seen = new Set<number>();
  for (const [i, value] of values.entries()) {
    if (seen.has(value)) errors.duplicate(`${path}[${i}]`, value);
    seen.add(value);
  }
  if (values.some((value, i) => i > 0 && value < (values[i - 1] ?? 0))) {
    errors.invalid(path, values, "must be ordered");
  }
}

function validateIndexed(errors: FieldErrors, path: string, spec: JobSpec): void {
  validateOneOf(errors, `${path}.completionMode`, spec.completionMode, ["Indexed", "NonIndexed"]);
  if (spec.completionMode !== "Indexed") {
    for (const field of ["backoffLimitPerIndex", "maxFailedIndexes"] as const) {
      if (spec[field] !== undefined)
        errors.invalid(`${path}.${field}`, spec[field], "requires indexed completion mode");
    }
    if (spec.successPolicy !== undefined) {
      errors.invalid(`${path}.successPolicy`, spec.successPolicy, "requires indexed completion mode");
    }
    return;
  }
  if (spec.completions === undefined) {
    errors.required(`${path}.completions`, "when completion mode is Indexed");
    return;
  }
  if ((spec.parallelism ?? 0) > maxIndexes) {
    errors.invalid(
      `${path}.parallelism`,
      spec.parallelism,
      `must be less than or equal to ${maxIndexes} when completion mode is Indexed`,
    );
  }
  if (spec.maxFailedIndexes !== undefined && spec.maxFailedIndexes > spec.completions) {
    errors.invalid(`${path}.maxFailedIndexes`, spec.maxFailedIndexes, "must be less than or equal to completions");
  }
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) {
    errors.required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified");
  }
  if (spec.successPolicy !== undefined) validateSuccessPolicy(errors, `${path}.successPolicy`, spec);
}

/** Source: IsDomainPrefixedPath; KEP-4368 */
function validateManagedBy(errors: FieldErrors, path: string, name: string): void {
  if (name.length > maxManagedBy) errors.tooLong(path, maxManagedBy);
  const slash = name.indexOf("/");
  if (slash <= 0 || slash === name.length - 1) {
    errors.invalid(path, name, `must be a domain-prefixed path (such as "acme.io/foo")`);
    return;
  }
  errors.invalidAll(path, name, isDns1123Subdomain(name.slice(0, slash)));
}

const counts = [
  "parallelism",
  "completions",
  "activeDeadlineSeconds",
  "backoffLimit",
  "ttlSecondsAfterFinished",
  "backoffLimitPerIndex",
  "maxFailedIndexes",
] as const;

/** `path` is "spec" or "spec.jobTemplate.spec". */
export function validateJobSpec(errors: FieldErrors, path: string, spec: JobSpec): void {
  for (const field of counts) validateNonNegative(errors, `${path}.${field}`, spec[field]);
  if (spec.completionMode !== undefined) validateIndexed(errors, path, spec);
  if (spec.podFailurePolicy !== undefined) {
    validateFailurePolicy(errors, `${path}.podFailurePolicy`, spec.podFailurePolicy, spec);
  }
  if (spec.podReplacementPolicy !== undefined) {
    const supported = spec.podFailurePolicy === undefined ? ["Failed", "TerminatingOrFailed"] : ["Failed"];
    validateOneOf(errors, `${path}.podReplacementPolicy`, spec.podReplacementPolicy, supported);
  }
  if (spec.managedBy !== undefined) validateManagedBy(errors, `${path}.managedBy`, spec.managedBy);
  validatePodTemplate(errors, `${path}.template`, spec.template);
  const policy = spec.template.spec?.restartPolicy;
  if (policy !== "OnFailure" && policy !== "Never") {
    errors.required(`${path}.template.spec.restartPolicy`, 'valid values: "OnFailure", "Never"');
  } else if (spec.podFailurePolicy !== undefined && policy !== "Never") {
    errors.invalid(
      `${path}.template.spec.restartPolicy`,
      policy,
      'only "Never" is supported when podFailurePolicy is specified',
    );
  }
}

/** Of a Job: the selector must be there and match its pods. */
export function validateJobSelector(errors: FieldErrors, spec: JobSpec): void {
  if (spec.selector === undefined) {
    errors.required("spec.selector");
    return;
  }
  validateLabelSelector(errors, "spec.selector", spec.selector);
  const labels = spec.template.metadata?.labels ?? {};
  if (usableSelector(spec.selector)?.matches(labels) === false) {
    errors.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
  }
}
