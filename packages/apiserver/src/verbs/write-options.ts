/**
 * The query options that every write has: dryRun, fieldManager, fieldValidation, force. Pure.
 * Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation.
 */
import { quoteGo } from "@knarr/apimachinery/go-text.ts";
import { type FieldError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { isTrue } from "../http/request-info.ts";

export type FieldValidation = "Ignore" | "Warn" | "Strict";

export interface WriteOptions {
  readonly dryRun: boolean;
  /** As asked; "" when the user agent decides. */
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  readonly force: boolean | undefined;
}

const MAX_MANAGER_LENGTH = 128;

/** Reads and checks them; `kind` names the options in the error: "CreateOptions". */
export function parseWriteOptions(query: URLSearchParams, kind: string, isApply = false): WriteOptions {
  const errors: FieldError[] = [];
  const dryRuns = query.getAll("dryRun").filter((value) => value !== "");
  checkDryRun(dryRuns, errors);
  const fieldManager = query.get("fieldManager") ?? "";
  if (fieldManager.length > MAX_MANAGER_LENGTH) {
    errors.push({
      type: "FieldValueTooLong",
      field: "fieldManager",
      message: `Too long: may not be more than ${MAX_MANAGER_LENGTH} bytes`,
    });
  }
  for (const [index, char] of [...fieldManager].entries()) {
    if (/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char)) continue;
    const code = (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const why = `invalid character U+${code} (at position ${index})`;
    errors.push({
      type: "FieldValueInvalid",
      field: "fieldManager",
      message: `Invalid value: ${quoteGo(fieldManager)}: ${why}`,
    });
  }
  if (isApply && fieldManager === "") {
    errors.push({
      type: "FieldValueRequired",
      field: "fieldManager",
      message: "Required value: is required for apply patch",
    });
  }
  const force = query.get("force");
  if (force !== null && !isApply && kind === "PatchOptions") {
    errors.push({
      type: "FieldValueForbidden",
      field: "force",
      message: "Forbidden: may not be specified for non-apply patch",
    });
  }
  const validation = query.get("fieldValidation") ?? "";
  if (!["", "Ignore", "Warn", "Strict"].includes(validation)) {
    errors.push({
      type: "FieldValueNotSupported",
      field: "fieldValidation",
      message: `Unsupported value: ${JSON.stringify(validation)}: supported values: "Ignore", "Strict", "Warn"`,
    });
  }
  if (errors.length > 0) throw statusErrors.invalid("meta.k8s.io", kind, "", errors);
  return {
    dryRun: dryRuns.length > 0,
    fieldManager,
    fieldValidation: validation === "" ? "Warn" : (validation as FieldValidation),
    force: force === null ? undefined : isTrue(force),
  };
}

/** Complains about every value but "All". */
export function checkDryRun(values: readonly string[], errors: FieldError[]): void {
  for (const value of values) {
    if (value === "All") continue;
    errors.push({
      type: "FieldValueNotSupported",
      field: "dryRun",
      message: `Unsupported value: ${JSON.stringify(value)}: supported values: "All"`,
    });
  }
}

/** The manager of a write: as asked, or the program's name from the user agent. */
export function managerOf(options: WriteOptions, userAgent: string): string {
  if (options.fieldManager !== "") return options.fieldManager;
  return (userAgent.split("/")[0] ?? "").slice(0, MAX_MANAGER_LENGTH);
}
