/**
 * Amounts of resources as numbers: "cpu" in millicores, everything else in its unit (bytes, pieces).
 */
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";

/** Resource name to amount; a missing name is zero. */
export type ResourceAmounts = ReadonlyMap<string, number>;

/** Turns an API resource list ({cpu: "500m", memory: "1Gi"}) into amounts, rounding up. */
export function amountsOf(list: Readonly<Record<string, string>> | undefined): Map<string, number> {
  const amounts = new Map<string, number>();
  for (const [name, quantity] of Object.entries(list ?? {})) {
    amounts.set(name, name === "cpu" ? cpuMillis(quantity) : quantityValue(quantity));
  }
  return amounts;
}

/** Adds `more` to `into`, in place, and returns it. */
export function addAmounts(into: Map<string, number>, more: ResourceAmounts): Map<string, number> {
  for (const [name, amount] of more) into.set(name, (into.get(name) ?? 0) + amount);
  return into;
}

/** Takes `less` from `from`, in place, never below zero, and returns it. */
export function subtractAmounts(from: Map<string, number>, less: ResourceAmounts): Map<string, number> {
  for (const [name, amount] of less) {
    const rest = (from.get(name) ?? 0) - amount;
    if (rest > 0) from.set(name, rest);
    else from.delete(name);
  }
  return from;
}

/** Raises each amount of `into` to at least that of `floor`, in place, and returns it. */
export function maxAmounts(into: Map<string, number>, floor: ResourceAmounts): Map<string, number> {
  for (const [name, amount] of floor) into.set(name, Math.max(into.get(name) ?? 0, amount));
  return into;
}
