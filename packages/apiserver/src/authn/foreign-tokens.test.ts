/** JWT issuers, the front proxy, the token webhook and the file that configures them. */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, type X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import type { TokenReview } from "@knarr/api/generated/types/authentication-v1.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { exportJWK, SignJWT } from "jose";
import type { Webhook } from "../webhook-client.ts";
import { parseAuthenticationConfiguration } from "./authentication-configuration.ts";
import type { CaBundle } from "./ca-bundle.ts";
import { FrontProxyAuthenticator } from "./front-proxy.ts";
import { JwtIssuerAuthenticator, type JwtIssuerOptions } from "./jwt-issuer.ts";
import { type JwtFlags, readAuthenticationSettings } from "./jwt-settings.ts";
import { RequestAuthenticator } from "./request-authenticator.ts";
import { AuthenticationError } from "./types.ts";
import { WebhookTokenAuthenticator } from "./webhook-token.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
let nowMs = 0;
const clock = { ...systemClock, now: () => NOW, monotonicMs: () => nowMs };

describe("JwtIssuerAuthenticator", () => {
  const own = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keysFor = async () => ({
    keys: [{ ...(await exportJWK(own.publicKey)), kid: "k1", alg: "RS256", use: "sig" }],
  });
  const options: JwtIssuerOptions = {
    issuer: "https://issuer.example",
    audiences: ["knarr", "other"],
    algorithms: ["RS256"],
    username: { claim: "sub", prefix: "oidc:" },
    groups: { claim: "roles", prefix: "g:" },
    uidClaim: "oid",
    requiredClaims: [],
    keys: { keysFor },
    clock,
  };
  const sign = (claims: Record<string, unknown>, key: KeyObject = own.privateKey) =>
    new SignJWT({ iss: options.issuer, aud: "knarr", exp: NOW / 1000 + 60, sub: "zoe", ...claims })
      .setProtectedHeader({ alg: "RS256", kid: "k1" })
      .sign(key);
  const tell = async (token: string, changes: Partial<JwtIssuerOptions> = {}) =>
    await new JwtIssuerAuthenticator({ ...options, ...changes }).authenticateToken(token, []);

  test("maps claims to a user", async () => {
    const found = await tell(await sign({ roles: ["dev", "ops"], oid: "u-1", jti: "t" }));
    assert.deepEqual(found?.user, {
      name: "oidc:zoe",
      uid: "u-1",
      groups: ["g:dev", "g:ops"],
      extra: { "authentication.kubernetes.io/credential-id": ["JTI=t"] },
    });
  });
  test("leaves other issuers' tokens to others", async () => {
    assert.equal(await tell(await sign({ iss: "https://else.example" })), undefined);
    assert.equal(await tell("no.jwt"), undefined);
  });
  for (const [name, token, changes, want] of [
    ["another key", sign({}, other.privateKey), {}, /verify token/],
    ["another audience", sign({ aud: "somebody" }), {}, /unexpected "aud"/],
    ["an expired token", sign({ exp: NOW / 1000 - 1 }), {}, /"exp" claim timestamp check failed/],
    ["a token that never expires", sign({ exp: undefined }), {}, /missing required "exp"/],
    ["a token of the future", sign({ nbf: NOW / 1000 + 60 }), {}, /"nbf" claim/],
    ["another algorithm", sign({}), { algorithms: ["ES256"] }, /"alg" .* not allowed/],
    [
      "no name",
      sign({}),
      { username: { claim: "name", prefix: "" } },
      /parse username claims "name": claim not present/,
    ],
    ["a name that is none", sign({ sub: 7 as never }), {}, /is not a string|"sub"/],
    [
      "an unconfirmed address",
      sign({ email: "z@x", email_verified: false }),
      { username: { claim: "email", prefix: "" } },
      /email not verified/,
    ],
    ["a missing claim", sign({}), { requiredClaims: [{ claim: "org", value: "a" }] }, /required claim org not present/],
    [
      "a claim of another value",
      sign({ org: "b" }),
      { requiredClaims: [{ claim: "org", value: "a" }] },
      /Got = b, want = a/,
    ],
    ["groups that are none", sign({ roles: [1] }), {}, /must be a string or a list of strings/],
  ] as const) {
    test(`refuses ${name}`, async () => {
      await assert.rejects(tell(await token, changes as Partial<JwtIssuerOptions>), (error) => {
        assert.ok(error instanceof AuthenticationError);
        assert.match(error.message, want);
        return true;
      });
    });
  }
});

