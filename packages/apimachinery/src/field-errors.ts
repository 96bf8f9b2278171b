/**
 * Complaints about one field, in upstream's words. Each function makes one; who validates collects them all.
 * Source: k8s.io/apimachinery/pkg/util/validation/field/errors.go
 */
import { quoteGo } from "./go-text.ts";
import { stringifyCanonical } from "./json.ts";
import type { FieldError } from "./status-error.ts";

function make(type: FieldError["type"], field: string, text: string, detail: string): FieldError {
  return { type, field, message: detail === "" ? text : `${text}: ${detail}` };
}

/** A bad value as Go prints it: numbers and booleans bare, text quoted, the rest as JSON. */
export function showValue(value: unknown): string {
  if (typeof value === "string") return quoteGo(value);
  return typeof value === "object" || value === undefined ? stringifyCanonical(value) : String(value);
}

function count(number: number, one: string): string {
  return number === 1 ? `${number} ${one}` : `${number} ${one}s`;
}

export function required(field: string, detail = ""): FieldError {
  return make("FieldValueRequired", field, "Required value", detail);
}

export function invalid(field: string, value: unknown, detail: string): FieldError {
  return make("FieldValueInvalid", field, `Invalid value: ${showValue(value)}`, detail);
}

/** The value has another type than its schema: of custom resources. */
export function typeInvalid(field: string, value: unknown, detail: string): FieldError {
  return make("FieldValueTypeInvalid", field, `Invalid value: ${showValue(value)}`, detail);
}

/** `supported` in the order in which they shall be named; upstream sorts them in most places. */
export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const detail = supported.length === 0 ? "" : `supported values: ${supported.map(quoteGo).join(", ")}`;
  return make("FieldValueNotSupported", field, `Unsupported value: ${showValue(value)}`, detail);
}

export function duplicate(field: string, value: unknown): FieldError {
  return make("FieldValueDuplicate", field, `Duplicate value: ${showValue(value)}`, "");
}

export function forbidden(field: string, detail: string): FieldError {
  return make("FieldValueForbidden", field, "Forbidden", detail);
}

export function notFound(field: string, value: unknown): FieldError {
  return make("FieldValueNotFound", field, `Not found: ${showValue(value)}`, "");
}

export function tooLong(field: string, maxBytes: number): FieldError {
  return make("FieldValueTooLong", field, "Too long", `may not be more than ${count(maxBytes, "byte")}`);
}

export function tooLongCharacters(field: string, maxCharacters: number): FieldError {
  return make("FieldValueTooLong", field, "Too long", `may not be more than ${count(maxCharacters, "character")}`);
}

export function tooShort(field: string, minCharacters: number): FieldError {
  return make("FieldValueTooShort", field, "Too short", `must be at least ${count(minCharacters, "character")}`);
}

export function tooMany(field: string, actual: number, max: number): FieldError {
  return make("FieldValueTooMany", field, `Too many: ${actual}`, `must have at most ${count(max, "item")}`);
}

export function tooFew(field: string, actual: number, min: number): FieldError {
  return make("FieldValueTooFew", field, `Too few: ${actual}`, `must have at least ${count(min, "item")}`);
}

export function internalError(field: string, message: string): FieldError {
  return make("InternalError", field, "Internal error", message);
}

/** `must be between 1 and 65535, inclusive`: a detail. */
export function inclusiveRange(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

/** `spec.a: Required value`: the whole text of one complaint. */
export function fieldErrorText({ field, message }: FieldError): string {
  return `${field}: ${message}`;
}
