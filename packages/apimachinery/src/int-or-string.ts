/** Fields that hold a number or a percentage. Source: k8s.io/apimachinery/pkg/util/intstr */
import type { IntOrString } from "./generated/meta-v1.ts";
import { quoteGo } from "./go-text.ts";

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
  const share = (percentOf(value) * total) / 100;
  return roundUp ? Math.ceil(share) : Math.floor(share);
}

function percentOf(value: string): number {
  const invalid = (why: string) => new RangeError(`invalid value for IntOrString: ${why}`);
  if (!value.endsWith("%")) throw invalid("invalid type: string is not a percentage");
  const digits = value.slice(0, -1);
  if (/^[+-]?\d{1,15}$/.test(digits)) return Number(digits);
  const why = /^[+-]?\d+$/.test(digits) ? "value out of range" : "invalid syntax";
  throw invalid(`invalid value ${quoteGo(value)}: strconv.Atoi: parsing ${quoteGo(digits)}: ${why}`);
}

/** "80" becomes the number 80; anything that is no 32-bit integer stays text. */
export function parseIntOrString(text: string): IntOrString {
  if (!/^[+-]?\d{1,11}$/.test(text)) return text;
  const number = Number(text);
  return number >= -(2 ** 31) && number < 2 ** 31 ? number + 0 : text;
}
