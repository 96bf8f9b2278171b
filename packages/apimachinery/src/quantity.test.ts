import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  cpuMillis,
  formatQuantity,
  isQuantity,
  parseQuantity,
  QuantityError,
  quantityComplaint,
  quantityValue,
  roundQuantityUp,
  subtractQuantities,
} from "./quantity.ts";

// Source: k8s.io/apimachinery/pkg/api/resource, the behaviour of ParseQuantity and String
const canonical: [text: string, want: string][] = [
  ["0", "0"],
  ["00", "0"],
  ["0m", "0"],
  ["0Ki", "0"],
  ["-0", "0"],
  ["1000m", "1"],
  ["1500m", "1500m"],
  ["0.5", "500m"],
  ["1.5", "1500m"],
  [".001", "1m"],
  [".0001k", "100m"],
  ["0.0005k", "500m"],
  ["0.25Gi", "256Mi"],
  ["1000", "1k"],
  ["100000", "100k"],
  ["1000k", "1M"],
  ["1001", "1001"],
  ["1024", "1024"],
  ["1Ki", "1Ki"],
  ["1024Ki", "1Mi"],
  ["1024Mi", "1Gi"],
  ["750Mi", "750Mi"],
  ["1536Mi", "1536Mi"],
  ["1.5Gi", "1536Mi"],
  ["0.5Ki", "512"],
  ["0.5Mi", "512Ki"],
  ["100.035Ki", "102435840m"],
  ["0.05Gi", "53687091200m"],
  ["0.000000000001Ki", "2n"],
  ["8Ei", "9223372036854775807"],
  ["9223372036854775807Ki", "9223372036854775807"],
  ["-9Ei", "-9223372036854775807"],
  ["12E", "12E"],
  ["9223372036854775808", "9223372036854775808"],
  ["1e3", "1e3"],
  ["1E6", "1E6"],
  ["1e2", "100"],
  ["10e1", "100"],
  ["1.2e3", "1200"],
  ["100e3", "100e3"],
  ["1000e3", "1e6"],
  ["12e-3", "12e-3"],
  ["1e-12", "1e-9"],
  ["1e21", "1e21"],
  ["1000000", "1M"],
  ["100M", "100M"],
  ["3.001n", "4n"],
  ["0.9n", "1n"],
  ["-0.9n", "-1n"],
  ["0.0000000001", "1n"],
  ["1.1n", "2n"],
  ["1n", "1n"],
  ["-1", "-1"],
  // What the parser finds canonical enough stays as it is written.
  ["+1", "+1"],
  ["01", "01"],
  ["1.500", "1.500"],
  ["1.", "1."],
  ["1.G", "1.G"],
  ["+5Mi", "+5Mi"],
  ["+8Mi", "8Mi"],
  ["1.000", "1"],
  // Numbers without digits are zero.
  ["Mi", "0"],
  [".", "0"],
  // Blanks around are cut, as where a quantity stands in JSON.
  [" 1Gi ", "1Gi"],
];
for (const [text, want] of canonical) {
  test(`canonicalQuantity() is ${want} when given ${JSON.stringify(text)}`, () =>
    assert.equal(canonicalQuantity(text), want));
}
test("canonicalQuantity() takes numbers as JSON has them", () => {
  assert.deepEqual([0.5, 2, 1e21, 1e-7, -3000].map(canonicalQuantity), ["500m", "2", "1e+21", "100e-9", "-3k"]);
});

const FORMAT = /^quantities must match the regular expression '\^\(\[\+-\]\?/;
const broken: [text: string, want: RegExp][] = [
  ["", FORMAT],
  ["1.1.1", FORMAT],
  ["1.1.M", FORMAT],
  ["lots", FORMAT],
  ["1 Gi", FORMAT],
  ["1KiB", FORMAT],
  ["1+1.0M", FORMAT],
  ["--1", /suffix/],
  ["1ki", /suffix/],
  ["0.1mi", /suffix/],
  ["1i", /suffix/],
  ["1e", /suffix/],
  ["-3.01e-", /suffix/],
  ["1e999999999", /suffix/],
  ["9".repeat(1_000_000), /numeric part/],
];
for (const [text, want] of broken) {
  test(`parseQuantity() throws upstream's words when given ${JSON.stringify(text.slice(0, 20))}`, () => {
    assert.throws(
      () => parseQuantity(text),
      (error) => error instanceof QuantityError && want.test(error.message),
    );
    assert.equal(isQuantity(text), false);
    assert.match(quantityComplaint(text) ?? "", want);
  });
}