describe("FrontProxyAuthenticator", () => {
  const x509 = {} as X509Certificate;
  const cas = { vouchesFor: (certificate: X509Certificate) => certificate === x509 } as CaBundle;
  const proxy = new FrontProxyAuthenticator({
    cas,
    allowedNames: ["front"],
    usernameHeaders: ["X-Remote-User"],
    uidHeaders: ["X-Remote-Uid"],
    groupHeaders: ["X-Remote-Group"],
    extraHeaderPrefixes: ["X-Remote-Extra-"],
  });
  const ask = (headers: Record<string, string[]>, certificate = x509, name = "front") =>
    proxy.authenticate({
      x509: certificate,
      certificate: { subject: { CN: name } as never },
      headers: () => new Map(Object.entries(headers)),
    });
  test("takes the user from the headers", async () => {
    const headers = {
      "x-remote-user": ["zoe"],
      "x-remote-uid": ["7"],
      "x-remote-group": ["a", "b"],
      "x-remote-extra-acme.com%2fproject": ["p1", "p2"],
    };
    assert.deepEqual(structuredClone((await ask(headers))?.user), {
      name: "zoe",
      uid: "7",
      groups: ["a", "b"],
      extra: { "acme.com/project": ["p1", "p2"] },
    });
  });
  test("believes nobody else's headers", async () => {
    assert.equal(await ask({ "x-remote-user": ["zoe"] }, {} as X509Certificate), undefined);
    assert.equal(await ask({}), undefined);
    assert.throws(() => ask({ "x-remote-user": ["zoe"] }, x509, "mallory"), /cn=mallory is not in the allowed list/);
  });
});

describe("WebhookTokenAuthenticator", () => {
  const answering = (status: TokenReview["status"]) => {
    const asked: TokenReview[] = [];
    const webhook: Webhook = {
      async post<T>(review: T): Promise<T> {
        asked.push(review as TokenReview);
        return { ...review, status } as T;
      },
    };
    const options = { webhook, version: "v1", cacheTtlMs: 1000, audiences: ["api"], clock } as const;
    return { asked, authenticator: new WebhookTokenAuthenticator(options) };
  };
  test("asks once, and again when the answer is old", async () => {
    nowMs = 0;
    const { asked, authenticator } = answering({ authenticated: true, user: { username: "zoe", groups: ["g"] } });
    const found = await authenticator.authenticateToken("t", []);
    assert.equal(found?.user.name, "zoe");
    assert.deepEqual(found?.audiences, ["api"]);
    await authenticator.authenticateToken("t", []);
    assert.deepEqual(asked[0]?.spec, { token: "t", audiences: ["api"] });
    assert.equal(asked.length, 1);
    nowMs = 1001;
    await authenticator.authenticateToken("t", []);
    assert.equal(asked.length, 2);
  });
  test("refuses what the webhook refuses, or what is meant for others", async () => {
    await assert.rejects(answering({ error: "expired" }).authenticator.authenticateToken("t", []), /expired/);
    assert.equal(await answering({}).authenticator.authenticateToken("t", []), undefined);
    const others = answering({ authenticated: true, user: { username: "z" }, audiences: ["vault"] });
    assert.equal(await others.authenticator.authenticateToken("t", []), undefined);
  });
  test("is no answer when the webhook is away", async () => {
    const webhook = { post: () => Promise.reject(new Error("refused")) };
    const options = { webhook, version: "v1", cacheTtlMs: 1000, audiences: [], clock } as const;
    await assert.rejects(new WebhookTokenAuthenticator(options).authenticateToken("t", []), AuthenticationError);
  });
});

