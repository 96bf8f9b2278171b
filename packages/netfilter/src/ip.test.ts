import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIp, formatPrefix, parseIp, parsePrefix, prefixContains } from "./ip.ts";

for (const [text, canonical] of [
  ["10.0.0.1", "10.0.0.1"],
  ["::", "::"],
  ["::1", "::1"],
  ["fd00:0:0:1::0:2", "fd00:0:0:1::2"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["::ffff:10.1.2.3", "::ffff:a01:203"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
] as const) {
  test(`formatIp() writes ${text} as ${canonical}`, () => {
    const address = parseIp(text);
    assert.ok(address !== undefined);
    assert.equal(formatIp(address), canonical);
  });
}

for (const text of ["", "10.0.0", "10.0.0.256", "10.0.0.1.2", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7", "g::"]) {
  test(`parseIp() refuses ${JSON.stringify(text)}`, () => assert.equal(parseIp(text), undefined));
}

for (const [prefix, address, want] of [
  ["10.0.0.0/8", "10.255.0.1", true],
  ["10.0.0.0/8", "11.0.0.1", false],
  ["0.0.0.0/0", "1.2.3.4", true],
  ["10.0.0.1", "10.0.0.1", true],
  ["10.0.0.0/8", "fd00::1", false],
  ["fd00::/16", "fd00:1::1", true],
  ["10.0.0.0/33", "10.0.0.1", false],
] as const) {
  test(`prefixContains() is ${want} for ${address} in ${prefix}`, () => {
    assert.equal(prefixContains(prefix, address), want);
  });
}

test("formatPrefix() clears the host's bits", () => {
  const prefix = parsePrefix("10.1.2.3/8");
  assert.ok(prefix !== undefined);
  assert.equal(formatPrefix(prefix), "10.0.0.0/8");
});
