import assert from "node:assert/strict";
import { test } from "node:test";
import { requestSubject } from "./certificate-request-subject.ts";

/** O=system:masters, CN=zoe, P-256. */
const PEM = `-----BEGIN CERTIFICATE REQUEST-----
MIHiMIGJAgEAMCcxFzAVBgNVBAoMDnN5c3RlbTptYXN0ZXJzMQwwCgYDVQQDDAN6
b2UwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS5vqITrvucYu/B0z+J4Y6WSfPh
9SO3fi0eqWAl//5KHE6nWxgSGHpqMiNYKibKm09vKkAtbM0JrQ45hTYQtwBZoAAw
CgYIKoZIzj0EAwIDSAAwRQIhAPjNBh85KFNWmM8dFYpXVA41ZhBI/0toP0H/oiHl
BS5TAiAXGuM9lh0aJaiF+uftQZbF6HUB4pTo4S8ihwpUE3QBUQ==
-----END CERTIFICATE REQUEST-----
`;
const base64 = (text: string) => Buffer.from(text).toString("base64");

test("requestSubject() reads the subject's names", () =>
  assert.deepEqual(requestSubject(base64(PEM)), {
    commonNames: ["zoe"],
    organizations: ["system:masters"],
  }));

test("requestSubject() is undefined for anything else, however it is cut", () => {
  assert.equal(requestSubject(""), undefined);
  const der = Buffer.from(PEM.replace(/-----[A-Z ]+-----|\n/g, ""), "base64");
  for (let length = 0; length < der.length; length += 1) {
    const body = der.subarray(0, length).toString("base64");
    const cut = `-----BEGIN CERTIFICATE REQUEST-----\n${body}\n-----END CERTIFICATE REQUEST-----`;
    assert.equal(requestSubject(base64(cut)), undefined, `cut at ${length}`);
  }
});
