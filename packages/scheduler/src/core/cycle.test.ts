import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { defaultFramework } from "../plugins/index.ts";
import { feasibleNodesWanted, runCycle } from "./cycle.ts";
import { renderFitError } from "./fit-error.ts";
import { SchedulerCache } from "./snapshot.ts";

const framework = defaultFramework("default-scheduler", { name: "NoBinder", bind: async () => undefined });
const node = (name: string, more: Partial<Node> = {}): Node => ({
  ...more,
  metadata: { name, labels: { "kubernetes.io/hostname": name }, ...more.metadata },
  status: { allocatable: { cpu: "4", memory: "8Gi", pods: "110" }, ...more.status },
});
const pod = (name: string, cpu = "100m", spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod => ({
  metadata: { name, namespace: "default", uid: name },
  spec: { containers: [{ name: "c", resources: { requests: { cpu } } }], ...spec },
});
const place = (nodes: Node[], placed: [Pod, string][], wanted: Pod) => {
  const cache = new SchedulerCache();
  for (const n of nodes) cache.setNode(n);
  for (const [p, on] of placed) cache.assume(p, on);
  const options = { random: () => 0, startIndex: 0, percentageOfNodesToScore: 0 };
  const result = runCycle(framework, wanted, cache.snapshot(), options);
  if (result.kind === "placed") return result.nodeName;
  return result.kind === "unschedulable" ? renderFitError(result.diagnosis) : result.status.reasons.join();
};
const tainted = (effect: string) => ({ spec: { taints: [{ key: "dedicated", value: "db", effect }] } });
const port = (hostPort: number) => ({ containers: [{ name: "c", ports: [{ containerPort: hostPort, hostPort }] }] });

const cases: { name: string; nodes: Node[]; placed?: [Pod, string][]; pod: Pod; want: string }[] = [
  { name: "there are no nodes", nodes: [], pod: pod("p"), want: "no nodes available to schedule pods" },
  {
    name: "one node is emptier",
    nodes: [node("a"), node("b")],
    placed: [[pod("x", "3"), "a"]],
    pod: pod("p"),
    want: "b",
  },
  {
    name: "CPU and pods are short on different nodes",
    nodes: [node("a"), node("b", { status: { allocatable: { cpu: "8", memory: "8Gi", pods: "0" } } })],
    pod: pod("p", "5"),
    want: "0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods.",
  },
  {
    name: "nodes are cordoned, tainted and of the wrong kind",
    nodes: [node("a", { spec: { unschedulable: true } }), node("b", tainted("NoSchedule")), node("c")],
    pod: pod("p", "1", { nodeSelector: { disk: "ssd" } }),
    want:
      "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, " +
      "1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
  },
  {
    name: "a taint is only a preference",
    nodes: [node("a", tainted("PreferNoSchedule")), node("b")],
    placed: [[pod("x", "2"), "b"]],
    pod: pod("p"),
    want: "b",
  },
  {
    name: "the taint is tolerated and the other node is full",
    nodes: [node("a", tainted("NoSchedule")), node("b")],
    placed: [[pod("x", "4"), "b"]],
    pod: pod("p", "1", { tolerations: [{ key: "dedicated", operator: "Exists" }] }),
    want: "a",
  },
  {
    name: "the host port is taken on every node",
    nodes: [node("a")],
    placed: [[pod("x", "1", port(80)), "a"]],
    pod: pod("p", "1", port(80)),
    want: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
  },
  {
    name: "preferred affinity outweighs load",
    nodes: [node("a", { metadata: { labels: { zone: "z" } } }), node("b")],
    placed: [[pod("x", "1"), "a"]],
    pod: pod("p", "1", {
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1, preference: { matchExpressions: [{ key: "zone", operator: "Exists" }] } },
          ],
        },
      },
    }),
    want: "a",
  },
];
for (const row of cases) {
  test(`runCycle() answers as upstream when ${row.name}`, () => {
    assert.equal(place(row.nodes, row.placed ?? [], row.pod), row.want);
  });
}

test("runCycle() never places over allocatable whatever the pods (seed printed)", () => {
  const seed = Date.now() % 100_000;
  let state = seed + 1;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  const cache = new SchedulerCache();
  for (let i = 0; i < 5; i++) cache.setNode(node(`n${i}`));
  for (let i = 0; i < 200; i++) {
    const wanted = pod(`p${i}`, `${Math.ceil(random() * 900)}m`);
    const options = { random, startIndex: i % 5, percentageOfNodesToScore: 0 };
    const result = runCycle(framework, wanted, cache.snapshot(), options);
    if (result.kind === "placed") cache.assume(wanted, result.nodeName);
    if (random() < 0.2) cache.forget(pod(`p${Math.floor(random() * i)}`));
    for (const info of cache.snapshot().nodes) {
      assert.ok((info.requested.get("cpu") ?? 0) <= 4000, `seed ${seed}, step ${i}`);
    }
  }
});

for (const [nodes, percentage, want] of [
  [50, 0, 50],
  [100, 0, 100],
  [1000, 0, 420],
  [6000, 0, 300],
  [1000, 100, 1000],
  [1000, 1, 100],
] as const) {
  test(`feasibleNodesWanted() is ${want} when ${nodes} nodes and ${percentage} % are given`, () => {
    assert.equal(feasibleNodesWanted(nodes, percentage), want);
  });
}
