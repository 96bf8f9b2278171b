import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cloneJson, compareUtf8, JsonError, parseJson, stringifyCanonical, stringifyJson } from "./json.ts";
import { jsonComplaint } from "./json-syntax.ts";

test("parseJson() keeps integers beyond 2^53, and stringifyJson() writes them back", () => {
  const text = '{"generation":9223372036854775807,"small":5,"float":1.5,"text":"12345678901234567890"}';
  assert.equal((parseJson(text) as { generation: bigint }).generation, 9223372036854775807n);
  assert.equal(stringifyJson(parseJson(text)), text);
  assert.deepEqual(parseJson("[ -9007199254740993,12345678901234567890.5]"), [
    -9007199254740993n,
    12345678901234567000,
  ]);
  assert.equal(parseJson("12345678901234567890"), 12345678901234567890n);
});
test("parseJson() keeps __proto__ as data", () => {
  const value = parseJson('{"__proto__":{"polluted":true},"n":12345678901234567890}') as object;
  assert.deepEqual(Object.keys(value), ["__proto__", "n"]);
  assert.equal((value as { polluted?: boolean }).polluted, undefined);
});
test("parseJson() reads bytes, puts U+FFFD for what is no UTF-8, and takes no byte order mark", () => {
  assert.equal(parseJson(Uint8Array.of(0x22, 0xff, 0x22)), "\ufffd");
  assert.throws(() => parseJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31)), /invalid character '\\ufeff' looking for/);
});
test("parseJson() throws JsonError for nesting that is too deep, whatever stands in strings", () => {
  const nested = (depth: number) => `${'{"a":['.repeat(depth / 2)}${"]}".repeat(depth / 2)}`;
  assert.throws(() => parseJson(nested(1002)), /exceeded max depth/);
  assert.doesNotThrow(() => parseJson(nested(1000)));
  assert.doesNotThrow(() => parseJson(JSON.stringify({ a: `\\"${"[".repeat(5000)}` })));
  assert.throws(() => parseJson("[".repeat(1_000_000)), JsonError);
  assert.throws(() => parseJson(`"${"[".repeat(2000)}`), /unexpected end of JSON input/);
});

// Source: Go encoding/json, the messages of its scanner
const complaints: [text: string, want: string][] = [
  ["", "unexpected end of JSON input"],
  ["{", "unexpected end of JSON input"],
  ['{"a"', "unexpected end of JSON input"],
  ['{"a":1', "unexpected end of JSON input"],
  ['{"a":"x', "unexpected end of JSON input"],
  ["[1,", "unexpected end of JSON input"],
  ["x", "invalid character 'x' looking for beginning of value"],
  ["{a:1}", "invalid character 'a' looking for beginning of object key string"],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ["[1,]", "invalid character ']' looking for beginning of value"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b"}', "invalid character '\"' after object key:value pair"],
  ["[1 2]", "invalid character '2' after array element"],
  ["{} {}", "invalid character '{' after top-level value"],
  ["{}\n---", "invalid character '-' after top-level value"],
  ['"a\nb"', "invalid character '\\n' in string literal"],
  ['"\\x"', "invalid character 'x' in string escape code"],
  ['"\\u12g"', "invalid character 'g' in \\u hexadecimal character escape"],
  ["01", "invalid character '1' after top-level value"],
  ["-a", "invalid character 'a' in numeric literal"],
  ["1.x", "invalid character 'x' after decimal point in numeric literal"],
  ["1ex", "invalid character 'x' in exponent of numeric literal"],
  ["trve", "invalid character 'v' in literal true (expecting 'u')"],
  ["nul", "unexpected end of JSON input"],
  ["'a'", "invalid character '\\'' looking for beginning of value"],
  ["apiVersion: v1", "invalid character 'a' looking for beginning of value"],
];
for (const [text, want] of complaints) {
  test(`parseJson() throws Go's words when given ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parseJson(text),
      (error) => error instanceof JsonError && error.message === want,
    );
  });
}
test("jsonComplaint() finds fault exactly where JSON.parse does", () => {
  const almostJson = fc.oneof(
    fc.json(),
    fc.tuple(fc.json(), fc.nat(), fc.constantFrom("", ",", "}", "]", "x", '"', "0", "\\")).map(([text, at, change]) => {
      const i = at % (text.length + 1);
      return text.slice(0, i) + change + text.slice(i + 1);
    }),
  );
  fc.assert(
    fc.property(almostJson, (text) => {
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      assert.equal(jsonComplaint(text) === undefined, isJson);
    }),
    { verbose: 1, numRuns: 500 },
  );
});

test("stringifyCanonical() is Go's encoding byte for byte", () => {
  assert.equal(
    stringifyCanonical({ b: "<a&b>", a: { d: [1, null], c: undefined }, é: '\u2028\b\f\u0001\u007f"/' }),
    '{"a":{"d":[1,null]},"b":"\\u003ca\\u0026b\\u003e","é":"\\u2028\\b\\f\\u0001\u007f\\"/"}',
  );
  assert.equal(
    stringifyCanonical([1e21, 1e20, 1e-6, 1e-7, 9223372036854775807n]),
    "[1e+21,100000000000000000000,0.000001,1e-7,9223372036854775807]",
  );
  assert.equal(stringifyCanonical({ "<": "\ud800" }), '{"\\u003c":"\ufffd"}');
});
test("compareUtf8() puts what is beyond U+FFFF last, as bytes of UTF-8 do", () => {
  const encoder = new TextEncoder();
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      assert.equal(Math.sign(compareUtf8(a, b)), Buffer.compare(encoder.encode(a), encoder.encode(b)));
    }),
    { verbose: 1 },
  );
  assert.deepEqual(["\uffff", "\u{10000}"].sort(compareUtf8), ["\uffff", "\u{10000}"]);
});
test("cloneJson() copies every JSON value and shares nothing", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const value = JSON.parse(text);
      const copy = cloneJson(value);
      assert.deepEqual(copy, value);
      if (typeof value === "object" && value !== null) assert.notEqual(copy, value);
    }),
    { verbose: 1 },
  );
  assert.deepEqual(Object.keys(cloneJson(JSON.parse('{"__proto__":1}')) as object), ["__proto__"]);
});
