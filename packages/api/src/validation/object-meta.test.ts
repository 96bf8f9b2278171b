import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldErrors } from "./field-errors.ts";
import { validateAnnotations } from "./object-meta.ts";

const LIMIT_BYTES = 256 * 1024;
const sizes: readonly [what: string, annotations: Record<string, string>, isTooLong: boolean][] = [
  ["as many bytes as there may be", { a: "x".repeat(LIMIT_BYTES - 1) }, false],
  ["a byte more", { a: "x".repeat(LIMIT_BYTES) }, true],
  ["characters of three bytes within the limit", { a: "€".repeat(87_000) }, false],
  ["characters of three bytes beyond it", { a: "€".repeat(87_382) }, true],
  ["two values beyond it together", { a: "x".repeat(LIMIT_BYTES / 2), b: "x".repeat(LIMIT_BYTES / 2) }, true],
];
for (const [what, annotations, isTooLong] of sizes) {
  test(`validateAnnotations() ${isTooLong ? "refuses" : "takes"} ${what}`, () => {
    const errors = new FieldErrors();
    validateAnnotations(errors, "metadata.annotations", annotations);
    assert.equal(errors.length, isTooLong ? 1 : 0);
  });
}
