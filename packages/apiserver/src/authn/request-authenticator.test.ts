import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { BearerTokenAuthenticator, tokenUnion } from "./bearer-token.ts";
import { BootstrapTokenAuthenticator } from "./bootstrap-token.ts";
import { ClientCertificateAuthenticator } from "./client-certificate.ts";
import { RequestAuthenticator } from "./request-authenticator.ts";
import { parseTokenFile } from "./static-token.ts";
import { reviewSelf, reviewToken } from "./token-review.ts";
import { AuthenticationError, type Credentials, type TokenAuthenticator } from "./types.ts";

const FILE = `# comment
good,alice,u1,"devs,ops"
bare,bob,u2
"quo""ted",carol,u3,one
`;

const failing: TokenAuthenticator = {
  authenticateToken: async (token) => {
    if (token === "expired") throw new AuthenticationError("it has expired");
    return undefined;
  },
};

function authenticator(anonymous = true) {
  const clock = new FakeClock();
  const tokens = tokenUnion([failing, parseTokenFile(FILE)]);
  const ways = [new ClientCertificateAuthenticator(clock), new BearerTokenAuthenticator(tokens)];
  return { clock, tokens, all: new RequestAuthenticator(ways, { anonymous }) };
}

const encoded = Buffer.from("good").toString("base64url");
const rows: readonly { name: string; credentials: Credentials; want: readonly [string, readonly string[]] }[] = [
  { name: "nothing is shown", credentials: {}, want: ["system:anonymous", ["system:unauthenticated"]] },
  {
    name: "a token is shown",
    credentials: { authorization: "Bearer good" },
    want: ["alice", ["devs", "ops", "system:authenticated"]],
  },
  {
    name: "the scheme's case differs",
    credentials: { authorization: "bearer bare" },
    want: ["bob", ["system:authenticated"]],
  },
  {
    name: "the token file quotes",
    credentials: { authorization: 'Bearer quo"ted' },
    want: ["carol", ["one", "system:authenticated"]],
  },
  {
    name: "a WebSocket carries the token",
    credentials: { webSocketProtocols: `v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.${encoded}` },
    want: ["alice", ["devs", "ops", "system:authenticated"]],
  },
  {
    name: "a certificate is shown",
    credentials: { certificate: { subject: { CN: "zoe", O: ["a", "b"] } as never } },
    want: ["zoe", ["a", "b", "system:authenticated"]],
  },
  {
    name: "a certificate of one organization is shown",
    credentials: { certificate: { subject: { CN: "root", O: "system:masters" } as never } },
    want: ["root", ["system:masters", "system:authenticated"]],
  },
  {
    name: "another scheme is shown",
    credentials: { authorization: "Basic abc" },
    want: ["system:anonymous", ["system:unauthenticated"]],
  },
  {
    name: "a certificate without a name is shown",
    credentials: { certificate: { subject: { O: "x" } as never } },
    want: ["system:anonymous", ["system:unauthenticated"]],
  },
];
describe("RequestAuthenticator.authenticate()", () => {
  for (const row of rows) {
    test(`finds ${row.want[0]} when ${row.name}`, async () => {
      const found = await authenticator().all.authenticate(row.credentials);
      assert.deepEqual([found?.user.name, found?.user.groups], row.want);
    });
  }
  for (const [name, credentials] of [
    ["an unknown token", { authorization: "Bearer nonsense" }],
    ["a refused token", { authorization: "Bearer expired" }],
    [
      "an expired certificate",
      { certificate: { subject: { CN: "zoe" } as never, valid_to: "Dec 31 00:00:00 2025 GMT" } },
    ],
  ] as const) {
    test(`throws for ${name}, and does not fall back to anonymous`, async () => {
      await assert.rejects(async () => authenticator().all.authenticate(credentials), AuthenticationError);
    });
  }
  test("finds nobody without credentials where anonymous is off", async () => {
    assert.equal(await authenticator(false).all.authenticate({}), undefined);
  });
  test("notes a certificate's fingerprint", async () => {
    const certificate = { subject: { CN: "zoe" } as never, fingerprint256: "AB:CD" };
    const found = await authenticator().all.authenticate({ certificate });
    assert.deepEqual(found?.user.extra, { "authentication.kubernetes.io/credential-id": ["X509SHA256=abcd"] });
  });
});

test("parseTokenFile() names the line that is wrong", () => {
  assert.throws(() => parseTokenFile("a,b,c\nlonely\n"), /line 2/);
});

describe("BootstrapTokenAuthenticator.authenticateToken()", () => {
  const clock = new FakeClock();
  const fields = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
    expiration: "2026-01-02T00:00:00Z",
  };
  const ask = (token: string, change: Record<string, string> = {}, type = "bootstrap.kubernetes.io/token") => {
    const data = Object.fromEntries(
      Object.entries({ ...fields, ...change }).map(([k, v]) => [k, Buffer.from(v).toString("base64")]),
    );
    const secret = async () => ({ uid: "u", deletionMs: undefined, type, token: Buffer.alloc(0), data });
    return new BootstrapTokenAuthenticator({ secret }, clock).authenticateToken(token, []);
  };
  test("finds the token's user and groups", async () => {
    assert.deepEqual((await ask("abcdef.0123456789abcdef"))?.user, {
      name: "system:bootstrap:abcdef",
      uid: "",
      groups: ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"],
      extra: {},
    });
  });
  for (const [name, token, change, type] of [
    ["the secret differs", "abcdef.0000000000000000", {}, undefined],
    ["it has expired", "abcdef.0123456789abcdef", { expiration: "2025-01-01T00:00:00Z" }, undefined],
    ["its expiration cannot be read", "abcdef.0123456789abcdef", { expiration: "soon" }, undefined],
    [
      "it is not meant for authentication",
      "abcdef.0123456789abcdef",
      { "usage-bootstrap-authentication": "false" },
      undefined,
    ],
    ["its groups reach further", "abcdef.0123456789abcdef", { "auth-extra-groups": "system:masters" }, undefined],
    ["the Secret is of another type", "abcdef.0123456789abcdef", {}, "Opaque"],
    ["it is no bootstrap token", "abc", {}, undefined],
  ] as const) {
    test(`knows nobody when ${name}`, async () => {
      assert.equal(await ask(token, change, type), undefined);
    });
  }
});

describe("reviews", () => {
  test("reviewToken() tells the user of a good token", async () => {
    const { status } = await reviewToken(authenticator().tokens, { metadata: {}, spec: { token: "good" } }, ["api"]);
    assert.deepEqual(status, {
      authenticated: true,
      user: { username: "alice", uid: "u1", groups: ["devs", "ops", "system:authenticated"] },
      audiences: ["api"],
    });
  });
  test("reviewToken() answers for a wrong token instead of failing", async () => {
    const { status } = await reviewToken(authenticator().tokens, { metadata: {}, spec: { token: "expired" } }, ["api"]);
    assert.deepEqual(status, { user: {}, error: "[invalid bearer token, it has expired]" });
  });
  test("reviewToken() refuses a review without a token", async () => {
    await assert.rejects(reviewToken(authenticator().tokens, { metadata: {}, spec: { token: "" } }, []), { code: 400 });
  });
  test("reviewSelf() tells who asks", () => {
    const user = { name: "bob", uid: "", groups: ["g"], extra: { k: ["v"] } };
    assert.deepEqual(reviewSelf({ metadata: {} }, user).status, {
      userInfo: { username: "bob", groups: ["g"], extra: { k: ["v"] } },
    });
  });
});
