import assert from "node:assert/strict";
import { test } from "node:test";
import { isProxyableAddress } from "./proxyable.ts";

const cases: readonly [address: string, want: boolean][] = [
  ["10.244.0.7", true],
  ["192.168.1.1", true],
  ["2001:db8::1", true],
  ["fd00::1", true],
  ["127.0.0.1", false],
  ["127.9.9.9", false],
  ["169.254.169.254", false],
  ["0.0.0.0", false],
  ["224.0.0.1", false],
  ["255.255.255.255", false],
  ["::1", false],
  ["::", false],
  ["fe80::1", false],
  ["febf::1", false],
  ["ff02::1", false],
  ["::ffff:127.0.0.1", false],
  ["::ffff:169.254.169.254", false],
  ["::ffff:10.244.0.7", true],
  ["2001:db8::1%eth0", false],
  ["localhost", false],
  ["0x7f.1", false],
  ["2130706433", false],
];
for (const [address, want] of cases) {
  test(`isProxyableAddress() says ${want} for ${address}`, () => assert.equal(isProxyableAddress(address), want));
}
