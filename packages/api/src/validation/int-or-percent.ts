/** Numbers that may be percentages. Source: k8s.io/kubernetes/pkg/apis/apps/validation */
import type { IntOrString } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { FieldErrors } from "./field-errors.ts";
import { percentErrors } from "./names.ts";

export function validatePositiveIntOrPercent(errors: FieldErrors, path: string, value: IntOrString | undefined): void {
  if (typeof value === "string") errors.invalidAll(path, value, percentErrors(value));
  else if ((value ?? 0) < 0) errors.invalid(path, value, "must be greater than or equal to 0");
}

/** A percentage's number; undefined for a count. */
export function percentOf(value: IntOrString | undefined): number | undefined {
  return typeof value === "string" && /^[0-9]+%$/.test(value) ? Number(value.slice(0, -1)) : undefined;
}

/** The number before "%", or the count. */
export function intOrPercentValue(value: IntOrString | undefined): number {
  return percentOf(value) ?? (typeof value === "number" ? value : 0);
}

export function validateAtMost100Percent(errors: FieldErrors, path: string, value: IntOrString | undefined): void {
  if ((percentOf(value) ?? 0) > 100) errors.invalid(path, value, "must not be greater than 100%");
}
