/** Small checks that many kinds share. */
import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import type { FieldErrors } from "./field-errors.ts";
import { portNameErrors, portNumberErrors } from "./names.ts";

/** Closed sets: an unknown value is `Unsupported value`. `supported` is listed in upstream's order. */
export function validateOneOf(
  errors: FieldErrors,
  path: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (!supported.includes(value ?? "")) errors.notSupported(path, value ?? "", supported);
}

/** Like `validateOneOf`, but absence and "" are `Required value`. */
export function validateRequiredOneOf(
  errors: FieldErrors,
  path: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if ((value ?? "") === "") errors.required(path);
  else validateOneOf(errors, path, value, supported);
}

export function validateNonNegative(errors: FieldErrors, path: string, value: number | undefined): void {
  if ((value ?? 0) < 0) errors.invalid(path, value, "must be greater than or equal to 0");
}

/** Reports "" as missing; returns whether there is something to look at. */
export function requireText(
  errors: FieldErrors,
  path: string,
  value: string | undefined,
  detail = "",
): value is string {
  if (value !== undefined && value !== "") return true;
  errors.required(path, detail);
  return false;
}

/** A port by number, or by the name of a container's port. */
export function validatePortNumberOrName(errors: FieldErrors, path: string, port: number | string | undefined): void {
  if (typeof port === "string") errors.invalidAll(path, port, portNameErrors(port));
  else errors.invalidAll(path, port ?? 0, portNumberErrors(port ?? 0));
}

const quantityRule = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** Reports what is no quantity or below zero; returns whether it can be computed with. */
export function validateQuantity(errors: FieldErrors, path: string, value: string | undefined): value is string {
  if (value === undefined || !isQuantity(value)) {
    errors.invalid(path, value ?? "", quantityRule);
    return false;
  }
  if (compareQuantities(value, "0") < 0) errors.invalid(path, value, "must be greater than or equal to 0");
  return true;
}

export const protocols = ["SCTP", "TCP", "UDP"] as const;

/** Source: ValidatePathNoBacksteps */
export function validateNoBacksteps(errors: FieldErrors, path: string, value: string): void {
  if (value.split("/").includes("..")) errors.invalid(path, value, "must not contain '..'");
}

/** A path below a volume's root. Source: validateLocalDescendingPath */
export function validateDescendingPath(errors: FieldErrors, path: string, value: string): void {
  if (value.startsWith("/")) errors.invalid(path, value, "must be a relative path");
  validateNoBacksteps(errors, path, value);
}

/** Of a projected file. Source: validateLocalNonReservedPath */
export function validateFilePath(errors: FieldErrors, path: string, value: string): void {
  validateDescendingPath(errors, path, value);
  if (value.startsWith("..") && !value.startsWith("../")) errors.invalid(path, value, "must not start with '..'");
}

/** Of files: 0 to 0777. */
export function validateFileMode(errors: FieldErrors, path: string, mode: number | undefined): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) {
    errors.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
  }
}
