import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNode, makePod, TestCluster } from "../../test/lib/test-cluster.ts";
import { DecisionLog } from "./decisions.ts";

const nodes = Array.from({ length: 10 }, (_, i) => makeNode(`n${i}`));
const head = (pod: string) => ({ id: pod, namespace: "default", pod, uid: pod, profile: "p", atMs: 0, attempt: 1 });

function record(log: DecisionLog, name: string, cpu: string): void {
  const cluster = new TestCluster({ nodes });
  const result = cluster.judge(makePod(name, { containers: [{ name: "c", resources: { requests: { cpu } } }] }));
  if (result.kind === "placed") log.record(head(name), { kind: "placed", placed: result, totalNodes: 10 });
  else if (result.kind === "unschedulable") log.record(head(name), { kind: "unschedulable", refused: result });
}

test("DecisionLog.get() tells every node of a young decision", () => {
  const log = new DecisionLog();
  record(log, "a", "1");
  record(log, "b", "100");
  const placed = log.get("default", "a");
  assert.equal(placed?.nodes.length, 10);
  assert.equal(placed?.nodes[0]?.node, placed?.chosenNode);
  assert.equal(log.get("default", "b")?.nodes[0]?.refusedBy?.plugin, "NodeResourcesFit");
  assert.deepEqual(log.get("default", "b")?.refusals, { "Insufficient cpu": 10 });
});

test("DecisionLog keeps the numbers and the best nodes of old decisions when there are many", () => {
  const log = new DecisionLog({ maxPods: 100, maxNodeEntries: 50 });
  for (let i = 0; i < 20; i++) record(log, `p${i}`, i % 2 === 0 ? "1" : "100");
  const placed = log.get("default", "p0");
  assert.equal(placed?.truncated, true);
  assert.equal(placed?.feasibleNodes, 10);
  assert.equal(placed?.nodes.length, 3);
  assert.equal(placed?.nodes[0]?.node, placed?.chosenNode);
  assert.equal(
    placed?.nodes[0]?.total,
    placed?.nodes[0]?.scores?.reduce((sum, { weighted }) => sum + weighted, 0),
  );
  const refused = log.get("default", "p1");
  assert.equal(refused?.nodes.length, 3);
  assert.deepEqual(refused?.refusals, { "Insufficient cpu": 10 });
});

test("DecisionLog forgets the oldest pods beyond its limit, and a pod that is gone", () => {
  const log = new DecisionLog({ maxPods: 5, maxNodeEntries: 1000 });
  for (let i = 0; i < 8; i++) record(log, `p${i}`, "1");
  assert.equal(log.size, 5);
  assert.equal(log.get("default", "p0"), undefined);
  log.forget("default", "p7", "another");
  assert.ok(log.get("default", "p7") !== undefined, "a pod of the same name keeps its decision");
  log.forget("default", "p7", "p7");
  assert.equal(log.get("default", "p7"), undefined);
});
