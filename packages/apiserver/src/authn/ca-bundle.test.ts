import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { CaBundle } from "./ca-bundle.ts";

/** Two CAs of the same name, CN=one. */
const ONE = `-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIUHoAjvY7j2ubM03wwx12ycWxxk5YwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb25lMCAXDTI2MTEyMTEyMTkyMVoYDzIxMjYxMDI4MTIxOTIx
WjAOMQwwCgYDVQQDDANvbmUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQMqdlO
FrEOsOpBlM5kiGHigSoms+ZWE6m1COmyby/pELLqZjh4m7Dv/CTFopYmZi0dsZur
xN+ZQd6s0GVkXg0mo1MwUTAdBgNVHQ4EFgQUwwdW98Ia/6idsktGLlcehohj4mcw
HwYDVR0jBBgwFoAUwwdW98Ia/6idsktGLlcehohj4mcwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNJADBGAiEAg8bxph8gN5XCSk23yWk4KtwNJzwfW8qReckh
5J5PRKICIQCFFgd0uGuU3UUxwUQW6aeaJdIthShy9IRT5Im4w0VmaQ==
-----END CERTIFICATE-----
`;
const OTHER = `-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIUINw5+lUQ2fAipzCcWbAyrt7smQcwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb25lMCAXDTI2MTEyMTEyMTkyMVoYDzIxMjYxMDI4MTIxOTIx
WjAOMQwwCgYDVQQDDANvbmUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAStm64h
HaUootzxEVnDZOdxt7YSu7ubAo3sroVqotHV7KSXO6PxWeyHq4DJigu8sYNIagnK
vHa1tkovU1s2uVkTo1MwUTAdBgNVHQ4EFgQUXj+girmnTRDTg8GxxPPCzmJha1cw
HwYDVR0jBBgwFoAUXj+girmnTRDTg8GxxPPCzmJha1cwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNJADBGAiEA9UHn699u3YUybghO7OPAQEcGbBPX/StqMLVd
Q3/MmesCIQD/77OL2LqE2sfnY6qlk8n5HCINO2odQvgfHJ6aoCBXfA==
-----END CERTIFICATE-----
`;

/** A leaf as Node shows it: signed by an intermediate, which is there only in a full handshake. */
const leaf = (fingerprint256: string, issuerCertificate?: X509Certificate): X509Certificate =>
  ({
    fingerprint256,
    issuerCertificate,
    raw: Buffer.from(fingerprint256),
    checkIssued: () => false,
    verify: () => false,
  }) as unknown as X509Certificate;

test("CaBundle.vouchesFor() tells CAs of one name apart", () => {
  const bundle = new CaBundle(ONE);
  assert.equal(bundle.vouchesFor(new X509Certificate(ONE)), true);
  assert.equal(bundle.vouchesFor(new X509Certificate(OTHER)), false);
});

test("CaBundle.vouchesFor() remembers a chain that a resumed session does not bring", () => {
  const bundle = new CaBundle(ONE);
  assert.equal(bundle.vouchesFor(leaf("AA")), false);
  assert.equal(bundle.vouchesFor(leaf("BB", new X509Certificate(ONE))), true);
  assert.equal(bundle.vouchesFor(leaf("BB")), true);
  assert.equal(bundle.vouchesFor(leaf("CC", new X509Certificate(OTHER))), false);
});

test("CaBundle.load() forgets what the old CAs vouched for", () => {
  const bundle = new CaBundle(ONE);
  const certificate = leaf("BB", new X509Certificate(ONE));
  assert.equal(bundle.vouchesFor(certificate), true);
  bundle.load(OTHER);
  assert.equal(bundle.vouchesFor(certificate), false);
  assert.throws(() => bundle.load("nothing"), /no certificate in PEM form/);
});
