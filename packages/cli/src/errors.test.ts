import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { describeError } from "./errors.ts";

type Details = NonNullable<ConstructorParameters<typeof StatusError>[0]["details"]>;

const invalid: [why: string, details: Details, want: string][] = [
  ["nothing is named", {}, "The request is invalid: it does not fit"],
  [
    "only the patch is to blame",
    { causes: [{ field: "patch", message: 'Invalid value: "{}": no' }] },
    'The request is invalid: patch: Invalid value: "{}": no',
  ],
  ["an object without causes is", { kind: "Pod", name: "a" }, 'The Pod "a" is invalid'],
  [
    "several fields are",
    {
      kind: "Pod",
      name: "a",
      causes: [
        { field: "spec.a", message: "Required value" },
        { field: "spec.b", message: "Forbidden" },
      ],
    },
    'The Pod "a" is invalid: \n* spec.a: Required value\n* spec.b: Forbidden',
  ],
];

for (const [why, details, want] of invalid) {
  test(`describeError() has kubectl's words for an invalid request when ${why}`, () => {
    const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure" } as const;
    const error = new StatusError({ ...status, message: "it does not fit", reason: "Invalid", details, code: 422 });
    assert.equal(describeError(error), want);
  });
}
