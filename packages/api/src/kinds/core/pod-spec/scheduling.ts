/** What steers the scheduler: tolerations, affinity, topology spread. Source: core/validation */
import { isDns1123Label, isLabelValue, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type {
  Affinity,
  NodeSelector,
  NodeSelectorTerm,
  PodAffinityTerm,
  PodAntiAffinity,
  Toleration,
  TopologySpreadConstraint,
} from "../../../generated/types/core-v1.ts";
import { requireText, validateOneOf } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { validateLabelSelector } from "../../../validation/object-meta.ts";

type NodeRequirement = NonNullable<NodeSelectorTerm["matchExpressions"]>[number];

const taintEffects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function validateTolerationValue(errors: FieldErrors, path: string, toleration: Toleration): void {
  const { operator = "", value = "" } = toleration;
  if (operator === "" || operator === "Equal") {
    const problems = isLabelValue(value);
    if (problems.length > 0) errors.invalid(`${path}.operator`, value, problems.join(";"));
  } else if (operator === "Exists") {
    if (value !== "") errors.invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'");
  } else errors.notSupported(`${path}.operator`, operator, ["Equal", "Exists"]);
}

export function validateTolerations(
  errors: FieldErrors,
  path: string,
  tolerations: readonly Toleration[] | undefined,
): void {
  for (const [i, toleration] of (tolerations ?? []).entries()) {
    const at = `${path}[${i}]`;
    const { key = "", operator = "", effect = "" } = toleration;
    if (key !== "") errors.invalidAll(`${at}.key`, key, isQualifiedName(key));
    if (key === "" && operator !== "Exists") {
      const detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
      errors.invalid(`${at}.operator`, operator, detail);
    }
    if (toleration.tolerationSeconds !== undefined && effect !== "NoExecute") {
      errors.invalid(`${at}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    validateTolerationValue(errors, at, toleration);
    if (effect !== "") validateOneOf(errors, `${at}.effect`, effect, taintEffects);
  }
}

function validateNodeRequirement(errors: FieldErrors, path: string, requirement: NodeRequirement): void {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
    case "NotIn":
      if (values.length === 0)
        errors.required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
      break;
    case "Exists":
    case "DoesNotExist":
      if (values.length > 0) {
        errors.forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      }
      break;
    case "Gt":
    case "Lt":
      if (values.length !== 1) {
        errors.required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'");
      }
      break;
    default:
      errors.invalid(`${path}.operator`, requirement.operator, "not a valid selector operator");
  }
  errors.invalidAll(`${path}.key`, requirement.key, isQualifiedName(requirement.key));
  for (const [i, value] of values.entries()) errors.invalidAll(`${path}.values[${i}]`, value, isLabelValue(value));
}

/** Only metadata.name can be matched by field. */
function validateFieldRequirement(errors: FieldErrors, path: string, requirement: NodeRequirement): void {
  const values = requirement.values ?? [];
  if (requirement.operator === "In" || requirement.operator === "NotIn") {
    if (values.length !== 1) {
      errors.required(
        `${path}.values`,
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
      );
    }
  } else errors.invalid(`${path}.operator`, requirement.operator, "not a valid selector operator");
  if (requirement.key !== "metadata.name") {
    errors.invalid(`${path}.key`, requirement.key, "not a valid field selector key");
  }
}

function validateNodeTerm(errors: FieldErrors, path: string, term: NodeSelectorTerm): void {
  for (const [i, requirement] of (term.matchExpressions ?? []).entries()) {
    validateNodeRequirement(errors, `${path}.matchExpressions[${i}]`, requirement);
  }
  for (const [i, requirement] of (term.matchFields ?? []).entries()) {
    validateFieldRequirement(errors, `${path}.matchFields[${i}]`, requirement);
  }
}

export function validateNodeSelector(errors: FieldErrors, path: string, selector: NodeSelector): void {
  const terms = selector.nodeSelectorTerms ?? [];
  if (terms.length === 0) {
    errors.required(`${path}.nodeSelectorTerms`, "must have at least one node selector term");
  }
  for (const [i, term] of terms.entries()) validateNodeTerm(errors, `${path}.nodeSelectorTerms[${i}]`, term);
}

function validateWeight(errors: FieldErrors, path: string, weight: number): void {
  if (weight < 1 || weight > 100) errors.invalid(path, weight, "must be in the range 1-100");
}

function validatePodTerm(errors: FieldErrors, path: string, term: PodAffinityTerm): void {
  validateLabelSelector(errors, `${path}.labelSelector`, term.labelSelector);
  validateLabelSelector(errors, `${path}.namespaceSelector`, term.namespaceSelector);
  for (const namespace of term.namespaces ?? []) {
    errors.invalidAll(`${path}.namespace`, namespace, isDns1123Label(namespace));
  }
  for (const field of ["matchLabelKeys", "mismatchLabelKeys"] as const) {
    const keys = term[field] ?? [];
    if (keys.length > 0 && term.labelSelector === undefined) {
      errors.forbidden(`${path}.${field}`, "must not be specified when labelSelector is not set");
    }
    for (const [i, key] of keys.entries()) errors.invalidAll(`${path}.${field}[${i}]`, key, isQualifiedName(key));
  }
  if (requireText(errors, `${path}.topologyKey`, term.topologyKey, "can not be empty")) {
    errors.invalidAll(`${path}.topologyKey`, term.topologyKey, isQualifiedName(term.topologyKey));
  }
}

function validatePodAffinity(errors: FieldErrors, path: string, affinity: PodAntiAffinity): void {
  for (const [i, term] of (affinity.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    validatePodTerm(errors, `${path}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`, term);
  }
  for (const [i, weighted] of (affinity.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    const at = `${path}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    validateWeight(errors, `${at}.weight`, weighted.weight);
    validatePodTerm(errors, `${at}.podAffinityTerm`, weighted.podAffinityTerm);
  }
}

export function validateAffinity(errors: FieldErrors, path: string, affinity: Affinity | undefined): void {
  const node = affinity?.nodeAffinity;
  const required = node?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required !== undefined) {
    validateNodeSelector(errors, `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`, required);
  }
  for (const [i, term] of (node?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    const at = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    validateWeight(errors, `${at}.weight`, term.weight);
    validateNodeTerm(errors, `${at}.preference`, term.preference);
  }
  if (affinity?.podAffinity !== undefined) validatePodAffinity(errors, `${path}.podAffinity`, affinity.podAffinity);
  if (affinity?.podAntiAffinity !== undefined) {
    validatePodAffinity(errors, `${path}.podAntiAffinity`, affinity.podAntiAffinity);
  }
}

function validateSpread(errors: FieldErrors, path: string, constraint: TopologySpreadConstraint): void {
  if (constraint.maxSkew <= 0) errors.invalid(`${path}.maxSkew`, constraint.maxSkew, "must be greater than 0");
  if (requireText(errors, `${path}.topologyKey`, constraint.topologyKey, "can not be empty")) {
    errors.invalidAll(`${path}.topologyKey`, constraint.topologyKey, isQualifiedName(constraint.topologyKey));
  }
  validateOneOf(errors, `${path}.whenUnsatisfiable`, constraint.whenUnsatisfiable, ["DoNotSchedule", "ScheduleAnyway"]);
  if (constraint.minDomains !== undefined) {
    if (constraint.minDomains <= 0)
      errors.invalid(`${path}.minDomains`, constraint.minDomains, "must be greater than 0");
    if (constraint.whenUnsatisfiable !== "DoNotSchedule") {
      const detail = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${constraint.whenUnsatisfiable}`;
      errors.invalid(`${path}.minDomains`, constraint.minDomains, detail);
    }
  }
  for (const field of ["nodeAffinityPolicy", "nodeTaintsPolicy"] as const) {
    if (constraint[field] !== undefined)
      validateOneOf(errors, `${path}.${field}`, constraint[field], ["Honor", "Ignore"]);
  }
  for (const [i, key] of (constraint.matchLabelKeys ?? []).entries()) {
    errors.invalidAll(`${path}.matchLabelKeys[${i}]`, key, isQualifiedName(key));
  }
  if ((constraint.matchLabelKeys?.length ?? 0) > 0 && constraint.labelSelector === undefined) {
    errors.forbidden(`${path}.matchLabelKeys`, "must not be specified when labelSelector is not set");
  }
  validateLabelSelector(errors, `${path}.labelSelector`, constraint.labelSelector);
}

export function validateTopologySpread(
  errors: FieldErrors,
  path: string,
  constraints: readonly TopologySpreadConstraint[] | undefined,
): void {
  const seen = new Set<string>();
  for (const [i, constraint] of (constraints ?? []).entries()) {
    const at = `${path}[${i}]`;
    validateSpread(errors, at, constraint);
    const pair = `{${constraint.topologyKey}, ${constraint.whenUnsatisfiable}}`;
    if (seen.has(pair)) errors.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair);
    seen.add(pair);
  }
}
