/** The authorization webhook, and the file and flags that configure authorizers. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SubjectAccessReview } from "@knarr/api/generated/types/authorization-v1.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import {
  type AuthorizationFlags,
  parseAuthorizationConfiguration,
  readAuthorizationSettings,
} from "./authorization-configuration.ts";
import type { AuthorizerAttributes } from "./types.ts";
import { WebhookAuthorizer, type WebhookAuthorizerOptions } from "./webhook.ts";

let nowMs = 0;
const clock = { ...systemClock, monotonicMs: () => nowMs };
const question: AuthorizerAttributes = {
  kind: "resource",
  user: { name: "zoe", uid: "7", groups: ["g"], extra: { a: ["1"] } },
  verb: "list",
  apiGroup: "apps",
  apiVersion: "v1",
  resource: "deployments",
  subresource: "",
  namespace: "ns",
  name: "",
  fieldSelector: [{ key: "metadata.name", operator: "=", values: ["x"] }],
  labelSelector: [
    { key: "a", operator: "notin", values: ["b", "c"] },
    { key: "d", operator: "!", values: [] },
    { key: "e", operator: "gt", values: ["1"] },
  ],
};

function asking(
  answer: SubjectAccessReview["status"] | Error,
  changes: Partial<WebhookAuthorizerOptions> = {},
): { asked: SubjectAccessReview[]; authorizer: WebhookAuthorizer } {
  const asked: SubjectAccessReview[] = [];
  const webhook = {
    async post<T>(review: T): Promise<T> {
      asked.push(review as SubjectAccessReview);
      if (answer instanceof Error) throw answer;
      return { ...review, status: answer } as T;
    },
  };
  const options = { version: "v1", authorizedTtlMs: 1000, unauthorizedTtlMs: 100, onFailure: "no-opinion" } as const;
  return { asked, authorizer: new WebhookAuthorizer({ webhook, clock, ...options, ...changes }) };
}

describe("WebhookAuthorizer", () => {
  test("asks with everything that is known of the request", async () => {
    const { asked, authorizer } = asking({ allowed: true, reason: "fine" });
    assert.deepEqual(await authorizer.authorize(question), { verdict: "allowed", reason: "fine" });
    assert.deepEqual(asked[0]?.spec, {
      user: "zoe",
      uid: "7",
      groups: ["g"],
      extra: { a: ["1"] },
      resourceAttributes: {
        namespace: "ns",
        verb: "list",
        group: "apps",
        version: "v1",
        resource: "deployments",
        fieldSelector: { requirements: [{ key: "metadata.name", operator: "In", values: ["x"] }] },
        labelSelector: {
          requirements: [
            { key: "a", operator: "NotIn", values: ["b", "c"] },
            { key: "d", operator: "DoesNotExist" },
          ],
        },
      },
    });
  });
  test("asks the old version in its spelling, and for paths", async () => {
    const { asked, authorizer } = asking({ allowed: false }, { version: "v1beta1" });
    await authorizer.authorize({ kind: "nonResource", user: question.user, verb: "get", path: "/metrics" });
    assert.equal(asked[0]?.apiVersion, "authorization.k8s.io/v1beta1");
    assert.deepEqual(asked[0]?.spec, {
      user: "zoe",
      uid: "7",
      group: ["g"],
      extra: { a: ["1"] },
      nonResourceAttributes: { path: "/metrics", verb: "get" },
    });
  });
  for (const [name, status, want] of [
    ["a yes", { allowed: true }, "allowed"],
    ["a no", { allowed: false, denied: true }, "denied"],
    ["no opinion", { allowed: false }, "no-opinion"],
    ["a yes and a no at once", { allowed: true, denied: true }, "no-opinion"],
  ] as const) {
    test(`understands ${name}`, async () =>
      assert.equal((await asking(status).authorizer.authorize(question)).verdict, want));
  }
  test("remembers a yes longer than a no", async () => {
    for (const [allowed, ttlMs] of [
      [true, 1000],
      [false, 100],
    ] as const) {
      nowMs = 0;
      const { asked, authorizer } = asking({ allowed });
      await authorizer.authorize(question);
      nowMs = ttlMs - 1;
      await authorizer.authorize(question);
      assert.equal(asked.length, 1);
      nowMs = ttlMs;
      await authorizer.authorize(question);
      assert.equal(asked.length, 2);
    }
  });
  test("says what the settings say when nobody answers, and asks again", async () => {
    for (const onFailure of ["no-opinion", "denied"] as const) {
      const { asked, authorizer } = asking(new Error("refused"), { onFailure });
      const decision = await authorizer.authorize(question);
      assert.deepEqual(decision, { verdict: onFailure, reason: "", evaluationError: "refused" });
      await authorizer.authorize(question);
      assert.equal(asked.length, 2);
    }
  });
});

describe("parseAuthorizationConfiguration()", () => {
  const webhook = {
    authorizedTTL: "1m",
    unauthorizedTTL: "10s",
    timeout: "3s",
    subjectAccessReviewVersion: "v1",
    failurePolicy: "Deny",
    connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "/etc/authz.conf" },
  };
  const document = (...authorizers: unknown[]) => ({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "AuthorizationConfiguration",
    authorizers,
  });
  test("reads authorizers in their order", () => {
    const read = parseAuthorizationConfiguration(
      document({ type: "Webhook", name: "a", webhook }, { type: "Node", name: "node" }, { type: "RBAC", name: "rbac" }),
    );
    assert.deepEqual(read, [
      {
        type: "Webhook",
        webhook: {
          kubeconfig: "/etc/authz.conf",
          version: "v1",
          authorizedTtlMs: 60_000,
          unauthorizedTtlMs: 10_000,
          onFailure: "denied",
          timeoutMs: 3_000,
        },
      },
      { type: "Node" },
      { type: "RBAC" },
    ]);
  });
  for (const [name, given, want] of [
    ["nobody", document(), /at least one authorization mode must be defined/],
    ["an unknown type", document({ type: "ABAC", name: "a" }), /authorizers\[0\].type: "ABAC" must be among/],
    ["no name", document({ type: "RBAC" }), /authorizers\[0\].name: Required value/],
    ["RBAC twice", document({ type: "RBAC", name: "a" }, { type: "RBAC", name: "b" }), /Duplicate value: "RBAC"/],
    ["a name twice", document({ type: "RBAC", name: "a" }, { type: "Node", name: "a" }), /Duplicate value: "a"/],
    ["a webhook without settings", document({ type: "Webhook", name: "a" }), /required when type=Webhook/],
    [
      "match conditions",
      document({ type: "Webhook", name: "a", webhook: { ...webhook, matchConditions: [{ expression: "true" }] } }),
      /matchConditions: expressions need CEL/,
    ],
    ["a long timeout", document({ type: "Webhook", name: "a", webhook: { ...webhook, timeout: "31s" } }), /<= 30s/],
    ["an unknown field", document({ type: "RBAC", name: "a", color: 1 }), /unknown field "color"/],
  ] as const) {
    test(`refuses ${name}`, () => assert.throws(() => parseAuthorizationConfiguration(given), want));
  }
});

test("readAuthorizationSettings() makes authorizers of the flags", async () => {
  const flags: AuthorizationFlags = {
    authorizationMode: ["Node", "Webhook"],
    authorizationConfig: "",
    authorizationWebhookConfigFile: "/w",
    authorizationWebhookVersion: "v1",
    authorizationWebhookCacheAuthorizedTtlMs: 5,
    authorizationWebhookCacheUnauthorizedTtlMs: 6,
  };
  const read = await readAuthorizationSettings(flags);
  assert.deepEqual(
    read.map(({ type }) => type),
    ["Node", "Webhook"],
  );
  assert.equal(read[1]?.webhook?.kubeconfig, "/w");
  await assert.rejects(readAuthorizationSettings({ ...flags, authorizationMode: ["RBAC"] }), /goes with/);
  await assert.rejects(readAuthorizationSettings({ ...flags, authorizationWebhookConfigFile: "" }), /goes with/);
  await assert.rejects(readAuthorizationSettings({ ...flags, authorizationConfig: "/c" }), /can not be specified when/);
});
