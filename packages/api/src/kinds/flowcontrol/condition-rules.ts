import type { FieldErrors } from "../../validation/field-errors.ts";

/** Types of conditions are there, and each once. Source: ValidateFlowSchemaStatus, ValidatePriorityLevelConfigurationStatus */
export function validateConditionTypes(
  errors: FieldErrors,
  conditions: readonly { readonly type?: string | undefined }[] = [],
): void {
  const seen = new Set<string>();
  for (const [i, { type = "" }] of conditions.entries()) {
    const path = `status.conditions[${i}].type`;
    if (seen.has(type)) errors.duplicate(path, type);
    seen.add(type);
    if (type === "") errors.required(path, "must not be empty");
  }
}
