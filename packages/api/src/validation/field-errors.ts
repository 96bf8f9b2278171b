/**
 * Collects complaints about fields in upstream's words. Validators take a collector and the path of what they look at, report
 * everything that is wrong, and never throw.
 * Source: k8s.io/apimachinery/pkg/util/validation/field
 */
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import type { FieldError } from "@knarr/apimachinery/status-error.ts";

function quote(text: string): string {
  return JSON.stringify(text);
}

/** A bad value as Go's error prints it: numbers and booleans bare, strings quoted, anything else as JSON. */
function render(value: unknown): string {
  if (value === undefined || value === null) return "null";
  if (typeof value === "string") return quote(value);
  if (typeof value === "object") return stringifyJson(value).replace(/[<>&]/g, escapeHtml);
  return String(value);
}

function escapeHtml(char: string): string {
  return `\\u00${char.charCodeAt(0).toString(16)}`;
}

function withDetail(text: string, detail: string): string {
  return detail === "" ? text : `${text}: ${detail}`;
}

function plural(count: number, one: string): string {
  return count === 1 ? `${count} ${one}` : `${count} ${one}s`;
}

export class FieldErrors {
  readonly list: FieldError[] = [];

  get length(): number {
    return this.list.length;
  }

  #add(type: FieldError["type"], field: string, message: string): void {
    this.list.push({ type, field, message });
  }

  required(field: string, detail = ""): void {
    this.#add("FieldValueRequired", field, withDetail("Required value", detail));
  }

  /** Of a value that is not shown. */
  invalidOmitted(field: string, detail: string): void {
    this.#add("FieldValueInvalid", field, withDetail("Invalid value", detail));
  }

  invalid(field: string, value: unknown, detail: string): void {
    this.#add("FieldValueInvalid", field, withDetail(`Invalid value: ${render(value)}`, detail));
  }

  /** One `invalid` per text. */
  invalidAll(field: string, value: unknown, details: readonly string[]): void {
    for (const detail of details) this.invalid(field, value, detail);
  }

  notSupported(field: string, value: unknown, supported: readonly string[]): void {
    const detail = supported.length === 0 ? "" : `supported values: ${supported.map(quote).join(", ")}`;
    this.#add("FieldValueNotSupported", field, withDetail(`Unsupported value: ${render(value)}`, detail));
  }

  duplicate(field: string, value: unknown): void {
    this.#add("FieldValueDuplicate", field, `Duplicate value: ${render(value)}`);
  }

  forbidden(field: string, detail: string): void {
    this.#add("FieldValueForbidden", field, withDetail("Forbidden", detail));
  }

  notFound(field: string, value: unknown): void {
    this.#add("FieldValueNotFound", field, `Not found: ${render(value)}`);
  }

  tooLong(field: string, maxBytes: number): void {
    this.#add("FieldValueTooLong", field, `Too long: may not be more than ${plural(maxBytes, "byte")}`);
  }

  tooMany(field: string, actual: number, max: number): void {
    this.#add("FieldValueTooMany", field, `Too many: ${actual}: must have at most ${plural(max, "item")}`);
  }
}

/** Runs `check` on a fresh collector. */
export function collect(check: (errors: FieldErrors) => void): FieldError[] {
  const errors = new FieldErrors();
  check(errors);
  return errors.list;
}
