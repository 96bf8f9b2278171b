import assert from "node:assert/strict";
import { test } from "node:test";
import { findSniCertificate, parseSniCertKey, tlsSettings } from "./tls-settings.ts";

test("tlsSettings() offers TLS 1.2 with forward secrecy and 1.3 by default", () => {
  const { minVersion, ciphers } = tlsSettings("", []);
  assert.equal(minVersion, "TLSv1.2");
  assert.ok(ciphers.includes("TLS_AES_128_GCM_SHA256") && ciphers.includes("ECDHE-RSA-AES256-GCM-SHA384"));
  assert.doesNotMatch(ciphers, /(^|:)AES|CBC|3DES|RC4/);
});
test("tlsSettings() takes Go's names", () => {
  const { ciphers } = tlsSettings("VersionTLS13", ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
  assert.match(ciphers, /:ECDHE-RSA-AES128-GCM-SHA256$/);
});
for (const [name, version, suites, want] of [
  ["an old version", "VersionTLS11", [], /must be VersionTLS12 or VersionTLS13/],
  ["a weak suite", "", ["TLS_RSA_WITH_AES_128_CBC_SHA"], /cipher suite "TLS_RSA_WITH_AES_128_CBC_SHA"/],
] as const) {
  test(`tlsSettings() refuses ${name}`, () => assert.throws(() => tlsSettings(version, suites), want));
}
test("parseSniCertKey() reads files and names", () => {
  assert.deepEqual(parseSniCertKey("a.crt,a.key"), { certFile: "a.crt", keyFile: "a.key", names: [] });
  assert.deepEqual(parseSniCertKey("a.crt,a.key:*.x.org,y.org").names, ["*.x.org", "y.org"]);
  assert.throws(() => parseSniCertKey("a.crt"), /must be CERT,KEY/);
});
test("findSniCertificate() prefers an exact name to a wildcard", () => {
  const tls = { cert: Buffer.alloc(0), key: Buffer.alloc(0) };
  const wild = { names: ["*.x.org"], tls };
  const exact = { names: ["a.x.org"], tls };
  assert.equal(findSniCertificate([wild, exact], "A.x.org"), exact);
  assert.equal(findSniCertificate([wild, exact], "b.x.org"), wild);
  assert.equal(findSniCertificate([wild, exact], "b.c.x.org"), undefined);
});
