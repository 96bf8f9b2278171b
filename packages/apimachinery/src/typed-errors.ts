/**
 * Why a configuration does not have the types of its kind, in the words of server-side apply: each text begins with its
 * path, whose list items are named by their keys. Tells of every place, not of the first only.
 * Source: k8s.io structured-merge-diff, typed/validate.go, typed/helpers.go, value/valueunstructured.go
 */
import { formatPath } from "./field-set.ts";
import { quoteGo } from "./go-text.ts";
import { goText, goType } from "./go-value.ts";
import { type FieldSchema, isJsonObject, type JsonObject, type StructSchema, type TypeSchema } from "./schema.ts";
import { itemElement } from "./typed-merge.ts";

export function typedErrors(document: JsonObject, schema: StructSchema): string[] {
  const errors: string[] = [];
  visitStruct(document, schema, "", errors);
  return errors;
}

function visitStruct(value: JsonObject, struct: StructSchema, path: string, errors: string[]): void {
  for (const [key, inner] of Object.entries(value)) {
    const field = struct.fields.get(key);
    if (field === undefined) errors.push(`${path}.${key}: field not declared in schema`);
    else visit(inner, field.type, field, `${path}.${key}`, errors);
  }
}

function visit(value: unknown, type: TypeSchema, field: FieldSchema | undefined, path: string, errors: string[]): void {
  // A null stands for nothing, whatever its type.
  if (value === null) return;
  switch (type.kind) {
    case "struct":
      if (isJsonObject(value)) visitStruct(value, type.struct, path, errors);
      else errors.push(`${path}: expected map, got &{${goText(value)}}`);
      return;
    case "map":
      if (isJsonObject(value)) {
        for (const [key, inner] of Object.entries(value))
          visit(inner, type.values, undefined, `${path}.${key}`, errors);
      } else errors.push(`${path}: expected map, got &{${goText(value)}}`);
      return;
    case "list":
      if (Array.isArray(value)) visitItems(value, type.items, field, path, errors);
      else errors.push(`${path}: expected list, got &{${goText(value)}}`);
      return;
    default: {
      const why = scalarError(value, type.kind);
      if (why !== undefined) errors.push(`${path}: ${why}`);
    }
  }
}

function visitItems(
  list: readonly unknown[],
  items: TypeSchema,
  field: FieldSchema | undefined,
  path: string,
  errors: string[],
): void {
  for (const [i, item] of list.entries()) {
    const own: string[] = [];
    visit(item, items, undefined, "", own);
    // Most items are right and need no name.
    if (own.length === 0) continue;
    const element = itemElement(item, field, items);
    const at = `${path}${element === undefined ? `[${i}]` : formatPath([element])}`;
    errors.push(...own.map((why) => `${at}${why}`));
  }
}

type Scalar = Exclude<TypeSchema["kind"], "struct" | "list" | "map">;

function scalarError(value: unknown, kind: Scalar): string | undefined {
  const isNumber = typeof value === "number" || typeof value === "bigint";
  switch (kind) {
    case "string":
    case "bytes":
      return typeof value === "string"
        ? undefined
        : `expected string, got &value.valueUnstructured{Value:${goSyntax(value)}}`;
    case "int32":
    case "int64":
    case "double":
      return isNumber ? undefined : `expected numeric (int or float), got ${goType(value)}`;
    case "boolean":
      return typeof value === "boolean" ? undefined : `expected boolean, got &{${goText(value)}}`;
    case "time":
    case "microTime":
    case "duration":
    case "quantity":
    case "intOrString":
      return typeof value === "object" ? `expected any scalar, got &{${goText(value)}}` : undefined;
    case "raw":
    case "any":
    case "fieldsV1":
      return undefined;
    default:
      return kind satisfies never;
  }
}

/** As Go's %#v shows it. */
function goSyntax(value: unknown): string {
  if (value === null || value === undefined) return "interface {}(nil)";
  if (typeof value === "string") return quoteGo(value);
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSyntax).join(", ")}}`;
  if (!isJsonObject(value)) return String(value);
  const fields = sorted(value, (key, inner) => `${quoteGo(key)}:${goSyntax(inner)}`);
  return `map[string]interface {}{${fields.join(", ")}}`;
}

function sorted(value: JsonObject, show: (key: string, inner: unknown) => string): string[] {
  return Object.keys(value)
    .sort()
    .map((key) => show(key, value[key]));
}
