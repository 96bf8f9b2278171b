import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalIp, ipFamily, isMasked, parseCidr } from "./ip.ts";

const addresses: readonly (readonly [text: string, family: string | undefined, canonical: string])[] = [
  ["10.0.0.1", "IPv4", "10.0.0.1"],
  ["255.255.255.255", "IPv4", "255.255.255.255"],
  ["10.0.0", undefined, "10.0.0"],
  ["10.0.0.256", undefined, "10.0.0.256"],
  ["::", "IPv6", "::"],
  ["::1", "IPv6", "::1"],
  ["2001:DB8:0:0:0:0:0:1", "IPv6", "2001:db8::1"],
  ["2001:db8:0:0:1:0:0:1", "IPv6", "2001:db8::1:0:0:1"],
  ["::ffff:10.0.0.1", "IPv6", "::ffff:a00:1"],
  ["1::2::3", undefined, "1::2::3"],
  ["12345::", undefined, "12345::"],
  ["1:2:3:4:5:6:7", undefined, "1:2:3:4:5:6:7"],
  ["1:2:3:4:5:6:7:8", "IPv6", "1:2:3:4:5:6:7:8"],
  ["", undefined, ""],
];

for (const [text, family, canonical] of addresses) {
  test(`ipFamily() of ${JSON.stringify(text)} is ${family}`, () => {
    assert.equal(ipFamily(text), family);
    assert.equal(canonicalIp(text), canonical);
  });
}

const cidrs: readonly (readonly [text: string, valid: boolean, masked: boolean])[] = [
  ["10.0.0.0/8", true, true],
  ["10.0.0.1/8", true, false],
  ["10.0.0.0/33", false, false],
  ["10.0.0.0/08", false, false],
  ["fd00::/8", true, true],
  ["fd00::1/64", true, false],
  ["10.0.0.0", false, false],
];

for (const [text, valid, masked] of cidrs) {
  test(`parseCidr() of ${text} is ${valid ? "a network" : "nothing"}`, () => {
    const cidr = parseCidr(text);
    assert.equal(cidr !== undefined, valid);
    if (cidr !== undefined) assert.equal(isMasked(cidr), masked);
  });
}
