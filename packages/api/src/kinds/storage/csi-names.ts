/** Source: pkg/apis/core/validation ValidateCSIDriverName */
import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { requireText } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";

const MAX_LENGTH = 63;

export function validateCsiDriverName(errors: FieldErrors, path: string, name: string): void {
  if (!requireText(errors, path, name)) return;
  if (name.length > MAX_LENGTH) errors.tooLong(path, MAX_LENGTH);
  errors.invalidAll(path, name, isDns1123Subdomain(name.toLowerCase()));
}
