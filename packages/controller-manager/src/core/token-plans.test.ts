import assert from "node:assert/strict";
import { test } from "node:test";
import type { Secret, ServiceAccount } from "@knarr/api/generated/types/core-v1.ts";
import { ttlSeconds, ttlStep } from "./node-ttl-plan.ts";
import { contains, mayDelete } from "./service-cidr-plan.ts";
import {
  belongsTo,
  fillToken,
  type LegacyTokenPlan,
  legacyClaims,
  planLegacyToken,
  signClusterInfo,
  signingTokens,
  tokenLeftMs,
} from "./token-plans.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const account: ServiceAccount = { metadata: { namespace: "default", name: "robot", uid: "u1" } };
const secret = (annotations = {}, data: Record<string, string> = {}, labels = {}): Secret => ({
  metadata: {
    namespace: "default",
    name: "robot-token",
    labels,
    creationTimestamp: "2026-01-01T00:00:00Z",
    annotations: { "kubernetes.io/service-account.name": "robot", ...annotations },
  },
  type: "kubernetes.io/service-account-token",
  data,
});

const owners = [
  { name: "no uid", annotations: {}, want: true },
  { name: "the account's uid", annotations: { "kubernetes.io/service-account.uid": "u1" }, want: true },
  { name: "an older account's uid", annotations: { "kubernetes.io/service-account.uid": "u0" }, want: false },
  { name: "another name", annotations: { "kubernetes.io/service-account.name": "x" }, want: false },
];
for (const { name, annotations, want } of owners) {
  test(`belongsTo() is ${want} when the Secret has ${name}`, () =>
    assert.equal(belongsTo(secret(annotations), account), want));
}

test("fillToken() adds what is missing, keeps the token there is, and leaves full ones alone", () => {
  const makeToken = () => "new";
  const full = fillToken(secret(), account, { rootCa: "CA", makeToken });
  assert.deepEqual(full?.data, { token: base64("new"), namespace: base64("default"), "ca.crt": base64("CA") });
  assert.equal(full?.metadata.annotations?.["kubernetes.io/service-account.uid"], "u1");
  assert.equal(fillToken(full ?? secret(), account, { rootCa: "CA", makeToken }), undefined);
  const renewed = fillToken(full ?? secret(), account, { rootCa: "CA2", makeToken: () => "other" });
  assert.deepEqual([renewed?.data?.token, renewed?.data?.["ca.crt"]], [base64("new"), base64("CA2")]);
});

test("legacyClaims() names account and Secret as the API server reads them", () => {
  assert.deepEqual(legacyClaims(secret(), account), {
    iss: "kubernetes/serviceaccount",
    "kubernetes.io/serviceaccount/namespace": "default",
    "kubernetes.io/serviceaccount/secret.name": "robot-token",
    "kubernetes.io/serviceaccount/service-account.name": "robot",
    "kubernetes.io/serviceaccount/service-account.uid": "u1",
    sub: "system:serviceaccount:default:robot",
  });
});

const YEAR = 365 * 86_400_000;
const nowMs = Date.parse("2028-01-01T00:00:00Z");
const legacyRows: { name: string; labels?: object; own?: object; want: LegacyTokenPlan }[] = [
  { name: "unused since before tracking began", want: "mark" },
  { name: "made by hand", own: { isListed: false }, want: "keep" },
  { name: "mounted by a pod", own: { isMounted: true }, want: "keep" },
  { name: "used last month", labels: { "kubernetes.io/legacy-token-last-used": "2027-12-01" }, want: "keep" },
  {
    name: "marked, then used",
    labels: {
      "kubernetes.io/legacy-token-last-used": "2027-12-01",
      "kubernetes.io/legacy-token-invalid-since": "2027-06-01",
    },
    want: "unmark",
  },
  { name: "marked not long ago", labels: { "kubernetes.io/legacy-token-invalid-since": "2027-06-01" }, want: "keep" },
  {
    name: "marked for over a year",
    labels: { "kubernetes.io/legacy-token-invalid-since": "2026-12-01" },
    want: "delete",
  },
  { name: "not tracked for long", own: { trackedSince: "2027-12-01" }, want: "keep" },
];
for (const { name, labels = {}, own = {}, want } of legacyRows) {
  test(`planLegacyToken() says ${want} when the token is ${name}`, () => {
    const of = { isListed: true, isMounted: false, trackedSince: "2026-01-01", unusedMs: YEAR, nowMs, ...own };
    assert.equal(planLegacyToken(secret({}, {}, labels), of), want);
  });
}

