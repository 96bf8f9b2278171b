import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Authority, ensureAuthority, ensureCertificate, type LeafSpec } from "./pki.ts";

const DAY_MS = 24 * 3600 * 1000;
let folder = "";
let authority: Authority;
let nowMs = 0;
const files = (name: string) => ({ cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) });
const spec: LeafSpec = { commonName: "kube-apiserver", hosts: ["localhost", "127.0.0.1"], usages: ["server"] };

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-pki-"));
  nowMs = Date.now();
  authority = await ensureAuthority("kubernetes", files("ca"), nowMs);
});
after(() => rm(folder, { recursive: true }));

test("ensureAuthority() gives the same authority again when it is there, and only its owner reads the key", async () => {
  const cert = await readFile(files("ca").cert, "utf8");
  await ensureAuthority("kubernetes", files("ca"), nowMs);
  assert.equal(await readFile(files("ca").cert, "utf8"), cert);
  assert.equal((await stat(files("ca").key)).mode & 0o777, 0o600);
});

test("ensureAuthority() refuses to replace an authority when its key is lost", async () => {
  await ensureAuthority("lost", files("lost"), nowMs);
  await rm(files("lost").key);
  await assert.rejects(ensureAuthority("lost", files("lost"), nowMs), /lost\.crt is there without .*lost\.key/);
});

test("ensureAuthority() starts again when an interrupted run left a key only", async () => {
  await writeFile(files("half").key, "half a key");
  const made = await ensureAuthority("half", files("half"), nowMs);
  assert.equal(made.certificate.subject, "CN=half");
});

test("ensureCertificate() makes a certificate that the authority vouches for, with names and addresses", async () => {
  assert.equal(await ensureCertificate(spec, files("leaf"), authority, nowMs), true);
  const leaf = new X509Certificate(await readFile(files("leaf").cert));
  const ca = new X509Certificate(await readFile(files("ca").cert));
  assert.ok(leaf.checkIssued(ca));
  assert.ok(leaf.verify(ca.publicKey));
  assert.equal(leaf.checkHost("localhost"), "localhost");
  assert.equal(leaf.checkIP("127.0.0.1"), "127.0.0.1");
});

test("ensureCertificate() starts again when an interrupted run left halves that don't belong together", async () => {
  const torn = files("torn");
  await ensureCertificate(spec, torn, authority, nowMs);
  const key = await readFile(torn.key, "utf8");
  const cert = await readFile(torn.cert, "utf8");
  const left: [cert: string, key: string][] = [
    [cert, await readFile(files("ca").key, "utf8")],
    [cert.slice(0, cert.length / 2), key],
    [cert, ""],
  ];
  for (const [certLeft, keyLeft] of left) {
    await writeFile(torn.cert, certLeft);
    await writeFile(torn.key, keyLeft);
    assert.equal(await ensureCertificate(spec, torn, authority, nowMs), true);
    assert.equal(await ensureCertificate(spec, torn, authority, nowMs), false);
  }
});

test("ensureCertificate() puts the groups into the subject when organizations are given", async () => {
  const node = { commonName: "system:node:node-1", organizations: ["system:nodes"], usages: ["client"] } as const;
  await ensureCertificate(node, files("node"), authority, nowMs);
  const { subject } = new X509Certificate(await readFile(files("node").cert));
  assert.equal(subject, "O=system:nodes\nCN=system:node:node-1");
});

const rows: { name: string; spec: LeafSpec; atDays: number; renewed: boolean }[] = [
  { name: "nothing changed", spec, atDays: 1, renewed: false },
  { name: "more than 30 days are left", spec, atDays: 330, renewed: false },
  { name: "less than 30 days are left", spec, atDays: 340, renewed: true },
  {
    name: "the host got another address",
    spec: { ...spec, hosts: ["localhost", "10.1.2.3"] },
    atDays: 1,
    renewed: true,
  },
  { name: "the name is another", spec: { ...spec, commonName: "other" }, atDays: 1, renewed: true },
];
for (const row of rows) {
  test(`ensureCertificate() ${row.renewed ? "makes it anew" : "keeps it"} when ${row.name}`, async () => {
    await rm(files("kept").cert, { force: true });
    await ensureCertificate(spec, files("kept"), authority, nowMs);
    const renewed = await ensureCertificate(row.spec, files("kept"), authority, nowMs + row.atDays * DAY_MS);
    assert.equal(renewed, row.renewed);
  });
}

test("ensureCertificate() makes it anew when another authority signed it", async () => {
  const other = await ensureAuthority("kubernetes", files("other-ca"), nowMs);
  await ensureCertificate(spec, files("moved"), other, nowMs);
  assert.equal(await ensureCertificate(spec, files("moved"), authority, nowMs), true);
});
