/** Problems of a configuration file, each with its path, collected before any is shown. In upstream's wording (field.Error). */
import { UsageError } from "@knarr/daemon/flags.ts";

export class FieldErrors {
  readonly #problems: string[] = [];

  get problems(): readonly string[] {
    return this.#problems;
  }

  unknown(path: string): void {
    this.#problems.push(`unknown field "${path}"`);
  }
  required(path: string, why = ""): void {
    this.#problems.push(`${path}: Required value${why === "" ? "" : `: ${why}`}`);
  }
  duplicate(path: string, value: string): void {
    this.#problems.push(`${path}: Duplicate value: ${JSON.stringify(value)}`);
  }
  unsupported(path: string, value: unknown, supported: readonly string[]): void {
    const list = supported.map((each) => JSON.stringify(each)).join(", ");
    this.#problems.push(`${path}: Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`);
  }
  invalid(path: string, value: unknown, why: string): void {
    this.#problems.push(`${path}: Invalid value: ${JSON.stringify(value)}: ${why}`);
  }
  notFound(path: string, value: string): void {
    this.#problems.push(`${path}: Not found: ${JSON.stringify(value)}`);
  }

  /** Throws what was found, if anything. */
  throwFor(file: string): void {
    const [first, ...more] = this.#problems;
    if (first === undefined) return;
    const text = more.length === 0 ? first : `[${[first, ...more].join(", ")}]`;
    throw new UsageError(`--config ${file}: ${text}`);
  }
}

/** What a field must be. */
export type Check = (value: unknown, path: string, errors: FieldErrors) => void;

const typed =
  (name: string, test: (value: unknown) => boolean): Check =>
  (value, path, errors) => {
    if (!test(value)) errors.invalid(path, value, `must be ${name}`);
  };
export const string = typed("a string", (value) => typeof value === "string");
export const boolean = typed("a boolean", (value) => typeof value === "boolean");
export const integer = typed("an integer", (value) => Number.isInteger(value));
export const number = typed("a number", (value) => typeof value === "number");
/** Checked elsewhere, by what reads it. */
export const anything: Check = () => undefined;

export function object(fields: Readonly<Record<string, Check>>): Check {
  return (value, path, errors) => {
    if (!isRecord(value)) return errors.invalid(path, value, "must be an object");
    for (const [name, field] of Object.entries(value)) {
      const at = path === "" ? name : `${path}.${name}`;
      const check = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (check === undefined) errors.unknown(at);
      else if (field !== null && field !== undefined) check(field, at, errors);
    }
  };
}

export function list(check: Check): Check {
  return (value, path, errors) => {
    if (!Array.isArray(value)) return errors.invalid(path, value, "must be a list");
    for (const [i, item] of value.entries()) check(item, `${path}[${i}]`, errors);
  };
}

export function oneOf(...supported: string[]): Check {
  return (value, path, errors) => {
    if (!supported.includes(value as string)) errors.unsupported(path, value, supported);
  };
}

export function between(min: number, max: number): Check {
  return (value, path, errors) => {
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      errors.invalid(path, value, `not in valid range [${min}-${max}]`);
    }
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
