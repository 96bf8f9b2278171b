import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import type { UserInfo } from "../authn/types.ts";
import { checkBinding, checkEscalation, missingRules } from "./escalation.ts";
import type { Authorizer, RuleResolver } from "./types.ts";

const rule = (verbs: string, groups: string, resources: string, names?: string): PolicyRule => ({
  verbs: verbs.split(" "),
  apiGroups: groups.split(","),
  resources: resources.split(" "),
  ...(names === undefined ? {} : { resourceNames: names.split(" ") }),
});

const rows: readonly { name: string; held: PolicyRule[]; wanted: PolicyRule[]; missing: PolicyRule[] }[] = [
  {
    name: "all is held",
    held: [rule("get list", "", "pods services")],
    wanted: [rule("get", "", "pods")],
    missing: [],
  },
  {
    name: "the parts are held by different rules",
    held: [rule("get", "", "pods"), rule("list", "", "pods")],
    wanted: [rule("get list", "", "pods")],
    missing: [],
  },
  {
    name: "verbs are missing",
    held: [rule("get", "", "pods")],
    wanted: [rule("get list watch", "", "pods")],
    missing: [rule("list watch", "", "pods")],
  },
  {
    name: "everything is held",
    held: [rule("*", "*", "*")],
    wanted: [rule("*", "*", "*"), rule("get", "x", "y/z")],
    missing: [],
  },
  {
    name: "all is wanted and some is held",
    held: [rule("get", "*", "*")],
    wanted: [rule("*", "*", "*")],
    missing: [rule("*", "*", "*")],
  },
  {
    name: "*/scale is held",
    held: [rule("get", "apps", "*/scale")],
    wanted: [rule("get", "apps", "deployments/scale")],
    missing: [],
  },
  {
    name: "one name is held and all are wanted",
    held: [rule("get", "", "secrets", "a")],
    wanted: [rule("get", "", "secrets")],
    missing: [rule("get", "", "secrets")],
  },
  {
    name: "one of two names is held",
    held: [rule("get", "", "secrets", "a")],
    wanted: [rule("get", "", "secrets", "a b")],
    missing: [rule("get", "", "secrets", "b")],
  },
  {
    name: "paths are covered by a prefix",
    held: [{ verbs: ["get"], nonResourceURLs: ["/api/*"] }],
    wanted: [{ verbs: ["get"], nonResourceURLs: ["/api/v1", "/metrics"] }],
    missing: [{ verbs: ["get"], nonResourceURLs: ["/metrics"] }],
  },
];
for (const row of rows) {
  test(`missingRules() finds ${row.missing.length} when ${row.name}`, () => {
    assert.deepEqual(missingRules(row.held, row.wanted), row.missing);
  });
}

describe("escalation checks", () => {
  const eve: UserInfo = { name: "eve", uid: "", groups: ["devs", "system:authenticated"], extra: {} };
  const by = (allowedVerbs: string[]): { authorizer: Authorizer; resolver: RuleResolver } => ({
    authorizer: {
      authorize: (attributes) => ({
        verdict: allowedVerbs.includes(attributes.verb) ? "allowed" : "no-opinion",
        reason: "",
      }),
    },
    resolver: { rulesFor: () => ({ rules: [rule("get", "", "pods")], incomplete: false, errors: [] }) },
  });
  const request = { user: eve, resource: "roles", namespace: "ns", name: "r" } as const;
  const wanted = [rule("get delete", "", "pods"), rule("list", "apps", "deployments")];

  test("checkEscalation() refuses in upstream's words", async () => {
    const error = await checkEscalation(request, wanted, by([]));
    assert.equal(error?.code, 403);
    assert.equal(
      error?.message,
      'roles.rbac.authorization.k8s.io "r" is forbidden: user "eve" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n' +
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n' +
        '{APIGroups:["apps"], Resources:["deployments"], Verbs:["list"]}',
    );
  });
  test("checkEscalation() lets pass who holds the rules, may escalate, or is of system:masters", async () => {
    assert.equal(await checkEscalation(request, [rule("get", "", "pods")], by([])), undefined);
    assert.equal(await checkEscalation(request, wanted, by(["escalate"])), undefined);
    assert.equal(
      await checkEscalation({ ...request, user: { ...eve, groups: ["system:masters"] } }, wanted, by([])),
      undefined,
    );
  });
  test("checkBinding() lets pass who may bind the role or holds its rules, and says what is missing otherwise", async () => {
    const binding = { ...request, resource: "rolebindings" } as const;
    const ref = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "admin" };
    assert.equal(await checkBinding(binding, ref, wanted, by(["bind"])), undefined);
    assert.equal(await checkBinding(binding, ref, undefined, by(["bind"])), undefined);
    assert.equal(await checkBinding(binding, ref, [rule("get", "", "pods")], by([])), undefined);
    assert.match(
      (await checkBinding(binding, ref, wanted, by([])))?.message ?? "",
      /^rolebindings\.rbac.* "r" is forbidden: user "eve"/,
    );
    assert.equal(
      (await checkBinding(binding, ref, undefined, by([])))?.message,
      'clusterrole.rbac.authorization.k8s.io "admin" not found',
    );
  });
});
