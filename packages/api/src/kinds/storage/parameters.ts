/** What storage classes and volume attributes classes have in common. Source: pkg/apis/storage/validation */
import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { requireText } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";

const MAX_PARAMETERS = 512;
const MAX_PARAMETERS_BYTES = 256 * 1024;

/** The name of who provisions. */
export function validateProvisioner(errors: FieldErrors, path: string, provisioner: string): void {
  if (!requireText(errors, path, provisioner)) return;
  errors.invalidAll(path, provisioner, isQualifiedName(provisioner.toLowerCase()));
}

export function validateParameters(
  errors: FieldErrors,
  path: string,
  parameters: Readonly<Record<string, string>> = {},
): void {
  const entries = Object.entries(parameters);
  if (entries.length > MAX_PARAMETERS) {
    errors.tooLong(path, MAX_PARAMETERS);
    return;
  }
  let bytes = 0;
  for (const [key, value] of entries) {
    if (key === "") errors.invalid(path, key, "field can not be empty.");
    bytes += new TextEncoder().encode(key + value).length;
  }
  if (bytes > MAX_PARAMETERS_BYTES) errors.tooLong(path, MAX_PARAMETERS_BYTES);
}
