/** Every way of proving an identity that needs flags of its own, over HTTPS against a real API server. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TestPki } from "@knarr/testkit/test-pki.ts";
import { exportJWK, SignJWT } from "jose";
import { type CallOptions, type Json, useApiserver } from "./api-harness.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-authentication-"));
const pki = await TestPki.create(join(dir, "outside"), { commonName: "outside" });
const serving = await pki.issue("serving", { commonName: "localhost", ipAddresses: ["127.0.0.1"] });
const front = await pki.issue("front", { commonName: "front-proxy-client" });
const stranger = await pki.issue("stranger", { commonName: "stranger" });
const intruder = await pki.issue("intruder", { commonName: "kubernetes-admin", organizations: ["system:masters"] });
const oidcKeys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwk = { ...(await exportJWK(oidcKeys.publicKey)), kid: "k1", alg: "ES256", use: "sig" };

let issuerUrl = "";
const issuer = await listen((path) =>
  path === "/.well-known/openid-configuration" ? { issuer: issuerUrl, jwks_uri: `${issuerUrl}/keys` } : { keys: [jwk] },
);
issuerUrl = issuer.url;
const asked: Json[] = [];
const webhook = await listen((_path, review) => {
  asked.push(review);
  const isGood = review.spec.token === "webhook-token";
  const user = { username: "hooked", uid: "7", groups: ["by-webhook"], extra: { "example.com/a": ["1"] } };
  return { ...review, spec: undefined, status: isGood ? { authenticated: true, user } : { error: "who?" } };
});
after(() => {
  issuer.server.close();
  webhook.server.close();
  rmSync(dir, { recursive: true, force: true });
});

const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const indented = pki.caCert.trim().replaceAll("\n", "\n      ");
const authenticationConfig = file(
  "authentication.yaml",
  `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous: {enabled: true, conditions: [{path: /livez}, {path: /healthz}]}
jwt:
- issuer:
    url: ${issuerUrl}
    audiences: [knarr]
    certificateAuthority: |
      ${indented}
  claimMappings:
    username: {claim: sub, prefix: "oidc:"}
    groups: {claim: groups, prefix: "oidc:"}
`,
);
const webhookConfig = file(
  "webhook.conf",
  JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name: "w", cluster: { server: `${webhook.url}/review`, "certificate-authority": pki.path("ca.crt") } },
    ],
    users: [{ name: "w", user: {} }],
    contexts: [{ name: "w", context: { cluster: "w", user: "w" } }],
    "current-context": "w",
  }),
);
const h = useApiserver({
  args: [
    `--authentication-config=${authenticationConfig}`,
    `--authentication-token-webhook-config-file=${webhookConfig}`,
    `--token-auth-file=${file("tokens.csv", 'static-token,stan,42,"a,b"\n')}`,
    "--enable-bootstrap-token-auth",
    `--requestheader-client-ca-file=${pki.path("ca.crt")}`,
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-uid-headers=X-Remote-Uid",
    "--service-account-issuer=https://old.example",
  ],
});

async function listen(answer: (path: string, body: Json) => unknown): Promise<{ server: Server; url: string }> {
  const server = createServer({ cert: serving.cert, key: serving.key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(answer(request.url ?? "", text === "" ? undefined : JSON.parse(text))));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Who the server takes the sender for; a number is the status of a refusal. */
async function whoAmI(options: CallOptions): Promise<Json> {
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  const answer = await h.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", { body, ...options });
  return answer.status === 201 ? answer.body.status.userInfo : answer.status;
}
const bearer = (token: string): CallOptions => ({ anonymous: true, headers: { authorization: `Bearer ${token}` } });
const withCertificate = (pair: { cert: string; key: string }, headers: Record<string, string> = {}): CallOptions => ({
  as: { ...h.api.admin, ...pair },
  headers,
});

test("JWT issuers of the configuration are believed, by discovery over their own CA", async () => {
  const sign = (claims: Json) =>
    new SignJWT({ iss: issuerUrl, aud: "knarr", sub: "zoe", groups: ["dev"], ...claims })
      .setProtectedHeader({ alg: "ES256", kid: "k1" })
      .setExpirationTime("5m")
      .sign(oidcKeys.privateKey);
  const zoe = await whoAmI(bearer(await sign({})));
  assert.equal(zoe.username, "oidc:zoe");
  assert.deepEqual(zoe.groups, ["oidc:dev", "system:authenticated"]);
  assert.equal(await whoAmI(bearer(await sign({ aud: "else" }))), 401);
  assert.equal(await whoAmI(bearer(await sign({ iss: "https://else.example" }))), 401);
});

