import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { rbac } from "@knarr/api/generated/resources.ts";
import type { ClusterRole } from "@knarr/api/generated/types/rbac-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager(["--leader-elect=false", "--controllers=clusterrole-aggregation-controller"]);
});
after(() => harness.stop());

const make = (name: string, more: Partial<ClusterRole>, labels: Record<string, string> = {}) =>
  client.create<ClusterRole>(rbac.clusterroles, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name, labels },
    ...more,
  });
const rule = (resource: string) => ({ apiGroups: ["example.com"], resources: [resource], verbs: ["get"] });
const resourcesOf = async (name: string) => {
  const { rules } = await client.get(rbac.clusterroles, { namespace: "", name });
  return (rules ?? [])
    .filter(({ apiGroups }) => apiGroups?.[0] === "example.com")
    .map(({ resources }) => resources?.[0]);
};
const has = (name: string, ...want: string[]) =>
  eventually(`${name} has ${want}`, async () => (await resourcesOf(name)).join() === want.join());

test("an aggregate has the rules of the roles it selects, and of aggregates, as they come and go", async () => {
  const select = (labels: Record<string, string>) => ({ clusterRoleSelectors: [{ matchLabels: labels }] });
  await make("outer", { aggregationRule: select({ to: "outer" }), rules: [rule("stomped")] });
  await make("inner", { aggregationRule: select({ to: "inner" }) }, { to: "outer" });
  await make("b", { rules: [rule("boats"), rule("anchors")] }, { to: "inner" });
  await has("outer", "boats", "anchors");
  await make("a", { rules: [rule("anchors"), rule("sails")] }, { to: "inner" });
  await has("outer", "anchors", "sails", "boats");
  await client.delete(rbac.clusterroles, { namespace: "", name: "b" });
  await has("outer", "anchors", "sails");
  const body = { metadata: { labels: { to: null } } };
  await client.patch(rbac.clusterroles, { namespace: "", name: "a" }, { type: "merge", body });
  await has("outer");
});

test("a role labelled for it extends view, edit and admin", async () => {
  const labels = { "rbac.authorization.k8s.io/aggregate-to-view": "true" };
  await make("example-viewer", { rules: [rule("ships")] }, labels);
  for (const name of ["view", "edit", "admin"]) await has(name, "ships");
  const { metadata, rules } = await client.get(rbac.clusterroles, { namespace: "", name: "view" });
  assert.ok((rules ?? []).length > 1);
  assert.ok(metadata.managedFields?.some(({ manager }) => manager === "clusterrole-aggregation-controller"));
});

test("an aggregate keeps its rules when the API server starts anew", async () => {
  const clusterRoleSelectors = [{ matchExpressions: [{ key: "fleet", operator: "In", values: ["north"] }] }];
  await make("fleet", { aggregationRule: { clusterRoleSelectors } });
  await make("north", { rules: [rule("knarrs")] }, { fleet: "north" });
  await has("fleet", "knarrs");
  const { resourceVersion } = (await client.get(rbac.clusterroles, { namespace: "", name: "fleet" })).metadata;
  await harness.api.restart();
  const later = await client.get(rbac.clusterroles, { namespace: "", name: "fleet" });
  assert.equal(later.metadata.resourceVersion, resourceVersion);
});
