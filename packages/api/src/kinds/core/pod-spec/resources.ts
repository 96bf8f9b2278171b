/** Requests, limits and resize policy. Source: core/validation ValidateResourceRequirements */
import { compareQuantities, parseQuantity } from "@knarr/apimachinery/quantity.ts";
import type { Container, ContainerResizePolicy, ResourceRequirements } from "../../../generated/types/core-v1.ts";
import { validateOneOf, validateQuantity } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import type { ResourceList } from "../resource-list.ts";
import {
  isHugePages,
  isIntegerResource,
  isOvercommitAllowed,
  validateContainerResourceName,
} from "../resource-names.ts";

const nanosPerOne = 1_000_000_000n;

/** Not negative, and whole where fractions make no sense. Returns whether it is a quantity. */
export function validateAmount(errors: FieldErrors, path: string, name: string, amount: string): boolean {
  if (!validateQuantity(errors, path, amount)) return false;
  if (isIntegerResource(name) && parseQuantity(amount).nanos % nanosPerOne !== 0n) {
    errors.invalid(path, amount, "must be an integer");
  }
  return true;
}

/** Checks a whole list; returns the entries that can be computed with. */
function validateList(
  errors: FieldErrors,
  path: string,
  list: ResourceList | undefined,
  validateName: (errors: FieldErrors, path: string, name: string) => void,
): ResourceList {
  const usable: ResourceList = {};
  for (const [name, amount] of Object.entries(list ?? {})) {
    validateName(errors, `${path}[${name}]`, name);
    if (validateAmount(errors, `${path}[${name}]`, name, amount)) usable[name] = amount;
  }
  return usable;
}

function validateClaims(
  errors: FieldErrors,
  path: string,
  requirements: ResourceRequirements,
  names: Set<string>,
): void {
  const seen = new Set<string>();
  for (const [i, claim] of (requirements.claims ?? []).entries()) {
    const at = `${path}[${i}]`;
    if ((claim.name ?? "") === "") {
      errors.required(`${at}.name`);
      continue;
    }
    const key = `${claim.name}/${claim.request ?? ""}`;
    if (seen.has(key)) errors.duplicate(at, claim.request === undefined ? claim.name : key);
    seen.add(key);
    if (!names.has(claim.name)) errors.notFound(at, claim.name);
  }
}

/** `claims` are the names in spec.resourceClaims. */
export function validateResources(
  errors: FieldErrors,
  path: string,
  requirements: ResourceRequirements | undefined,
  claims: Set<string> = new Set(),
): void {
  if (requirements === undefined) return;
  const limits = validateList(errors, `${path}.limits`, requirements.limits, validateContainerResourceName);
  const requests = validateList(errors, `${path}.requests`, requirements.requests, validateContainerResourceName);
  const all = { ...limits, ...requests };
  for (const [name, amount] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit === undefined) {
      if (!isOvercommitAllowed(name)) {
        errors.required(`${path}.limits`, "Limit must be set for non overcommitable resources");
      }
    } else if (!isOvercommitAllowed(name) && compareQuantities(amount, limit) !== 0) {
      errors.invalid(`${path}.requests`, amount, `must be equal to ${name} limit of ${limit}`);
    } else if (compareQuantities(amount, limit) > 0) {
      errors.invalid(`${path}.requests`, amount, `must be less than or equal to ${name} limit of ${limit}`);
    }
  }
  if (Object.keys(all).some(isHugePages) && all.cpu === undefined && all.memory === undefined) {
    errors.forbidden(path, "HugePages require cpu or memory");
  }
  validateClaims(errors, `${path}.claims`, requirements, claims);
}

export function validateResizePolicies(
  errors: FieldErrors,
  path: string,
  policies: readonly ContainerResizePolicy[] | undefined,
  podRestartPolicy: string | undefined,
): void {
  const seen = new Set<string>();
  for (const policy of policies ?? []) {
    if (seen.has(policy.resourceName)) errors.duplicate(path, policy.resourceName);
    seen.add(policy.resourceName);
    validateOneOf(errors, path, policy.resourceName, ["cpu", "memory"]);
    validateOneOf(errors, path, policy.restartPolicy, ["NotRequired", "RestartContainer"]);
    if (podRestartPolicy === "Never" && policy.restartPolicy !== "NotRequired") {
      errors.invalid(path, policy.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
  }
}

/** Pod-level resources. Source: KEP-2837, validatePodResources */
export function validatePodLevelResources(
  errors: FieldErrors,
  path: string,
  requirements: ResourceRequirements | undefined,
  containers: readonly Container[],
): void {
  if (requirements === undefined) return;
  if ((requirements.claims?.length ?? 0) > 0)
    errors.forbidden(`${path}.claims`, "claims may not be set for Resources at pod-level");
  for (const field of ["limits", "requests"] as const) {
    for (const [name, amount] of Object.entries(requirements[field] ?? {})) {
      const at = `${path}.${field}`;
      if (name !== "cpu" && name !== "memory" && !isHugePages(name))
        errors.notSupported(at, name, ["cpu", "hugepages-", "memory"]);
      validateAmount(errors, `${at}[${name}]`, name, amount);
    }
  }
  for (const [name, request] of Object.entries(requirements.requests ?? {})) {
    const limit = requirements.limits?.[name];
    if (limit !== undefined && compareQuantities(request, limit) > 0) {
      errors.invalid(`${path}.requests`, request, `must be less than or equal to ${name} limit of ${limit}`);
    }
  }
  for (const [i, container] of containers.entries()) {
    for (const [name, limit] of Object.entries(container.resources?.limits ?? {})) {
      const podLimit = requirements.limits?.[name];
      if (podLimit === undefined || compareQuantities(limit, podLimit) <= 0) continue;
      const at = `${path.replace(/\.resources$/, "")}.containers[${i}].resources.limits`;
      errors.invalid(at, limit, `must be less than or equal to pod limits of ${podLimit}`);
    }
  }
}
