import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNode, makePod, TestCluster } from "../../test/lib/test-cluster.ts";
import { feasibleNodesWanted } from "./cycle.ts";
import { renderFitError } from "./fit-error.ts";
import { podInfoOf } from "./pod-info.ts";

const big = (cpu: string) => ({ containers: [{ name: "c", resources: { requests: { cpu } } }] });

for (const [total, percentage, want] of [
  [10, 0, 10],
  [99, 0, 99],
  [100, 0, 100],
  [1000, 0, 420],
  [5000, 0, 500],
  [6000, 0, 300],
  [1000, 30, 300],
  [1000, 100, 1000],
  [1000, 5, 100],
] as const) {
  test(`feasibleNodesWanted() is ${want} of ${total} nodes at ${percentage} percent`, () => {
    assert.equal(feasibleNodesWanted(total, percentage), want);
  });
}

test("runCycle() says that there are no nodes when there are none", () => {
  const result = new TestCluster({ nodes: [] }).judge(makePod("p"));
  assert.equal(
    result.kind === "unschedulable" && renderFitError(result.diagnosis),
    "no nodes available to schedule pods",
  );
});

test("runCycle() counts reasons and tells what preemption thinks when nothing fits", () => {
  const nodes = [
    makeNode("a", { spec: { unschedulable: true } }),
    makeNode("b", { spec: { taints: [{ key: "k", effect: "NoSchedule" }] } }),
    makeNode("c"),
    makeNode("d"),
  ];
  const pods = ["c", "d"].map((name) => makePod(`on-${name}`, { ...big("3"), nodeName: name, priority: 7 }));
  const result = new TestCluster({ nodes, pods }).judge(makePod("p", big("2")));
  assert.equal(
    result.kind === "unschedulable" && renderFitError(result.diagnosis),
    "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu. " +
      "no new claims to deallocate, preemption: 0/4 nodes are available: " +
      "2 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.",
  );
});

test("runCycle() tries the nominated node first and takes it", () => {
  const cluster = new TestCluster({ nodes: [makeNode("a"), makeNode("b"), makeNode("c")] });
  const pod = makePod("p");
  cluster.nominations.set(podInfoOf(pod), "c");
  const result = cluster.judge(pod);
  assert.equal(result.kind === "placed" && result.nodeName, "c");
  assert.equal(result.kind === "placed" && result.feasible.length, 1);
});

test("runCycle() leaves room for nominated pods of the same priority and not for lower ones", () => {
  for (const [priority, want] of [
    [5, "unschedulable"],
    [6, "placed"],
  ] as const) {
    const cluster = new TestCluster({ nodes: [makeNode("a")] });
    cluster.nominations.set(podInfoOf(makePod("waiting", { ...big("3"), priority: 5 })), "a");
    assert.equal(cluster.judge(makePod("p", { ...big("2"), priority })).kind, want);
  }
});

test("runCycle() chooses among equals by chance", () => {
  const nodes = ["a", "b", "c"].map((name) => makeNode(name));
  const chosen = new Set<string>();
  let seed = 1;
  const random = () => {
    seed = (seed * 16807) % 2147483647;
    return seed / 2147483647;
  };
  const cluster = new TestCluster({ nodes, random });
  for (let i = 0; i < 50; i++) {
    const result = cluster.judge(makePod(`p${i}`));
    if (result.kind === "placed") chosen.add(result.nodeName);
  }
  assert.deepEqual([...chosen].sort(), ["a", "b", "c"]);
});
