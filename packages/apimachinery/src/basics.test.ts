import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FieldSelectorError, parseFieldSelector } from "./field-selector.ts";
import { resolveIntOrPercent } from "./int-or-string.ts";
import { JsonError, parseJson, stringifyCanonical, stringifyJson } from "./json.ts";
import { formatLabelSelector, matchesLabelSelector, parseLabelSelector, SelectorError } from "./label-selector.ts";
import {
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isQualifiedName,
} from "./name-validation.ts";
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  cpuMillis,
  QuantityError,
  quantityValue,
} from "./quantity.ts";
import { statusErrors } from "./status-error.ts";
import { microTime, parseRfc3339, rfc3339Seconds } from "./time.ts";

// Source: k8s.io/apimachinery/pkg/api/resource/quantity_test.go (facts)
const canonical: [text: string, want: string][] = [
  ["0", "0"],
  ["0m", "0"],
  ["1000m", "1"],
  ["0.5", "500m"],
  ["1.5", "1500m"],
  ["1000", "1k"],
  ["1024", "1024"],
  ["1024Ki", "1Mi"],
  ["1024Mi", "1Gi"],
  ["750Mi", "750Mi"],
  ["1536Mi", "1536Mi"],
  ["1.5Gi", "1536Mi"],
  ["0.5Mi", "512Ki"],
  ["1e3", "1e3"],
  ["1E6", "1e6"],
  ["1000000", "1M"],
  ["100M", "100M"],
  ["-1", "-1"],
  ["+1", "1"],
  [".5", "500m"],
  ["5.", "5"],
  ["1.1n", "2n"],
  ["1n", "1n"],
  ["12e-3", "12e-3"],
];
for (const [text, want] of canonical) {
  test(`canonicalQuantity() is ${want} when given ${text}`, () => assert.equal(canonicalQuantity(text), want));
}
for (const text of ["", "1.1.1", "lots", "1 Gi", "1KiB", "--1", "1ki", "Mi", "."]) {
  test(`canonicalQuantity() throws QuantityError when given ${JSON.stringify(text)}`, () => {
    assert.throws(() => canonicalQuantity(text), QuantityError);
  });
}
test("compareQuantities() compares values when the texts differ", () => {
  assert.deepEqual(
    [compareQuantities("1", "1000m"), compareQuantities("1Gi", "1G"), compareQuantities("999m", "1")],
    [0, 1, -1],
  );
});
test("cpuMillis() and quantityValue() round up", () => {
  assert.deepEqual(
    [cpuMillis("0.0001"), cpuMillis("2"), quantityValue("1500m"), quantityValue("1Ki")],
    [1, 2000, 2, 1024],
  );
});
test("addQuantities() keeps the format of the first", () => assert.equal(addQuantities("1Gi", "512Mi"), "1536Mi"));
test("canonicalQuantity() is idempotent and keeps the value for every quantity", () => {
  const suffix = fc.constantFrom("", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E2");
  fc.assert(
    fc.property(fc.integer({ min: -1_000_000, max: 1_000_000 }), suffix, (number, unit) => {
      const once = canonicalQuantity(`${number}${unit}`);
      assert.equal(canonicalQuantity(once), once);
      assert.equal(compareQuantities(once, `${number}${unit}`), 0);
    }),
    { verbose: 1 },
  );
});

const labels = { app: "web", tier: "front", n: "5" };
const selectors: [text: string, want: boolean][] = [
  ["", true],
  ["app=web", true],
  ["app==web", true],
  ["app!=web", false],
  ["x!=y", true],
  ["app in (web, db)", true],
  ["app notin (web)", false],
  ["app", true],
  ["!app", false],
  ["!x", true],
  ["n>4", true],
  ["n<4", false],
  ["app=web,tier=back", false],
  ["x=", false],
  ["app in (,web)", true],
];
for (const [text, want] of selectors) {
  test(`parseLabelSelector() matches ${want} when it is ${JSON.stringify(text)}`, () => {
    assert.equal(parseLabelSelector(text).matches(labels), want);
  });
}
for (const text of ["app in web", "a=b=c", "a b", "=x", "a in (b", "-x=1", "a,", "a=b c", "n>x"]) {
  test(`parseLabelSelector() throws SelectorError when it is ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseLabelSelector(text), SelectorError);
  });
}
test("matchesLabelSelector() matches nothing when absent and everything when empty", () => {
  assert.deepEqual([matchesLabelSelector(undefined, labels), matchesLabelSelector({}, labels)], [false, true]);
});
test("formatLabelSelector() writes what parseLabelSelector() reads", () => {
  const selector = {
    matchLabels: { b: "1", a: "2" },
    matchExpressions: [
      { key: "c", operator: "In", values: ["y", "x"] },
      { key: "d", operator: "DoesNotExist" },
    ],
  };
  assert.equal(formatLabelSelector(selector), "a=2,b=1,c in (x,y),!d");
});

test("parseFieldSelector() reads both operators and escapes", () => {
  const selector = parseFieldSelector("a=1,b!=2,c==x\\,y\\=z");
  assert.deepEqual(selector.requirements, [
    { field: "a", op: "=", value: "1" },
    { field: "b", op: "!=", value: "2" },
    { field: "c", op: "=", value: "x,y=z" },
  ]);
  assert.equal(parseFieldSelector(selector.toString()).toString(), selector.toString());
  assert.equal(parseFieldSelector("a!=x").matches({}), true);
});
for (const text of ["a", "a=b=c", "a=\\x"]) {
  test(`parseFieldSelector() throws when it is ${text}`, () =>
    assert.throws(() => parseFieldSelector(text), FieldSelectorError));
}

test("parseJson() keeps integers beyond 2^53, and stringifyJson() writes them back", () => {
  const text = '{"generation":9223372036854775807,"small":5,"float":1.5,"text":"12345678901234567890"}';
  assert.equal((parseJson(text) as { generation: bigint }).generation, 9223372036854775807n);
  assert.equal(stringifyJson(parseJson(text)), text);
});
test("parseJson() throws JsonError for broken text and for nesting that no client could read", () => {
  assert.throws(() => parseJson("{"), JsonError);
  assert.throws(() => parseJson("[".repeat(20_000) + "]".repeat(20_000)), /exceeded max depth/);
});
test("stringifyCanonical() is Go's encoding byte for byte", () => {
  assert.equal(
    stringifyCanonical({ b: "<a&b>", a: { d: [1, null], c: undefined }, é: "\u2028" }),
    '{"a":{"d":[1,null]},"b":"\\u003ca\\u0026b\\u003e","é":"\\u2028"}',
  );
});

test("rfc3339Seconds() and microTime() write UTC, and parseRfc3339() reads any zone and the year 1", () => {
  assert.equal(rfc3339Seconds(1_767_225_600_999), "2026-01-01T00:00:00Z");
  assert.equal(microTime(1_767_225_600_123), "2026-01-01T00:00:00.123000Z");
  assert.equal(parseRfc3339("2026-01-01T02:00:00+02:00"), 1_767_225_600_000);
  assert.equal(new Date(parseRfc3339("0001-01-01T00:00:00Z") ?? 0).getUTCFullYear(), 1);
  assert.deepEqual(["2026-02-30T00:00:00Z", "today", "2026-01-01"].map(parseRfc3339), [
    undefined,
    undefined,
    undefined,
  ]);
});

const names: [check: (text: string) => string[], good: string[], bad: string[]][] = [
  [isDns1123Label, ["a", "1-a", "a".repeat(63)], ["", "A", "-a", "a.", "a.b", "a".repeat(64)]],
  [isDns1123Subdomain, ["a.b-c", "1.2"], ["a..b", ".a", "A.b", "a".repeat(254)]],
  [isDns1035Label, ["a1"], ["1a", "a-"]],
  [isQualifiedName, ["a", "A_b.c", "x.io/a"], ["", "/a", "a/", "x.io/a/b", "X.io/a", "a".repeat(64)]],
  [isLabelValue, ["", "a", "A.b_c-1"], ["-a", "a ", "a/b", "a".repeat(64)]],
];
for (const [check, good, bad] of names) {
  test(`${check.name}() accepts what upstream accepts and complains of the rest`, () => {
    for (const text of good) assert.deepEqual(check(text), [], text);
    for (const text of bad) assert.notDeepEqual(check(text), [], text);
  });
}
test("isDns1123Label() complains in upstream's words", () => {
  assert.deepEqual(isDns1123Label("UPPER"), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character " +
      "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
});

test("resolveIntOrPercent() rounds as told", () => {
  assert.deepEqual(
    [resolveIntOrPercent("25%", 10, true), resolveIntOrPercent("25%", 10, false), resolveIntOrPercent(4, 10, true)],
    [3, 2, 4],
  );
  assert.throws(() => resolveIntOrPercent("25", 10, true), RangeError);
});

test("statusErrors.invalid() joins several complaints and lists each as a cause", () => {
  const { status } = statusErrors.invalid("apps", "Deployment", "web", [
    { type: "FieldValueRequired", field: "spec.a", message: "Required value" },
    { type: "FieldValueInvalid", field: "spec.b", message: "Invalid value: 1: must be 2" },
  ]);
  assert.equal(
    status.message,
    'Deployment.apps "web" is invalid: [spec.a: Required value, spec.b: Invalid value: 1: must be 2]',
  );
  assert.equal(status.details?.causes?.length, 2);
});
