/** When an indexed Job counts as done before all its pods are. Source: batch/validation validateSuccessPolicy; KEP-3998 */
import { quoteGo } from "@knarr/apimachinery/go-text.ts";
import type { JobSpec, SuccessPolicyRule } from "../../generated/types/batch-v1.ts";
import { validateNonNegative } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";

const MAX_RULES = 20;
const MAX_INDEXES_BYTES = 64 * 1024;

export function validateSuccessPolicy(errors: FieldErrors, path: string, spec: JobSpec): void {
  const rules = spec.successPolicy?.rules ?? [];
  if (rules.length === 0) {
    errors.required(`${path}.rules`, "at least one rules must be specified when the successPolicy is specified");
  }
  if (rules.length > MAX_RULES) errors.tooMany(`${path}.rules`, rules.length, MAX_RULES);
  for (const [i, rule] of rules.entries()) validateRule(errors, `${path}.rules[${i}]`, rule, spec.completions ?? 0);
}

function validateRule(errors: FieldErrors, path: string, rule: SuccessPolicyRule, completions: number): void {
  const { succeededCount: count, succeededIndexes: indexes } = rule;
  if (count === undefined && indexes === undefined) {
    errors.required(path, "at least one of succeededCount or succeededIndexes must be specified");
  }
  let total: number | undefined;
  if (indexes !== undefined) {
    const at = `${path}.succeededIndexes`;
    if (indexes.length > MAX_INDEXES_BYTES) errors.tooLong(at, MAX_INDEXES_BYTES);
    const parsed = countIndexes(indexes, completions);
    if (typeof parsed === "string") errors.invalid(at, indexes, `error parsing succeededIndexes: ${parsed}`);
    else total = parsed;
  }
  if (count === undefined) return;
  const at = `${path}.succeededCount`;
  validateNonNegative(errors, at, count);
  if (count > completions) {
    errors.invalid(at, count, `must be less than or equal to ${completions} (the number of specified completions)`);
  }
  if (total !== undefined && count > total) {
    const what = "the number of indexes in the specified succeededIndexes field";
    errors.invalid(at, count, `must be less than or equal to ${total} (${what})`);
  }
}

/** "1,3-5" -> 4; what is wrong with it otherwise. */
function countIndexes(text: string, completions: number): number | string {
  if (text === "") return 0;
  let total = 0;
  let previous: number | undefined;
  for (const fragment of text.split(",")) {
    const limits = fragment.split("-");
    if (limits.length > 2) {
      const rule = "violates the requirement that an index interval can have at most two parts separated by '-'";
      return `the fragment ${quoteGo(fragment)} ${rule}`;
    }
    const numbers: number[] = [];
    for (const limit of limits) {
      if (!/^\d{1,9}$/.test(limit)) return `cannot convert string to integer for index: ${quoteGo(limit)}`;
      const index = Number(limit);
      if (index >= completions) return `too large index: ${quoteGo(limit)}`;
      if (previous !== undefined && previous >= index) {
        return `non-increasing order, previous: ${previous}, current: ${index}`;
      }
      previous = index;
      numbers.push(index);
    }
    const [low = 0, high = low] = numbers;
    total += high - low + 1;
  }
  return total;
}
