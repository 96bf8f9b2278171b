import "reflect-metadata";
import assert from "node:assert/strict";
import { generateKeyPairSync, webcrypto, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { authentication, certificates, rbac } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import { Client } from "@knarr/client/client.ts";
import {
  type JsonGeneralNames,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from "@peculiar/x509";
import { eventually, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  const { pki } = harness.api;
  await harness.startManager([
    "--leader-elect=false",
    `--cluster-signing-cert-file=${pki.path("ca.crt")}`,
    `--cluster-signing-key-file=${pki.path("ca.key")}`,
    "--cluster-signing-duration=12h",
  ]);
  // What a cluster's bootstrap gives its nodes, so that they may renew their certificates.
  const roleName = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";
  await client.create(rbac.clusterrolebindings, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "node-autoapprove-certificate-rotation" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: roleName },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "system:nodes" }],
  });
});
after(() => harness.stop());

const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

async function makeRequest(
  by: Client,
  name: string,
  of: {
    subject: string;
    signerName: string;
    usages: string[];
    names?: JsonGeneralNames;
    algorithm?: typeof RSA | typeof EC;
    expirationSeconds?: number;
  },
): Promise<{ key: string }> {
  const algorithm = of.algorithm ?? EC;
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      name: of.subject,
      keys,
      signingAlgorithm: algorithm,
      extensions: of.names === undefined ? [] : [new SubjectAlternativeNameExtension(of.names)],
    },
    webcrypto as Crypto,
  );
  const { signerName, usages, expirationSeconds } = of;
  await by.create(certificates.certificatesigningrequests, {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name },
    spec: { request: Buffer.from(request.toString("pem")).toString("base64"), signerName, usages, expirationSeconds },
  });
  const der = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { key: `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der).toString("base64")}\n-----END PRIVATE KEY-----\n` };
}

const get = (name: string) => client.get(certificates.certificatesigningrequests, { namespace: "", name });
const issued = (name: string) =>
  eventually(`the certificate of ${name}`, async () => {
    const { status } = await get(name);
    return (status?.certificate ?? "") !== "" && Buffer.from(status?.certificate ?? "", "base64").toString();
  });
async function approve(name: string): Promise<void> {
  const csr: CertificateSigningRequest = await get(name);
  const conditions = [{ type: "Approved", status: "True", reason: "Test", message: "by the test" }];
  const next = { ...csr, status: { ...csr.status, conditions } };
  await client.update(certificates.certificatesigningrequests, next, { subresource: "approval" });
}
const CLIENT = ["digital signature", "client auth"];

test("a node that asks for its own client certificate gets it, and is known by it", async () => {
  const node = new Client(await harness.api.user("system:node:n1", ["system:nodes"]));
  const { key } = await makeRequest(node, "node-client", {
    subject: "O=system:nodes, CN=system:node:n1",
    signerName: "kubernetes.io/kube-apiserver-client-kubelet",
    usages: CLIENT,
  });
  node.close();
  const cert = await issued("node-client");
  const [approval] = (await get("node-client")).status?.conditions ?? [];
  assert.equal(approval?.reason, "AutoApproved");
  assert.match(
    approval?.message ?? "",
    /^Auto approving (self )?kubelet client certificate after SubjectAccessReview\.$/,
  );
  const ca = await readFile(harness.api.pki.path("ca.crt"));
  const renewed = new Client({ server: harness.api.server, ca, cert, key });
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview", metadata: {} };
  const { status } = await renewed.create(authentication.selfsubjectreviews, review);
  assert.equal(status?.userInfo?.username, "system:node:n1");
  renewed.close();
});

test("an approved client certificate has the subject, the usages and the life that were asked for", async () => {
  await makeRequest(client, "jane", {
    subject: "O=dev, O=ops, CN=jane",
    signerName: "kubernetes.io/kube-apiserver-client",
    usages: ["client auth"],
    algorithm: RSA,
    expirationSeconds: 3600,
  });
  await approve("jane");
  const cert = new X509Certificate(await issued("jane"));
  assert.deepEqual(cert.subject.split("\n").sort(), ["CN=jane", "O=dev", "O=ops"]);
  const ca = new X509Certificate(await readFile(harness.api.pki.path("ca.crt")));
  assert.ok(cert.checkIssued(ca) && cert.verify(ca.publicKey) && !cert.ca);
  assert.deepEqual(cert.keyUsage, ["1.3.6.1.5.5.7.3.2"]);
  const minutes = (cert.validToDate.getTime() - cert.validFromDate.getTime()) / 60_000;
  assert.ok(minutes > 60 && minutes < 70, `${minutes} minutes with five of backdating`);
});

test("a serving certificate has its names; one that its signer can't sign fails and says why", async () => {
  const serving = { signerName: "kubernetes.io/kubelet-serving", usages: ["digital signature", "server auth"] };
  const subject = "O=system:nodes, CN=system:node:n1";
  const node = new Client(await harness.api.user("system:node:n1", ["system:nodes"]));
  const names: JsonGeneralNames = [
    { type: "dns", value: "n1" },
    { type: "ip", value: "10.0.0.1" },
  ];
  await makeRequest(node, "serving", { ...serving, subject, names });
  await approve("serving");
  const cert = new X509Certificate(await issued("serving"));
  assert.equal(cert.subjectAltName, "DNS:n1, IP Address:10.0.0.1");
  await makeRequest(client, "bad", {
    ...serving,
    signerName: "kubernetes.io/kube-apiserver-client",
    subject: "CN=x",
    usages: ["server auth"],
  });
  await approve("bad");
  const failed = await eventually("the failure", async () =>
    (await get("bad")).status?.conditions?.find(({ type }) => type === "Failed"),
  );
  assert.equal(failed.reason, "SignerValidationFailure");
  assert.match(failed.message ?? "", /invalid usage for client certificate: server auth/);
  node.close();
});

test("authorities of other key types sign too, each for its signer", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  assert.ok(publicKey.type === "public");
  const file = join(harness.api.dir, "other.key");
  await writeFile(file, privateKey.export({ type: "pkcs1", format: "pem" }));
  const { signRequest, parseRequest } = await import("../src/adapters/certificate-authority.ts");
  const keys = (await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const request = await Pkcs10CertificateRequestGenerator.create(
    { name: "CN=x", keys, signingAlgorithm: EC },
    webcrypto as Crypto,
  );
  const pem = await signRequest(
    { certFile: harness.api.pki.path("ca.crt"), keyFile: file },
    await parseRequest(request.toString("pem")),
    { usages: ["client auth"], ttlMs: 3_600_000, nowMs: Date.now() },
  );
  assert.ok(new X509Certificate(pem).verify(publicKey));
});
