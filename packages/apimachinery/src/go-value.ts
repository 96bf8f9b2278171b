/** How Go names and prints decoded JSON values: the maps, slices and scalars of its unstructured form. */
import { isJsonObject } from "./schema.ts";

/** As Go's %v shows it: "map[a:1 b:[x y]]". */
export function goText(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (!isJsonObject(value)) return String(value);
  const fields = Object.keys(value)
    .sort()
    .map((key) => `${key}:${goText(value[key])}`);
  return `map[${fields.join(" ")}]`;
}

/** The kind of a value as reflection calls it: map, slice, string, bool, int64, float64. */
export function goKind(value: unknown): string {
  if (Array.isArray(value)) return "slice";
  switch (typeof value) {
    case "string":
      return "string";
    case "boolean":
      return "bool";
    case "bigint":
      return "int64";
    case "number":
      return Number.isInteger(value) ? "int64" : "float64";
    default:
      return isJsonObject(value) ? "map" : "invalid";
  }
}

/** As Go's %T shows it. */
export function goType(value: unknown): string {
  const kind = goKind(value);
  if (kind === "map") return "map[string]interface {}";
  return kind === "slice" ? "[]interface {}" : kind;
}
