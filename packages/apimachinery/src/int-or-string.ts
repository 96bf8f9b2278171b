/** Fields that hold a number or a percentage. Source: k8s.io/apimachinery/pkg/util/intstr */
import type { IntOrString } from "./generated/meta-v1.ts";

/** "25%" is of the form; "25" and "x%" are not. */
export function isPercent(value: IntOrString): value is string {
  return typeof value === "string" && /^[0-9]+%$/.test(value);
}

/**
 * The number itself, or that share of `total`, rounded up or down. Throws RangeError for text that is no percentage,
 * in upstream's words.
 */
export function resolveIntOrPercent(value: IntOrString, total: number, roundUp: boolean): number {
  if (typeof value === "number") return value;
  if (!isPercent(value))
    throw new RangeError(`invalid value for IntOrString: invalid type: string is not a percentage`);
  const share = (Number(value.slice(0, -1)) * total) / 100;
  return roundUp ? Math.ceil(share) : Math.floor(share);
}
