import assert from "node:assert/strict";
import { test } from "node:test";
import { addressAt, cidrContains, formatCidr, formatIp, parseCidr, parseIp } from "./cidr.ts";

for (const [text, want] of [
  ["10.96.0.1", "10.96.0.1"],
  ["fd00:0:0:0::1", "fd00::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["::", "::"],
] as const) {
  test(`formatIp() writes ${text} as ${want}`, () => {
    const address = parseIp(text);
    assert.ok(address);
    assert.equal(formatIp(address), want);
  });
}
for (const text of ["10.0.0", "10.0.0.256", "010.0.0.1", "1::2::3", "g::", "", "1:2:3:4:5:6:7:8:9"]) {
  test(`parseIp() refuses ${JSON.stringify(text)}`, () => assert.equal(parseIp(text), undefined));
}
test("parseCidr() clears host bits and counts addresses", () => {
  const cidr = parseCidr("10.99.3.7/16");
  assert.ok(cidr);
  assert.equal(formatCidr(cidr), "10.99.0.0/16");
  assert.equal(cidr.size, 65_536n);
  assert.equal(addressAt(cidr, 258n), "10.99.1.2");
  assert.ok(cidrContains(cidr, parseIp("10.99.255.255") as never));
  assert.ok(!cidrContains(cidr, parseIp("10.100.0.0") as never));
  assert.ok(!cidrContains(cidr, parseIp("::1") as never));
});
for (const text of ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/"]) {
  test(`parseCidr() refuses ${text}`, () => assert.equal(parseCidr(text), undefined));
}
