import "reflect-metadata";
import assert from "node:assert/strict";
import { lstat, mkdtemp, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { selfSignedCertificate } from "@knarr/daemon/self-signed.ts";
import { Pkcs10CertificateRequest } from "@peculiar/x509";
import fc from "fast-check";
import { CertificateStore } from "./certificate-store.ts";
import { fitsTemplate, rotationTime } from "./plan-rotation.ts";
import { makeRequest, newKey } from "./request-certificate.ts";

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "knarr-certificates-"));
});
after(() => rm(directory, { recursive: true, force: true }));

test("rotationTime() lies between 70 and 90 % of the certificate's life", () => {
  fc.assert(
    fc.property(
      fc.nat(1e9),
      fc.integer({ min: 1000, max: 1e9 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (from, life, chance) => {
        const at = (rotationTime({ notBefore: from, notAfter: from + life }, chance) - from) / life;
        assert.ok(at > 0.6999 && at < 0.9001, String(at));
      },
    ),
  );
});

test("fitsTemplate() asks for every name and no fewer", () => {
  const template = { commonName: "", organization: "", dnsNames: ["node-1"], ipAddresses: ["10.0.0.1"] };
  assert.equal(fitsTemplate("DNS:node-1, IP Address:10.0.0.1, DNS:more", template), true);
  assert.equal(fitsTemplate("DNS:node-1", template), false);
  assert.equal(fitsTemplate(undefined, { ...template, dnsNames: [], ipAddresses: [] }), true);
});

test("makeRequest() asks for the names of the template, signed with the key", async () => {
  const template = {
    commonName: "system:node:node-1",
    organization: "system:nodes",
    dnsNames: ["node-1"],
    ipAddresses: ["10.0.0.1", "fd00::1"],
  };
  const request = new Pkcs10CertificateRequest(await makeRequest(newKey(), template));
  assert.equal(request.subject, "O=system:nodes, CN=system:node:node-1");
  assert.equal(await request.verify(), true);
  assert.equal(request.extensions.length, 1);
});

test("CertificateStore moves its link to the newest pair, readable by root only", async () => {
  const store = new CertificateStore(join(directory, "a"), "kubelet-client");
  assert.equal(await store.current(), undefined);
  const first = await selfSignedCertificate("one", ["one"], Date.now());
  const second = await selfSignedCertificate("two", ["two"], Date.now());
  await store.update(first.cert, first.key, Date.UTC(2026, 0, 2, 3, 4, 5));
  await store.update(second.cert, second.key, Date.UTC(2026, 0, 2, 3, 4, 6));
  assert.match((await store.current())?.subjectAltName ?? "", /DNS:two/);
  const target = await readlink(store.currentPath);
  assert.equal(target, join(directory, "a", "kubelet-client-2026-01-02-03-04-06.pem"));
  assert.equal((await lstat(target)).mode & 0o777, 0o600);
  assert.deepEqual((await readdir(join(directory, "a"))).toSorted(), [
    "kubelet-client-2026-01-02-03-04-05.pem",
    "kubelet-client-2026-01-02-03-04-06.pem",
    "kubelet-client-current.pem",
  ]);
});

test("CertificateStore refuses a key that is another's, and takes a broken file for none", async () => {
  const store = new CertificateStore(join(directory, "b"), "kubelet-client");
  const pair = await selfSignedCertificate("one", ["one"], Date.now());
  await assert.rejects(store.update(pair.cert, newKey(), Date.now()), /do not belong together/);
  await store.update(pair.cert, pair.key, Date.now());
  await writeFile(await readlink(store.currentPath), pair.cert.slice(0, 100));
  assert.equal(await store.current(), undefined);
});
