/** Values as Go's fmt and encoding/json print them where kubectl's templates show them. */

/** A scalar as it is; lists and objects as compact JSON (kubectl's jsonpath since 1.20); null is nothing. */
export function goText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return compactJson(value);
  return numberOr(value);
}

/** A value as fmt's %v shows it: maps as `map[a:1 b:2]`, lists as `[1 2]`, null as `<nil>`. */
export function goValue(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(goValue).join(" ")}]`;
  if (typeof value === "object") {
    const pairs = sortedEntries(value).map(([key, inner]) => `${key}:${goValue(inner)}`);
    return `map[${pairs.join(" ")}]`;
  }
  return numberOr(value);
}

/** Keys sorted, no blanks, <, > and & escaped as encoding/json does. */
export function compactJson(value: unknown): string {
  return JSON.stringify(sortKeys(value)).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(sortedEntries(value).map(([key, inner]) => [key, sortKeys(inner)]));
}

function sortedEntries(value: object): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Numbers of 21 digits and more are not met in API objects; floats print as Go's %v does up to there. */
function numberOr(value: unknown): string {
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(value).replace(/e([+-])(\d)$/, "e$10$2");
}
