import assert from "node:assert/strict";
import { test } from "node:test";
import type { AggregationRule, ClusterRole, PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import { aggregateRules } from "./aggregate-rules.ts";

const reads = (resource: string): PolicyRule => ({ apiGroups: [""], resources: [resource], verbs: ["get"] });
const role = (name: string, labels: Record<string, string>, ...resources: string[]): ClusterRole => ({
  metadata: { name, labels },
  rules: resources.map(reads),
});

const all = [
  role("z", { to: "view", tier: "gold" }, "pods", "services"),
  role("a", { to: "view" }, "services", "secrets"),
  role("m", { to: "edit", tier: "gold" }, "nodes"),
  role("n", {}, "leases"),
];
const expression = { key: "tier", operator: "Exists" };

const rows: { name: string; selectors: AggregationRule["clusterRoleSelectors"]; want: string[] }[] = [
  { name: "nothing when it has no selector", selectors: [], want: [] },
  { name: "nothing when nobody fits", selectors: [{ matchLabels: { to: "admin" } }], want: [] },
  {
    name: "each rule once, by the roles' names, when roles share rules",
    selectors: [{ matchLabels: { to: "view" } }],
    want: ["services", "secrets", "pods"],
  },
  {
    name: "the first selector's rules first when there are several",
    selectors: [{ matchLabels: { to: "edit" } }, { matchLabels: { to: "view" } }],
    want: ["nodes", "services", "secrets", "pods"],
  },
  {
    name: "what expressions select",
    selectors: [{ matchExpressions: [expression] }],
    want: ["nodes", "pods", "services"],
  },
  {
    name: "everything but its own when the selector is empty",
    selectors: [{}],
    want: ["services", "secrets", "nodes", "leases", "pods"],
  },
];

for (const { name, selectors, want } of rows) {
  test(`aggregateRules() takes ${name}`, () => {
    const aggregate = {
      ...role("aggregate", { to: "view" }, "own"),
      aggregationRule: { clusterRoleSelectors: selectors },
    };
    const rules = aggregateRules(aggregate, [...all, aggregate]);
    assert.deepEqual(
      rules.map(({ resources }) => resources?.[0]),
      want,
    );
  });
}
