/** Integers in query parameters, as Go reads them. Source: strconv.ParseInt */
import { quoteGo } from "@knarr/apimachinery/go-text.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";

/** Throws 400 in Go's words. Beyond 2^53 the number is near enough for a limit or a time. */
export function parseInt64(text: string): number {
  const isInteger = /^[+-]?\d+$/.test(text);
  const inRange = isInteger && BigInt.asIntN(64, BigInt(text.replace(/^\+/, ""))) === BigInt(text.replace(/^\+/, ""));
  if (inRange) return Number(text);
  const why = isInteger ? "value out of range" : "invalid syntax";
  throw statusErrors.badRequest(`strconv.ParseInt: parsing ${quoteGo(text)}: ${why}`);
}
