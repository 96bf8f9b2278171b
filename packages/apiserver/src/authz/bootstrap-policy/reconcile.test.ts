import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ClusterRole, ClusterRoleBinding } from "@knarr/api/generated/types/rbac-v1.ts";
import { bootstrapPolicy } from "./policy.ts";
import { planAggregation, planBinding, planRole } from "./reconcile.ts";

const role = (rules: ClusterRole["rules"], metadata: ClusterRole["metadata"] = {}): ClusterRole => ({
  metadata: { name: "r", labels: { a: "1" }, annotations: { b: "2" }, ...metadata },
  rules,
});
const pods = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };
const nodes = { verbs: ["get"], apiGroups: [""], resources: ["nodes"] };

describe("planRole()", () => {
  test("creates what is missing", () => {
    assert.deepEqual(planRole(undefined, role([pods])), { kind: "create", object: role([pods]) });
  });
  test("leaves alone what covers the policy, and more", () => {
    assert.deepEqual(planRole(role([{ ...pods, verbs: ["*"] }, nodes]), role([pods])), { kind: "none" });
  });
  test("adds missing rules and keeps the others", () => {
    const plan = planRole(role([nodes]), role([pods]));
    assert.deepEqual(plan, { kind: "update", object: role([nodes, pods]) });
  });
  test("leaves alone what is protected", () => {
    const metadata = { annotations: { "rbac.authorization.kubernetes.io/autoupdate": "false" } };
    assert.deepEqual(planRole(role([], metadata), role([pods])), { kind: "none" });
  });
  test("adds missing labels and keeps changed ones", () => {
    const plan = planRole(role([pods], { labels: { x: "9" }, annotations: { b: "other" } }), role([pods]));
    assert.deepEqual(plan.kind === "update" && plan.object.metadata, {
      name: "r",
      labels: { a: "1", x: "9" },
      annotations: { b: "other" },
    });
  });
});

describe("planBinding()", () => {
  const binding = (subjects: string[], roleName = "r"): ClusterRoleBinding => ({
    metadata: { name: "b" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: roleName },
    subjects: subjects.map((name) => ({ kind: "User", apiGroup: "rbac.authorization.k8s.io", name })),
  });
  test("adds missing subjects and keeps the others", () => {
    assert.deepEqual(planBinding(binding(["x"]), binding(["y"])), { kind: "update", object: binding(["x", "y"]) });
    assert.deepEqual(planBinding(binding(["x", "y"]), binding(["y"])), { kind: "none" });
  });
  test("makes a binding anew whose role differs", () => {
    assert.deepEqual(planBinding(binding(["x"], "other"), binding(["y"])), {
      kind: "recreate",
      object: binding(["x", "y"]),
    });
  });
});

describe("bootstrapPolicy()", () => {
  const policy = bootstrapPolicy();
  const byName = (roles: readonly ClusterRole[]) => new Map(roles.map((r) => [r.metadata.name, r]));

  test("has no name twice, and every binding's role", () => {
    const names = policy.clusterRoles.map((r) => r.metadata.name);
    assert.equal(new Set(names).size, names.length);
    for (const binding of policy.clusterRoleBindings)
      assert.ok(names.includes(binding.roleRef.name), binding.roleRef.name);
    const roles = policy.roles.map((r) => `${r.metadata.namespace}/${r.metadata.name}`);
    for (const b of policy.roleBindings) assert.ok(roles.includes(`${b.metadata.namespace}/${b.roleRef.name}`));
  });

  test("aggregates view into edit into admin", () => {
    const roles = byName(planAggregation(policy.clusterRoles));
    assert.deepEqual([...roles.keys()], ["admin", "edit", "view"]);
    const has = (name: string, resource: string, verb: string) =>
      roles.get(name)?.rules?.some((r) => r.resources?.includes(resource) === true && r.verbs.includes(verb)) ?? false;
    assert.deepEqual(
      ["view", "edit", "admin"].map((name) => [
        has(name, "pods", "get"),
        has(name, "pods", "delete"),
        has(name, "secrets", "get"),
        has(name, "rolebindings", "create"),
      ]),
      [
        [true, false, false, false],
        [true, true, true, false],
        [true, true, true, true],
      ],
    );
  });

  test("planAggregation() plans nothing for what is aggregated", () => {
    const roles = byName(policy.clusterRoles);
    for (const done of planAggregation(policy.clusterRoles)) roles.set(done.metadata.name, done);
    assert.deepEqual(planAggregation([...roles.values()]), []);
  });
});