test("the token webhook is asked about what nobody else knows, and its answer is remembered", async () => {
  const hooked = await whoAmI(bearer("webhook-token"));
  assert.equal(hooked.username, "hooked");
  assert.equal(hooked.uid, "7");
  assert.deepEqual(hooked.groups, ["by-webhook", "system:authenticated"]);
  assert.deepEqual(hooked.extra, { "example.com/a": ["1"] });
  const before = asked.length;
  await whoAmI(bearer("webhook-token"));
  assert.equal(asked.length, before);
  assert.equal(asked.at(-1).apiVersion, "authentication.k8s.io/v1beta1");
  assert.equal(await whoAmI(bearer("nonsense")), 401);
});

test("static and bootstrap tokens are users, and no token is ever logged", async () => {
  const stan = await whoAmI(bearer("static-token"));
  assert.deepEqual(stan, { username: "stan", uid: "42", groups: ["a", "b", "system:authenticated"] });
  const data = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "auth-extra-groups": "system:bootstrappers:workers",
  };
  const secret = {
    metadata: { name: "bootstrap-token-abcdef" },
    type: "bootstrap.kubernetes.io/token",
    stringData: data,
  };
  await h.create("/api/v1/namespaces/kube-system/secrets", secret);
  const joining = await whoAmI(bearer("abcdef.0123456789abcdef"));
  assert.equal(joining.username, "system:bootstrap:abcdef");
  assert.deepEqual(joining.groups, ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"]);
  assert.equal(await whoAmI(bearer("abcdef.0123456789abcdee")), 401);
  const written = h.api.output + readFileSync(join(h.api.dir, "audit.log"), "utf8");
  for (const token of ["static-token", "0123456789abcdef", "webhook-token"]) {
    assert.equal(written.includes(token), false, `${token} was logged`);
  }
});

test("a front proxy speaks for others; its CA makes no users of its own", async () => {
  const headers = {
    "x-remote-user": "fred",
    "x-remote-group": "dev",
    "x-remote-uid": "9",
    "x-remote-extra-scope": "s",
  };
  const fred = await whoAmI(withCertificate(front, headers));
  assert.equal(fred.username, "fred");
  assert.equal(fred.uid, "9");
  assert.deepEqual(fred.groups, ["dev", "system:authenticated"]);
  assert.deepEqual(fred.extra, { scope: ["s"] });
  assert.equal(await whoAmI(withCertificate(stranger, headers)), 401, "not an allowed name");
  assert.equal(await whoAmI(withCertificate(intruder)), 401, "no user by the proxy's CA");
  const admin = await whoAmI({ headers });
  assert.equal(admin.username, "kubernetes-admin", "a client's own headers mean nothing");
});

test("anonymous requests are let in on the configured paths only", async () => {
  assert.equal((await h.call("GET", "/livez", { anonymous: true })).status, 200);
  assert.equal((await h.call("GET", "/api", { anonymous: true })).status, 401);
});

test("tokens of every issuer that the flags name are good; the first signs", async () => {
  await h.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "robot" } });
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const path = "/api/v1/namespaces/default/serviceaccounts/robot/token";
  const { status } = await h.create(path, request);
  const claims = JSON.parse(Buffer.from(status.token.split(".")[1], "base64url").toString());
  assert.equal(claims.iss, "https://kubernetes.default.svc.cluster.local");
  const robot = await whoAmI(bearer(status.token));
  assert.equal(robot.username, "system:serviceaccount:default:robot");
  const discovery = await h.call("GET", "/.well-known/openid-configuration");
  assert.equal(discovery.body.issuer, claims.iss);
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token: status.token } };
  const reviewed = await h.create("/apis/authentication.k8s.io/v1/tokenreviews", review);
  assert.equal(reviewed.status.authenticated, true);
  assert.equal(reviewed.status.user.username, "system:serviceaccount:default:robot");
});

test("extension API servers find in a ConfigMap how to tell who asks them", async () => {
  const path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
  const deadlineMs = Date.now() + 60_000;
  let answer = await h.call("GET", path);
  // Written by a loop of its own soon after the start.
  while (answer.status === 404 && Date.now() < deadlineMs) {
    await sleep(100);
    answer = await h.call("GET", path);
  }
  const { data } = answer.body;
  assert.equal(data["requestheader-client-ca-file"], pki.caCert);
  assert.equal(data["requestheader-allowed-names"], '["front-proxy-client"]');
  assert.equal(data["requestheader-username-headers"], '["X-Remote-User"]');
  assert.match(data["client-ca-file"], /BEGIN CERTIFICATE/);
});
