/** What names resources may have where. Source: k8s.io/kubernetes/pkg/apis/core/helper and core/validation */
import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";

const containerResources = ["cpu", "memory", "ephemeral-storage"];
const integerResources = ["persistentvolumeclaims", "pods", "services", "secrets", "configmaps", "resourcequotas"];

export function isHugePages(name: string): boolean {
  return name.startsWith("hugepages-");
}

/** Without a domain, or in kubernetes.io's. */
export function isNativeResource(name: string): boolean {
  return !name.includes("/") || name.includes("kubernetes.io/");
}

export function isExtendedResource(name: string): boolean {
  return !isNativeResource(name) && !name.startsWith("requests.") && isQualifiedName(`requests.${name}`).length === 0;
}

/** Requests may be lower than limits. */
export function isOvercommitAllowed(name: string): boolean {
  return isNativeResource(name) && !isHugePages(name);
}

/** Amounts of it are whole numbers. */
export function isIntegerResource(name: string): boolean {
  return integerResources.includes(name) || isExtendedResource(name);
}

function validateQualified(errors: FieldErrors, path: string, name: string): boolean {
  const problems = isQualifiedName(name);
  errors.invalidAll(path, name, problems);
  return problems.length === 0;
}

/** Of limits and requests of containers. */
export function validateContainerResourceName(errors: FieldErrors, path: string, name: string): void {
  if (!validateQualified(errors, path, name)) return;
  if (!name.includes("/")) {
    if (!containerResources.includes(name) && !isHugePages(name)) {
      errors.invalid(path, name, "must be a standard resource for containers");
    }
  } else if (!isNativeResource(name) && !isExtendedResource(name)) {
    errors.invalid(path, name, "doesn't follow extended resource name standard");
  }
}
