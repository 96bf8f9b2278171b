import assert from "node:assert/strict";
import { test } from "node:test";
import { planCluster } from "./cluster-config.ts";
import { chainName, planRules } from "./network.ts";
import { planRoutes } from "./supervisor/host-routes.ts";

const config = planCluster({ name: "knarr", dataDir: "/var/lib/knarr", index: 0, nodeCount: 2 });

test("planRules() masquerades only what leaves the cluster, and jumps from the built-in chains", () => {
  const nat = planRules(config).find((rules) => rules.table === "nat");
  assert.equal(nat?.parent, "POSTROUTING");
  const last = nat?.rules.at(-1);
  assert.deepEqual(last, ["-s", "172.30.0.0/24", "!", "-o", "knarr0", "-j", "MASQUERADE"]);
  for (const rule of nat?.rules.slice(0, -1) ?? []) assert.equal(rule.at(-1), "RETURN");
});

for (const name of ["knarr", "knarr-e2e-first", "knarr-e2e-second", "x".repeat(40)]) {
  test(`chainName() keeps to the kernel's 28 characters when the cluster is ${name}`, () => {
    assert.ok(chainName(name, "MASQ").length <= 28);
  });
}

test("chainName() tells clusters apart when their names begin alike", () => {
  assert.notEqual(chainName("knarr-e2e-cluster-one", "FWD"), chainName("knarr-e2e-cluster-two", "FWD"));
});

const node = (name: string, podCIDR: string | undefined, address: string | undefined) => ({
  metadata: { name },
  spec: { podCIDR },
  status: { addresses: address === undefined ? [] : [{ type: "InternalIP", address }] },
});

test("planRoutes() leaves out nodes when they have no range or no address yet", () => {
  const routes = planRoutes([
    node("node-1", "10.244.0.0/24", "172.30.0.11"),
    node("node-2", undefined, "172.30.0.12"),
    node("node-3", "10.244.2.0/24", undefined),
  ]);
  assert.deepEqual([...routes], [["10.244.0.0/24", "172.30.0.11"]]);
});
