import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapeValue, FieldSelectorError, parseFieldSelector } from "./field-selector.ts";

test("parseFieldSelector() reads both operators and escapes, and sorts the terms", () => {
  const selector = parseFieldSelector("b!=2,c==x\\,y\\=z,a=1,");
  assert.deepEqual(selector.requirements, [
    { field: "a", op: "=", value: "1" },
    { field: "b", op: "!=", value: "2" },
    { field: "c", op: "=", value: "x,y=z" },
  ]);
  assert.equal(selector.toString(), "a=1,b!=2,c=x\\,y\\=z");
  assert.equal(selector.exactValue("a"), "1");
  assert.equal(selector.exactValue("b"), undefined);
});

const matches: [text: string, want: boolean][] = [
  ["", true],
  ["a=1", true],
  ["a!=1", false],
  ["x=", true],
  ["x!=y", true],
  ["constructor=", true],
];
for (const [text, want] of matches) {
  test(`FieldSelector.matches() is ${want} when it is ${JSON.stringify(text)}`, () => {
    assert.equal(parseFieldSelector(text).matches({ a: "1" }), want);
  });
}

const broken: [text: string, want: string][] = [
  ["a", "invalid selector: 'a'; can't understand 'a'"],
  ["a=1,b", "invalid selector: 'a=1,b'; can't understand 'b'"],
  ["a=b=c", "invalid field selector: unescaped character in value: 61"],
  ["a=\\x", "invalid field selector: invalid escape sequence: \\x"],
  ["a=x\\", "invalid field selector: invalid escape sequence: \\"],
];
for (const [text, want] of broken) {
  test(`parseFieldSelector() throws upstream's words when it is ${text}`, () => {
    assert.throws(
      () => parseFieldSelector(text),
      (error) => error instanceof FieldSelectorError && error.message === want,
    );
  });
}

test("parseFieldSelector() reads back every value that escapeValue() wrote", () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      assert.equal(parseFieldSelector(`a=${escapeValue(value)}`).requirements[0]?.value, value);
    }),
    { verbose: 1 },
  );
});
