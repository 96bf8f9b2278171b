/** Priority and fairness as clients see it. The figures are `npm run bench:fairness`'s. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, type Json, useApiserver } from "./api-harness.ts";

const GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1";
// 20 seats: two of them are global-default's.
const api = useApiserver({
  args: ["--max-requests-inflight=12", "--max-mutating-requests-inflight=8", "--request-timeout=12s"],
});

async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await is()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`never happened: ${what}`);
}

test("upstream's objects are there, say that their levels exist, and stay as they are", async () => {
  const names = async (resource: string) => {
    const { body } = await api.call("GET", `${GROUP}/${resource}`);
    return body.items.map((item: Json) => item.metadata.name).sort();
  };
  assert.deepEqual(await names("prioritylevelconfigurations"), [
    "catch-all",
    "exempt",
    "global-default",
    "leader-election",
    "node-high",
    "system",
    "workload-high",
    "workload-low",
  ]);
  assert.equal((await names("flowschemas")).length, 13);
  const { body } = await api.call("GET", `${GROUP}/flowschemas/global-default`);
  assert.equal(body.metadata.annotations["apf.kubernetes.io/autoupdate-spec"], "true");
  await until("a Dangling condition", async () => {
    const { body: schema } = await api.call("GET", `${GROUP}/flowschemas/catch-all`);
    return schema.status?.conditions?.[0]?.reason === "Found";
  });
});

test("an answer names the flow schema and the priority level, and the debug pages list them", async () => {
  const { body: schema } = await api.call("GET", `${GROUP}/flowschemas/global-default`);
  const { body: level } = await api.call("GET", `${GROUP}/prioritylevelconfigurations/global-default`);
  const jane = await api.api.user("jane");
  await until("the objects' uids in the headers", async () => {
    const { headers } = await api.call("GET", "/version", { as: jane });
    return (
      headers["x-kubernetes-pf-flowschema-uid"] === schema.metadata.uid &&
      headers["x-kubernetes-pf-prioritylevel-uid"] === level.metadata.uid
    );
  });
  const root = "/debug/api_priority_and_fairness";
  assert.match(
    (await api.call("GET", `${root}/dump_priority_levels`)).text,
    /^global-default, 0, true, false, 0, 0, \d+/m,
  );
  assert.match((await api.call("GET", `${root}/dump_queues`)).text, /^workload-low, 127, 0, 0, 0, /m);
  assert.match((await api.call("GET", `${root}/dump_requests`)).text, /^PriorityLevelName, FlowSchemaName/);
  const metrics = (await api.call("GET", "/metrics")).text;
  assert.match(metrics, /^apiserver_flowcontrol_nominal_limit_seats\{priority_level="node-high"\} 4$/m);
  assert.match(metrics, /^apiserver_flowcontrol_dispatched_requests_total\{.*flow_schema="global-default".*\} \d+$/m);
});

test("a flood of lists is queued and turned away while a node's heartbeats and a leader's lease go through", async () => {
  const bulk = "x".repeat(20_000);
  for (let i = 0; i < 300; i++) {
    await api.create("/api/v1/namespaces/default/configmaps", configMap(`bulk-${i}`, { bulk }));
  }
  await api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    metadata: { name: "readers" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "flooder" }],
  });
  await api.create("/api/v1/nodes", { metadata: { name: "n1" } });
  const node = await api.api.user("system:node:n1", ["system:nodes"]);
  const scheduler = await api.api.user("system:kube-scheduler");
  const flooder = await api.api.user("flooder");
  await until("the flooder may read", async () => {
    return (await api.call("GET", "/api/v1/namespaces/default/configmaps?limit=1", { as: flooder })).status === 200;
  });
  const codes = new Map<number, number>();
  const retryAfter = new Set<string>();
  let isOver = false;
  const flood = Promise.all(
    Array.from({ length: 120 }, async () => {
      while (!isOver) {
        const answer = await api.call("GET", "/api/v1/namespaces/default/configmaps", { as: flooder });
        codes.set(answer.status, (codes.get(answer.status) ?? 0) + 1);
        if (answer.status === 429) retryAfter.add(answer.headers["retry-after"] ?? "");
      }
    }),
  );
  try {
    for (const [name, namespace, as] of [
      ["n1", "kube-node-lease", node],
      ["kube-scheduler", "kube-system", scheduler],
    ] as const) {
      const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
      const made = await api.call("POST", path, { as, body: { metadata: { name }, spec: { holderIdentity: name } } });
      assert.equal(made.status, 201, made.text);
      for (let i = 0; i < 15; i++) {
        const lease = await api.call("GET", `${path}/${name}`, { as });
        assert.equal(lease.status, 200, lease.text);
        const renewed = { ...lease.body, spec: { ...lease.body.spec, leaseTransitions: i } };
        assert.equal((await api.call("PUT", `${path}/${name}`, { as, body: renewed })).status, 200);
      }
    }
    await until("somebody is turned away", async () => codes.has(429));
  } finally {
    isOver = true;
    await flood;
  }
  assert.ok(codes.has(200), "nobody of the flood was served");
  // A second at first, longer while the flood goes on.
  assert.ok(
    retryAfter.has("1") && [...retryAfter].every((text) => /^([1-9]|[12]\d|3[0-2])$/.test(text)),
    [...retryAfter].join(),
  );
  assert.deepEqual([...codes.keys()].sort(), [200, 429]);
});

test("a changed suggested object belongs to its administrator, a mandatory one does not", async () => {
  const path = `${GROUP}/prioritylevelconfigurations/workload-low`;
  const { body } = await api.call("GET", path);
  body.metadata.annotations["apf.kubernetes.io/autoupdate-spec"] = "false";
  body.spec.limited.nominalConcurrencyShares = 7;
  assert.equal((await api.call("PUT", path, { body })).status, 200);
  assert.equal((await api.call("DELETE", `${GROUP}/flowschemas/exempt`)).status, 200);
  await api.api.restart();
  await until(
    "the mandatory object is back",
    async () => (await api.call("GET", `${GROUP}/flowschemas/exempt`)).status === 200,
  );
  const after = await api.call("GET", path);
  assert.equal(after.body.spec.limited.nominalConcurrencyShares, 7);
  assert.equal(after.body.metadata.annotations["apf.kubernetes.io/autoupdate-spec"], "false");
});
