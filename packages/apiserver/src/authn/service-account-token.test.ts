import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import type { StatusError } from "@knarr/apimachinery/status-error.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { decodeJwt, decodeProtectedHeader, SignJWT } from "jose";
import { TokenIssuer, type TokenIssuerOptions } from "./issue-token.ts";
import { jsonWebKeySet, openidConfiguration } from "./openid.ts";
import { parseSigningKey, parseVerificationKeys } from "./service-account-keys.ts";
import { ServiceAccountTokenAuthenticator } from "./service-account-token.ts";
import type { BoundPod, BoundSecret, TokenObjects } from "./token-objects.ts";

const ISSUER = "https://kubernetes.default.svc.cluster.local";
const rsaPem = generateKeyPairSync("rsa", { modulusLength: 2048 })
  .privateKey.export({ type: "pkcs1", format: "pem" })
  .toString();
const ecPem = generateKeyPairSync("ec", { namedCurve: "P-256" })
  .privateKey.export({ type: "sec1", format: "pem" })
  .toString();
const ACCOUNT = { namespace: "shop", name: "web" };

interface World {
  accountUid: string | undefined;
  accountDeletionMs: number | undefined;
  pod: BoundPod | undefined;
  nodeUid: string | undefined;
  secret: BoundSecret | undefined;
}

function server(pem = rsaPem, options: Partial<TokenIssuerOptions> = {}) {
  const clock = new FakeClock();
  const world: World = {
    accountUid: "sa-uid",
    accountDeletionMs: undefined,
    pod: { uid: "pod-uid", deletionMs: undefined, serviceAccountName: "web", nodeName: "n1" },
    nodeUid: "node-uid",
    secret: { uid: "secret-uid", deletionMs: undefined, type: "Opaque", token: Buffer.alloc(0), data: {} },
  };
  const objects: TokenObjects = {
    serviceAccount: async () =>
      world.accountUid === undefined ? undefined : { uid: world.accountUid, deletionMs: world.accountDeletionMs },
    pod: async () => world.pod,
    node: async () => (world.nodeUid === undefined ? undefined : { uid: world.nodeUid, deletionMs: undefined }),
    secret: async () => world.secret,
  };
  const key = parseSigningKey(pem);
  const issuer = new TokenIssuer({ issuer: ISSUER, key, audiences: [ISSUER], objects, clock, ...options });
  const keys = [...parseVerificationKeys(rsaPem), ...parseVerificationKeys(ecPem)];
  const tokens = new ServiceAccountTokenAuthenticator({ issuers: [ISSUER], audiences: [ISSUER], keys, objects, clock });
  const issue = async (spec: object = {}) =>
    (await issuer.issue(ACCOUNT, { metadata: {}, spec })).request.status?.token ?? "";
  return { clock, world, issuer, tokens, issue, key, keys };
}

const POD_REF = { boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "web-1" } };

for (const [name, pem, algorithm] of [
  ["RSA", rsaPem, "RS256"],
  ["P-256", ecPem, "ES256"],
] as const) {
  test(`a token of a ${name} key is good and says who it is`, async () => {
    const { tokens, issue, key } = server(pem);
    const token = await issue(POD_REF);
    assert.deepEqual(decodeProtectedHeader(token), { alg: algorithm, kid: key.keyId });
    const claims = decodeJwt(token);
    assert.equal(claims.sub, "system:serviceaccount:shop:web");
    assert.deepEqual(claims.aud, [ISSUER]);
    assert.deepEqual(claims["kubernetes.io"], {
      namespace: "shop",
      node: { name: "n1", uid: "node-uid" },
      pod: { name: "web-1", uid: "pod-uid" },
      serviceaccount: { name: "web", uid: "sa-uid" },
    });
    const found = await tokens.authenticateToken(token, []);
    assert.deepEqual(found, {
      user: {
        name: "system:serviceaccount:shop:web",
        uid: "sa-uid",
        groups: ["system:serviceaccounts", "system:serviceaccounts:shop"],
        extra: {
          "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`],
          "authentication.kubernetes.io/pod-name": ["web-1"],
          "authentication.kubernetes.io/pod-uid": ["pod-uid"],
          "authentication.kubernetes.io/node-name": ["n1"],
          "authentication.kubernetes.io/node-uid": ["node-uid"],
        },
      },
      audiences: [ISSUER],
    });
  });
}

