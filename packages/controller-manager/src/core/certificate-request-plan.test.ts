import assert from "node:assert/strict";
import { test } from "node:test";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import {
  APISERVER_CLIENT,
  approvalsFor,
  certificateTtlMs,
  isRequestOver,
  KUBELET_CLIENT,
  KUBELET_SERVING,
  LEGACY_UNKNOWN,
  type RequestContent,
  whyNotSigned,
} from "./certificate-request-plan.ts";

const content = (own: Partial<RequestContent> = {}): RequestContent => ({
  commonName: "system:node:n1",
  organizations: ["system:nodes"],
  dnsNames: [],
  ipAddresses: [],
  emails: [],
  uris: [],
  ...own,
});
const CLIENT = ["digital signature", "client auth"];
const SERVER = ["digital signature", "key encipherment", "server auth"];

const rows: { name: string; signer: string; content?: Partial<RequestContent>; usages: string[]; want?: RegExp }[] = [
  { name: "a kubelet's client", signer: KUBELET_CLIENT, usages: CLIENT },
  { name: "one with an RSA key", signer: KUBELET_CLIENT, usages: [...CLIENT, "key encipherment"] },
  {
    name: "one of another group",
    signer: KUBELET_CLIENT,
    content: { organizations: ["x"] },
    usages: CLIENT,
    want: /organization is not system:nodes/,
  },
  {
    name: "one of another name",
    signer: KUBELET_CLIENT,
    content: { commonName: "x" },
    usages: CLIENT,
    want: /common name does not begin/,
  },
  {
    name: "one with a DNS name",
    signer: KUBELET_CLIENT,
    content: { dnsNames: ["x"] },
    usages: CLIENT,
    want: /DNS subjectAltNames are not allowed/,
  },
  {
    name: "one that wants to serve",
    signer: KUBELET_CLIENT,
    usages: SERVER,
    want: /usages did not match \[client auth digital signature key encipherment\]/,
  },
  { name: "a kubelet's server", signer: KUBELET_SERVING, content: { ipAddresses: ["10.0.0.1"] }, usages: SERVER },
  {
    name: "a server without names",
    signer: KUBELET_SERVING,
    usages: SERVER,
    want: /DNS or IP subjectAltName is required/,
  },
  {
    name: "a server with a URI",
    signer: KUBELET_SERVING,
    content: { dnsNames: ["n1"], uris: ["x:y"] },
    usages: SERVER,
    want: /URI subjectAltNames/,
  },
  {
    name: "any client",
    signer: APISERVER_CLIENT,
    content: { commonName: "jane", organizations: ["dev"] },
    usages: ["client auth"],
  },
  {
    name: "a client that signs",
    signer: APISERVER_CLIENT,
    usages: ["client auth", "cert sign"],
    want: /invalid usage for client certificate: cert sign/,
  },
  {
    name: "a client without the usage",
    signer: APISERVER_CLIENT,
    usages: ["digital signature"],
    want: /missing required usage/,
  },
  { name: "anything", signer: LEGACY_UNKNOWN, content: { commonName: "" }, usages: ["server auth"] },
];
for (const { name, signer, content: own, usages, want } of rows) {
  test(`whyNotSigned() ${want === undefined ? "accepts" : "refuses"} ${name} for ${signer}`, () => {
    const why = whyNotSigned(signer, content(own), usages);
    if (want === undefined) assert.equal(why, undefined);
    else assert.match(why ?? "", want);
  });
}

const csr = (own: Partial<CertificateSigningRequest["spec"]> = {}, status = {}): CertificateSigningRequest => ({
  metadata: { name: "c", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: { request: "", signerName: KUBELET_CLIENT, usages: CLIENT, username: "system:node:n1", ...own },
  status,
});
test("approvalsFor() offers the narrow right to a node that asks for itself, the wide one to others, none to strangers", () => {
  const ways = (own: object, what = content()) => approvalsFor(csr(own), what).map(({ subresource }) => subresource);
  assert.deepEqual(ways({}), ["selfnodeclient", "nodeclient"]);
  assert.deepEqual(ways({ username: "system:bootstrap:abc" }), ["nodeclient"]);
  assert.deepEqual(ways({ signerName: APISERVER_CLIENT }), []);
  assert.deepEqual(ways({}, content({ commonName: "admin" })), []);
});

const start = Date.parse("2026-01-01T00:00:00Z");
const condition = (type: string) => ({
  conditions: [{ type, status: "True", lastUpdateTime: "2026-01-01T00:00:00Z" }],
});
const HOUR = 3_600_000;
const cleaning = [
  { name: "pending for an hour", status: {}, after: HOUR, want: false },
  { name: "pending for a day", status: {}, after: 24 * HOUR + 1, want: true },
  { name: "just denied", status: condition("Denied"), after: HOUR, want: false },
  { name: "denied an hour ago", status: condition("Denied"), after: HOUR + 1, want: true },
  { name: "failed an hour ago", status: condition("Failed"), after: HOUR + 1, want: true },
  { name: "approved a day ago and not signed", status: condition("Approved"), after: 25 * HOUR, want: false },
  { name: "issued an hour ago", status: { ...condition("Approved"), certificate: "x" }, after: HOUR + 1, want: true },
  { name: "expired", status: { ...condition("Approved"), certificate: "x" }, after: 100, ends: 50, want: true },
];
for (const { name, status, after, ends, want } of cleaning) {
  test(`isRequestOver() is ${want} when the request is ${name}`, () =>
    assert.equal(isRequestOver(csr({}, status), ends === undefined ? undefined : start + ends, start + after), want));
}
test("certificateTtlMs() gives what was asked for, within bounds", () => {
  assert.deepEqual(
    [undefined, 60, 7200, 99_999_999].map((s) => certificateTtlMs(s, 86_400_000)),
    [86_400_000, 600_000, 7_200_000, 86_400_000],
  );
});