test("compareQuantities() compares values when the texts differ", () => {
  assert.deepEqual(
    [
      compareQuantities("1", "1000m"),
      compareQuantities("1Gi", "1G"),
      compareQuantities("999m", "1"),
      compareQuantities("10000T", "100Gi"),
    ],
    [0, 1, -1, 1],
  );
});

const values: [text: string, value: number, millis: number][] = [
  ["0.0001", 1, 1],
  ["2", 2, 2000],
  ["1500m", 2, 1500],
  ["1Ki", 1024, 1_024_000],
  ["100Mi", 104_857_600, 104_857_600_000],
  ["1m", 1, 1],
  ["1u", 1, 1],
  ["0", 0, 0],
  ["-1500m", -2, -1500],
  ["-1", -1, -1000],
  ["999999999Gi", 999_999_999 * 2 ** 30, 999_999_999 * 2 ** 30 * 1000],
];
for (const [text, value, millis] of values) {
  test(`quantityValue() and cpuMillis() are ${value} and ${millis} when given ${text}`, () => {
    assert.deepEqual([quantityValue(text), cpuMillis(text)], [value, millis]);
  });
}

test("addQuantities() keeps the format of the first, or of the other when that is zero", () => {
  assert.deepEqual(
    [addQuantities("1Gi", "512Mi"), addQuantities("0", "1Gi"), addQuantities("1Gi", "0"), addQuantities("1", "1Ki")],
    ["1536Mi", "1Gi", "1Gi", "1025"],
  );
});
test("subtractQuantities() goes below zero and finds zero", () => {
  assert.deepEqual(
    [subtractQuantities("1", "1500m"), subtractQuantities("1Gi", "1Gi"), subtractQuantities("0", "1Gi")],
    ["-500m", "0", "-1Gi"],
  );
});
test("roundQuantityUp() rounds away from zero", () => {
  const rounded = (text: string, scale: number) => formatQuantity(roundQuantityUp(parseQuantity(text), scale));
  assert.deepEqual([rounded("100u", -3), rounded("-100u", -3), rounded("2500m", 0)], ["1m", "-1m", "3"]);
});

const texts = fc
  .tuple(
    fc.constantFrom("", "-"),
    fc.bigInt({ min: 0n, max: 10n ** 15n }),
    fc.option(fc.stringMatching(/^\d{1,12}$/), { nil: undefined }),
    fc.constantFrom("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-2"),
  )
  .map(([sign, whole, fraction, suffix]) => `${sign}${whole}${fraction === undefined ? "" : `.${fraction}`}${suffix}`);

test("canonicalQuantity() is idempotent and keeps the value for every quantity", () => {
  fc.assert(
    fc.property(texts, (text) => {
      const once = canonicalQuantity(text);
      assert.equal(canonicalQuantity(once), once);
      assert.equal(compareQuantities(once, text), 0);
      assert.equal(
        formatQuantity(parseQuantity(formatQuantity(parseQuantity(text)))),
        formatQuantity(parseQuantity(text)),
      );
    }),
    { verbose: 1 },
  );
});
test("quantityValue() and cpuMillis() say the same on their short cuts as the exact way", () => {
  const short = fc.tuple(fc.nat(999_999_999), fc.constantFrom("", "m", "Ki", "Mi")).map(([n, s]) => `${n}${s}`);
  fc.assert(
    fc.property(short, (text) => {
      const exact = (scale: number) =>
        Number(roundQuantityUp(parseQuantity(text), scale).nanos / 10n ** BigInt(scale + 9));
      assert.deepEqual([quantityValue(text), cpuMillis(text)], [exact(0), exact(-3)]);
    }),
    { verbose: 1 },
  );
});
// Small enough not to meet the cap of binary amounts.
const sums = fc
  .tuple(fc.integer(), fc.constantFrom("", "n", "u", "m", "k", "M", "Ki", "Mi", "Gi", "e2"))
  .map(([number, suffix]) => `${number}${suffix}`);
test("addQuantities() then subtractQuantities() comes back to the value", () => {
  fc.assert(
    fc.property(sums, sums, (a, b) => {
      assert.equal(compareQuantities(subtractQuantities(addQuantities(a, b), b), a), 0);
    }),
    { verbose: 1 },
  );
});