const bootstrap = (data: Record<string, string>, name = "bootstrap-token-abcdef"): Secret => ({
  metadata: { namespace: "kube-system", name },
  type: "bootstrap.kubernetes.io/token",
  data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, base64(text)])),
});
const token = { "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true" };

test("tokenLeftMs() is undefined without an end and 0 after it, or when it can't be read", () => {
  const left = (expiration?: string) => tokenLeftMs(bootstrap(expiration === undefined ? {} : { expiration }), nowMs);
  assert.deepEqual(
    [left(), left("2028-01-01T00:00:05Z"), left("2027-01-01T00:00:00Z"), left("soon")],
    [undefined, 5000, 0, 0],
  );
});

test("signClusterInfo() has a signature per usable token, and drops those of others", () => {
  const usable = [
    bootstrap(token),
    bootstrap({ ...token, "token-id": "expird", expiration: "2020-01-01T00:00:00Z" }, "bootstrap-token-expird"),
    bootstrap({ ...token, "token-id": "silent", "usage-bootstrap-signing": "false" }, "bootstrap-token-silent"),
    bootstrap(token, "another-name"),
  ];
  const info = { metadata: {}, data: { kubeconfig: "K", "jws-kubeconfig-oldold": "x" } };
  const sign = (text: string, id: string, key: string) => `${text}/${id}/${key}`;
  const signed = signClusterInfo(info, signingTokens(usable, nowMs), sign);
  assert.deepEqual(signed?.data, { kubeconfig: "K", "jws-kubeconfig-abcdef": "K/abcdef/0123456789abcdef" });
  assert.equal(signClusterInfo(signed ?? info, signingTokens(usable, nowMs), sign), undefined);
});

test("ttlStep() follows the number of nodes and doesn't waver at a bound", () => {
  const seconds = (nodes: number, step = 0) => ttlSeconds(ttlStep(nodes, step));
  assert.deepEqual(
    [1, 100, 101, 501, 1001, 2001, 10_001].map((n) => seconds(n)),
    [0, 0, 15, 30, 60, 300, 600],
  );
  assert.deepEqual(
    [95, 89].map((n) => seconds(n, 1)),
    [15, 0],
  );
});

const ranges = [
  { range: "10.96.0.0/12", address: "10.96.0.1", want: true },
  { range: "10.96.0.0/12", address: "10.112.0.1", want: false },
  { range: "fd00::/108", address: "fd00::f:ffff", want: true },
  { range: "fd00::/108", address: "fd00::10:0", want: false },
  { range: "10.0.0.0/8", address: "fd00::1", want: false },
];
for (const { range, address, want } of ranges) {
  test(`contains() is ${want} for ${address} in ${range}`, () => assert.equal(contains(range, address), want));
}
test("mayDelete() lets a range go when its addresses are in others too", () => {
  const cidr = (name: string, ...cidrs: string[]) => ({ metadata: { name }, spec: { cidrs } });
  const [small, wide] = [cidr("s", "10.0.0.0/24"), cidr("w", "10.0.0.0/16")];
  assert.equal(mayDelete(small, [], ["10.1.0.1"]), true);
  assert.equal(mayDelete(small, [], ["10.0.0.1"]), false);
  assert.equal(mayDelete(small, [wide], ["10.0.0.1"]), true);
});
