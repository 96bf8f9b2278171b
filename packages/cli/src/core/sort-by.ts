/** `--sort-by`: numbers by value, quantities and times too, everything else by its text; what lacks the field comes first. */
import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import { CliError } from "../verb.ts";
import { goText } from "./go-text.ts";
import { findValues, relaxedPath } from "./json-path.ts";

/** Stable. Throws CliError when no object has the field, as kubectl does. */
export function sortByPath<T>(items: readonly T[], path: string, objectOf: (item: T) => unknown): T[] {
  const template = relaxedPath(path);
  const keyed = items.map((item) => ({
    item,
    key: findValues(template, objectOf(item), { allowMissingKeys: true })[0],
  }));
  if (items.length > 0 && keyed.every(({ key }) => key === undefined)) {
    throw new CliError(`couldn't find any field with path "${template}" in the list of objects`);
  }
  return keyed.toSorted((a, b) => compareValues(a.key, b.key)).map(({ item }) => item);
}

function compareValues(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [left, right] = [goText(a), goText(b)];
  if (isQuantity(left) && isQuantity(right)) return compareQuantities(left, right);
  return naturalCompare(left, right);
}

/** Runs of digits count as numbers: "pod-2" before "pod-10". Source: kubectl uses a natural sort for strings. */
function naturalCompare(a: string, b: string): number {
  const parts = (text: string): readonly string[] => text.match(/\d+|\D+/g) ?? [];
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x, y] = [left[i] as string, right[i] as string];
    if (x === y) continue;
    const numbers = /^\d/.test(x) && /^\d/.test(y);
    if (numbers && Number(x) !== Number(y)) return Number(x) - Number(y);
    return x < y ? -1 : 1;
  }
  return left.length - right.length;
}
