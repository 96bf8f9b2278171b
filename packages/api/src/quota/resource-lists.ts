/**
 * Arithmetic on resource lists as quota needs it: names are the set that is talked about, a missing name is not zero.
 * Source: k8s.io/apiserver/pkg/quota/v1/resources.go. Pure; never changes its arguments.
 */
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  subtractQuantities,
} from "@knarr/apimachinery/quantity.ts";

/** Resource name to quantity. */
export type ResourceQuantities = Readonly<Record<string, string>>;

/** Sum over the names of both. */
export function addResources(a: ResourceQuantities, b: ResourceQuantities): Record<string, string> {
  const sum: Record<string, string> = { ...a };
  for (const [name, quantity] of Object.entries(b)) {
    const other = a[name];
    sum[name] = other === undefined ? quantity : addQuantities(other, quantity);
  }
  return sum;
}

/** Difference over the names of both; may be negative. */
export function subtractResources(a: ResourceQuantities, b: ResourceQuantities): Record<string, string> {
  const difference: Record<string, string> = { ...a };
  for (const [name, quantity] of Object.entries(b)) difference[name] = subtractQuantities(a[name] ?? "0", quantity);
  return difference;
}

/** The larger of both, over the names of both. */
export function maxResources(a: ResourceQuantities, b: ResourceQuantities): Record<string, string> {
  const max: Record<string, string> = { ...a };
  for (const [name, quantity] of Object.entries(b)) {
    const other = a[name];
    if (other === undefined || compareQuantities(quantity, other) > 0) max[name] = quantity;
  }
  return max;
}

/** The part with these names. */
export function maskResources(resources: ResourceQuantities, names: readonly string[]): Record<string, string> {
  const part: Record<string, string> = {};
  for (const name of names) {
    const quantity = resources[name];
    if (quantity !== undefined) part[name] = quantity;
  }
  return part;
}

/** Names of `amounts` that are above `limits`, sorted; a name without a limit is not above it. */
export function namesAbove(amounts: ResourceQuantities, limits: ResourceQuantities): string[] {
  return Object.keys(limits)
    .filter((name) => {
      const [amount, limit] = [amounts[name], limits[name]];
      return amount !== undefined && limit !== undefined && compareQuantities(amount, limit) > 0;
    })
    .sort();
}

/** Names with a value below zero, sorted. */
export function negativeNames(resources: ResourceQuantities): string[] {
  return Object.keys(resources)
    .filter((name) => compareQuantities(resources[name] ?? "0", "0") < 0)
    .sort();
}

export function withoutZeros(resources: ResourceQuantities): Record<string, string> {
  return Object.fromEntries(Object.entries(resources).filter(([, quantity]) => compareQuantities(quantity, "0") !== 0));
}

/** Same names with the same values; "1" equals "1000m". */
export function equalResources(a: ResourceQuantities, b: ResourceQuantities): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => {
    const [x, y] = [a[name], b[name]];
    return x !== undefined && y !== undefined && compareQuantities(x, y) === 0;
  });
}

/** "cpu=1,pods=3", sorted by name: how quota messages show resources. */
export function showResources(resources: ResourceQuantities): string {
  return Object.keys(resources)
    .sort()
    .map((name) => `${name}=${canonicalQuantity(resources[name] ?? "0")}`)
    .join(",");
}