test("RequestAuthenticator lets anonymous requests in only where it is told", async () => {
  const onPaths = new RequestAuthenticator([], { anonymous: { enabled: true, paths: ["/livez"] } });
  assert.equal((await onPaths.authenticate({ path: "/livez" }))?.user.name, "system:anonymous");
  assert.equal(await onPaths.authenticate({ path: "/api" }), undefined);
  assert.equal(await onPaths.authenticate({}), undefined);
});

describe("parseAuthenticationConfiguration()", () => {
  const HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
  const ISSUER =
    "jwt: [{issuer: {url: 'https://i', audiences: [a]}, claimMappings: {username: {claim: sub, prefix: ''}}}]";
  test("reads issuers and anonymous paths", () => {
    const read = parseAuthenticationConfiguration(
      `${HEAD}${ISSUER}\nanonymous: {enabled: true, conditions: [{path: /livez}]}`,
    );
    assert.deepEqual(read.anonymous, { enabled: true, paths: ["/livez"] });
    assert.equal(read.issuers[0]?.issuer, "https://i");
    assert.deepEqual(read.issuers[0]?.username, { claim: "sub", prefix: "" });
    assert.equal(read.issuers[0]?.groups, undefined);
  });
  for (const [name, text, want] of [
    ["another kind", "kind: Other", /must be AuthenticationConfiguration/],
    ["a plain URL", HEAD + ISSUER.replace("https", "http"), /jwt\[0\].issuer.url: URL scheme must be https/],
    ["no audience", HEAD + ISSUER.replace("[a]", "[]"), /audiences is required/],
    ["two audiences without a policy", HEAD + ISSUER.replace("[a]", "[a, b]"), /must be MatchAny/],
    ["no prefix", HEAD + ISSUER.replace(", prefix: ''", ""), /prefix is required when claim is set/],
    [
      "an expression",
      HEAD + ISSUER.replace("claim: sub, prefix: ''", "expression: claims.sub"),
      /expressions need CEL/,
    ],
    ["an unknown field", HEAD + ISSUER.replace("issuer:", "colour: 1, issuer:"), /unknown field "colour"/],
    [
      "conditions without being on",
      `${HEAD}anonymous: {enabled: false, conditions: [{path: /a}]}`,
      /should be set to true/,
    ],
    ["one issuer twice", HEAD + ISSUER.replace(/\[(\{issuer.*)\]$/, "[$1, $1]"), /Duplicate value: "https:\/\/i"/],
  ] as const) {
    test(`refuses ${name}`, () => assert.throws(() => parseAuthenticationConfiguration(text), want));
  }
});

describe("readAuthenticationSettings()", () => {
  const flags: JwtFlags = {
    authenticationConfig: "",
    oidcIssuerUrl: "https://i",
    oidcClientId: "c",
    oidcUsernameClaim: "sub",
    oidcUsernamePrefix: "",
    oidcGroupsClaim: "groups",
    oidcGroupsPrefix: "oidc:",
    oidcSigningAlgs: ["RS256"],
    oidcCaFile: "",
    oidcRequiredClaim: { org: "a" },
  };
  const username = async (changes: Partial<JwtFlags>) =>
    (await readAuthenticationSettings({ ...flags, ...changes })).issuers[0]?.username;
  test("makes one issuer of the flags, with upstream's prefixes", async () => {
    assert.deepEqual(await username({}), { claim: "sub", prefix: "https://i#" });
    assert.deepEqual(await username({ oidcUsernameClaim: "email" }), { claim: "email", prefix: "" });
    assert.deepEqual(await username({ oidcUsernamePrefix: "-" }), { claim: "sub", prefix: "" });
    const [issuer] = (await readAuthenticationSettings(flags)).issuers;
    assert.deepEqual(issuer?.requiredClaims, [{ claim: "org", value: "a" }]);
  });
  test("refuses half of the flags, and flags beside a file", async () => {
    await assert.rejects(username({ oidcClientId: "" }), /must be specified together/);
    await assert.rejects(username({ authenticationConfig: "x" }), /mutually exclusive/);
    await assert.rejects(username({ oidcSigningAlgs: ["none"] }), /unknown algorithm "none"/);
  });
});