describe("ServiceAccountTokenAuthenticator.authenticateToken() refuses", () => {
  const rows: readonly { name: string; spec?: object; change: (s: ReturnType<typeof server>) => void; why: RegExp }[] =
    [
      { name: "an expired token", change: (s) => s.clock.jump(3_600_000 + 61_000), why: /has expired/ },
      { name: "a token of the future", change: (s) => s.clock.jump(-61_000), why: /not valid yet/ },
      {
        name: "a deleted account",
        change: (s) => {
          s.world.accountUid = undefined;
        },
        why: /service account shop\/web has been deleted/,
      },
      {
        name: "an account made anew",
        change: (s) => {
          s.world.accountUid = "new";
        },
        why: /service account UID \(new\) does not match claim \(sa-uid\)/,
      },
      {
        name: "a token whose pod is gone",
        spec: POD_REF,
        change: (s) => {
          s.world.pod = undefined;
        },
        why: /has been invalidated/,
      },
      {
        name: "a token whose pod was made anew",
        spec: POD_REF,
        change: (s) => {
          s.world.pod = { uid: "other", deletionMs: undefined, serviceAccountName: "web", nodeName: "n1" };
        },
        why: /pod UID \(other\) does not match/,
      },
      {
        name: "a token whose pod should have ended a minute ago",
        spec: POD_REF,
        change: (s) => {
          s.world.pod = {
            uid: "pod-uid",
            deletionMs: s.clock.now() - 61_000,
            serviceAccountName: "web",
            nodeName: "n1",
          };
        },
        why: /has been invalidated/,
      },
      {
        name: "a token whose node is gone",
        spec: { boundObjectRef: { apiVersion: "v1", kind: "Node", name: "n1" } },
        change: (s) => {
          s.world.nodeUid = undefined;
        },
        why: /has been invalidated/,
      },
      {
        name: "a token whose Secret is gone",
        spec: { boundObjectRef: { apiVersion: "v1", kind: "Secret", name: "s" } },
        change: (s) => {
          s.world.secret = undefined;
        },
        why: /has been invalidated/,
      },
      {
        name: "a token for others",
        spec: { audiences: ["vault"] },
        change: () => {},
        why: /token audiences \["vault"\] is invalid/,
      },
    ];
  for (const row of rows) {
    test(row.name, async () => {
      const s = server();
      const token = await s.issue(row.spec);
      row.change(s);
      await assert.rejects(s.tokens.authenticateToken(token, []), row.why);
    });
  }

  test("a bound object's deletion at once, although the signature is remembered", async () => {
    const s = server();
    const token = await s.issue(POD_REF);
    await s.tokens.authenticateToken(token, []);
    s.world.pod = undefined;
    await assert.rejects(s.tokens.authenticateToken(token, []), /invalidated/);
  });

  test("a forged or altered signature", async () => {
    const s = server();
    const stranger = parseSigningKey(
      generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    );
    const forged = await new SignJWT({ ...decodeJwt(await s.issue()) })
      .setProtectedHeader({ alg: "ES256", kid: s.key.keyId })
      .sign(stranger.privateKey);
    await assert.rejects(s.tokens.authenticateToken(forged, []), /signature/);
    const [head, , signature] = (await s.issue()).split(".");
    const altered = `${head}.${Buffer.from(JSON.stringify({ iss: ISSUER, sub: "x" })).toString("base64url")}.${signature}`;
    await assert.rejects(s.tokens.authenticateToken(altered, []), /signature/);
  });

  test("algorithms that the key is not for", async () => {
    const s = server();
    const payload = Buffer.from(JSON.stringify(decodeJwt(await s.issue()))).toString("base64url");
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${payload}.`;
    await assert.rejects(s.tokens.authenticateToken(unsigned, []), /signature/);
    const publicPem = s.key.key.export({ type: "spki", format: "pem" }).toString();
    const confused = await new SignJWT(decodeJwt(await s.issue()))
      .setProtectedHeader({ alg: "HS256", kid: s.key.keyId })
      .sign(new TextEncoder().encode(publicPem));
    await assert.rejects(s.tokens.authenticateToken(confused, []), /signature/);
  });

  test("nothing that is not its own: other issuers and no JWTs are left to others", async () => {
    const s = server();
    const other = await new SignJWT({})
      .setIssuer("https://else")
      .setProtectedHeader({ alg: "RS256" })
      .sign(s.key.privateKey);
    assert.equal(await s.tokens.authenticateToken(other, []), undefined);
    assert.equal(await s.tokens.authenticateToken("abcdef.0123456789abcdef", []), undefined);
  });
});

test("authenticateToken() accepts the audiences that are asked for", async () => {
  const s = server();
  const token = await s.issue({ audiences: ["vault", ISSUER] });
  assert.deepEqual((await s.tokens.authenticateToken(token, ["vault"]))?.audiences, ["vault"]);
});

test("authenticateToken() accepts a legacy token while its Secret holds it", async () => {
  const s = server();
  const claims = (name: string) => ({
    "kubernetes.io/serviceaccount/namespace": "shop",
    "kubernetes.io/serviceaccount/secret.name": "web-token",
    "kubernetes.io/serviceaccount/service-account.name": name,
    "kubernetes.io/serviceaccount/service-account.uid": "sa-uid",
  });
  const token = await new SignJWT(claims("web"))
    .setIssuer("kubernetes/serviceaccount")
    .setSubject("system:serviceaccount:shop:web")
    .setProtectedHeader({ alg: "RS256" })
    .sign(s.key.privateKey);
  s.world.secret = { uid: "u", deletionMs: undefined, type: "t", token: Buffer.from(token), data: {} };
  assert.equal((await s.tokens.authenticateToken(token, []))?.user.name, "system:serviceaccount:shop:web");
  s.world.secret = { ...s.world.secret, token: Buffer.from("other") };
  await assert.rejects(s.tokens.authenticateToken(token, []), /does not match server's copy/);
});

describe("TokenIssuer.issue()", () => {
  const refusals: readonly {
    name: string;
    spec: object;
    change?: (w: World) => void;
    code: number;
    message: string | RegExp;
  }[] = [
    {
      name: "too short a life",
      spec: { expirationSeconds: 599 },
      code: 422,
      message:
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes',
    },
    {
      name: "too long a life",
      spec: { expirationSeconds: 2 ** 32 + 1 },
      code: 422,
      message: /larger than 2\^32 seconds/,
    },
    {
      name: "a pod of another account",
      spec: POD_REF,
      change: (w) => {
        w.pod = { uid: "p", deletionMs: undefined, serviceAccountName: "db", nodeName: "" };
      },
      code: 400,
      message: 'cannot bind token for serviceaccount "web" to pod running with different serviceaccount name.',
    },
    {
      name: "a pod that does not exist",
      spec: POD_REF,
      change: (w) => {
        w.pod = undefined;
      },
      code: 404,
      message: 'pods "web-1" not found',
    },
    {
      name: "another pod of that name",
      spec: { boundObjectRef: { ...POD_REF.boundObjectRef, uid: "old" } },
      code: 409,
      message: /the UID in the bound object reference \(old\) does not match the UID in record/,
    },
    {
      name: "another kind of object",
      spec: { boundObjectRef: { apiVersion: "v1", kind: "ConfigMap", name: "x" } },
      code: 400,
      message: "cannot bind token to object of type /v1, Kind=ConfigMap",
    },
    {
      name: "an account that does not exist",
      spec: {},
      change: (w) => {
        w.accountUid = undefined;
      },
      code: 404,
      message: 'serviceaccounts "web" not found',
    },
  ];
  for (const row of refusals) {
    test(`refuses ${row.name}`, async () => {
      const s = server();
      row.change?.(s.world);
      await assert.rejects(s.issue(row.spec), (error: StatusError) => {
        assert.equal(error.code, row.code);
        if (typeof row.message === "string") assert.equal(error.message, row.message);
        else assert.match(error.message, row.message);
        return true;
      });
    });
  }

  test("lets a kubelet's default token live a year and notes the life asked for", async () => {
    const s = server();
    const { request } = await s.issuer.issue(ACCOUNT, { metadata: {}, spec: { ...POD_REF, expirationSeconds: 3_607 } });
    const now = s.clock.now() / 1000;
    const claims = decodeJwt(request.status?.token ?? "");
    assert.equal(claims.exp, now + 365 * 24 * 3_600);
    assert.equal((claims["kubernetes.io"] as { warnafter: number }).warnafter, now + 3_607);
    assert.equal(request.status?.expirationTimestamp, "2026-01-01T01:00:07Z");
  });

  test("shortens to the longest life allowed, with a warning", async () => {
    const s = server(rsaPem, { maxExpirationSeconds: 1_200 });
    const { request, warnings } = await s.issuer.issue(ACCOUNT, { metadata: {}, spec: { expirationSeconds: 7_200 } });
    assert.deepEqual(warnings, ["requested expiration of 7200 seconds shortened to 1200 seconds"]);
    assert.equal(request.spec?.expirationSeconds, 1_200);
    assert.equal(request.status?.expirationTimestamp, "2026-01-01T00:20:00Z");
  });
});

test("the OpenID documents carry the public keys and no private part", () => {
  const { keys } = server();
  const set = jsonWebKeySet(keys);
  assert.deepEqual(
    set.keys.map((k) => [k.kty, k.alg, k.use]),
    [
      ["RSA", "RS256", "sig"],
      ["EC", "ES256", "sig"],
    ],
  );
  assert.ok(set.keys.every((key) => !("d" in key) && !("p" in key)));
  assert.deepEqual(
    openidConfiguration(ISSUER, keys, `${ISSUER}/openid/v1/jwks`).id_token_signing_alg_values_supported,
    ["ES256", "RS256"],
  );
});
