import assert from "node:assert/strict";
import { test } from "node:test";
import type { Lease } from "@knarr/api/generated/types/coordination-v1.ts";
import type { Node, Pod, Taint, Toleration } from "@knarr/api/generated/types/core-v1.ts";
import { evictionRates, judgeNode, type NodeHealth, planLabels, planTaints, zoneState } from "./node-health-plan.ts";
import { planEviction } from "./taint-eviction-plan.ts";

const NOW = Date.UTC(2026, 0, 1);

function node(
  ready: string | undefined,
  more: { taints?: Taint[]; unschedulable?: boolean; heartbeat?: string } = {},
): Node {
  const conditions =
    ready === undefined
      ? []
      : [{ type: "Ready", status: ready, lastHeartbeatTime: more.heartbeat ?? "2026-01-01T00:00:00Z" }];
  return {
    metadata: { name: "n", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { ...(more.taints === undefined ? {} : { taints: more.taints }), unschedulable: more.unschedulable },
    status: { conditions },
  };
}
const lease = (renewTime: string): Lease => ({ metadata: { name: "n" }, spec: { renewTime } });

/** Judges a series of observations, `stepMs` apart, and returns whether the node ended up silent. */
function isSilent(steps: { node: Node; lease?: Lease }[], stepMs: number): boolean {
  let health: NodeHealth | undefined;
  let silent = false;
  for (const [i, step] of steps.entries()) {
    const judgement = judgeNode({
      node: step.node,
      lease: step.lease,
      health,
      nowMs: NOW + i * stepMs,
      monotonicMs: i * stepMs,
      gracePeriodMs: 40_000,
      startupGracePeriodMs: 60_000,
    });
    health = judgement.health;
    silent = judgement.conditions !== undefined;
  }
  return silent;
}

const silence: { name: string; steps: { node: Node; lease?: Lease }[]; stepMs: number; want: boolean }[] = [
  { name: "it was just seen", steps: [{ node: node("True") }], stepMs: 0, want: false },
  {
    name: "nothing changed for 41 s",
    steps: [
      { node: node("True"), lease: lease("a") },
      { node: node("True"), lease: lease("a") },
    ],
    stepMs: 41_000,
    want: true,
  },
  {
    name: "its lease is renewed",
    steps: ["a", "b", "c"].map((time) => ({ node: node("True"), lease: lease(time) })),
    stepMs: 30_000,
    want: false,
  },
  {
    name: "its status is reported without a lease",
    steps: ["1", "2", "3"].map((heartbeat) => ({ node: node("True", { heartbeat }) })),
    stepMs: 30_000,
    want: false,
  },
  {
    name: "it never reported for 50 s: it may be starting",
    steps: [{ node: node(undefined) }, { node: node(undefined) }],
    stepMs: 50_000,
    want: false,
  },
  {
    name: "it never reported for 61 s",
    steps: [{ node: node(undefined) }, { node: node(undefined) }],
    stepMs: 61_000,
    want: true,
  },
];
for (const { name, steps, stepMs, want } of silence) {
  test(`judgeNode() finds a node ${want ? "silent" : "alive"} when ${name}`, () => {
    assert.equal(isSilent(steps, stepMs), want);
  });
}

test("judgeNode() does not take its own Unknown for a sign of life", () => {
  const input = { lease: lease("a"), nowMs: NOW, gracePeriodMs: 40_000, startupGracePeriodMs: 60_000 };
  const first = judgeNode({ ...input, node: node("True"), health: undefined, monotonicMs: 0 });
  const second = judgeNode({ ...input, node: node("True"), health: first.health, monotonicMs: 41_000 });
  assert.deepEqual(
    second.conditions?.map(({ type, status, reason }) => [type, status, reason]),
    [
      ["Ready", "Unknown", "NodeStatusUnknown"],
      ["MemoryPressure", "Unknown", "NodeStatusNeverUpdated"],
      ["DiskPressure", "Unknown", "NodeStatusNeverUpdated"],
      ["PIDPressure", "Unknown", "NodeStatusNeverUpdated"],
    ],
  );
  const unknown = { ...node("Unknown"), status: { conditions: [...(second.conditions ?? [])] } };
  const third = judgeNode({ ...input, node: unknown, health: second.health, monotonicMs: 42_000 });
  assert.deepEqual([third.ready, third.conditions], ["Unknown", undefined]);
});

const notReady = "node.kubernetes.io/not-ready";
const unreachable = "node.kubernetes.io/unreachable";
const taintRows: { name: string; node: Node; evict: boolean | "never"; want: string[] | undefined }[] = [
  { name: "it is ready", node: node("True"), evict: false, want: undefined },
  { name: "it is not ready", node: node("False"), evict: false, want: [`${notReady}:NoSchedule`] },
  {
    name: "it is unreachable and may be emptied",
    node: node("Unknown"),
    evict: true,
    want: [`${unreachable}:NoSchedule`, `${unreachable}:NoExecute`],
  },
  {
    name: "it is cordoned",
    node: node("True", { unschedulable: true }),
    evict: false,
    want: ["node.kubernetes.io/unschedulable:NoSchedule"],
  },
  {
    name: "it became ready again",
    node: node("True", {
      taints: [
        { key: unreachable, effect: "NoExecute" },
        { key: unreachable, effect: "NoSchedule" },
        { key: "mine", effect: "NoSchedule" },
      ],
    }),
    evict: false,
    want: ["mine:NoSchedule"],
  },
  {
    name: "it went from not ready to unreachable",
    node: node("Unknown", {
      taints: [
        { key: notReady, effect: "NoSchedule" },
        { key: notReady, effect: "NoExecute" },
      ],
    }),
    evict: false,
    want: [`${unreachable}:NoSchedule`, `${unreachable}:NoExecute`],
  },
  {
    name: "every node is down",
    node: node("Unknown", {
      taints: [
        { key: unreachable, effect: "NoSchedule" },
        { key: unreachable, effect: "NoExecute" },
      ],
    }),
    evict: "never",
    want: [`${unreachable}:NoSchedule`],
  },
];
for (const { name, node: n, evict, want } of taintRows) {
  test(`planTaints() gives a node ${want?.join(", ") ?? "nothing new"} when ${name}`, () => {
    const taints = planTaints(n, evict, NOW)?.map(({ key, effect }) => `${key}:${effect}`);
    assert.deepEqual(taints?.toSorted(), want?.toSorted());
  });
}

test("zoneState() tells partial from full disruption", () => {
  assert.deepEqual(
    [zoneState(2, 1, 0.55), zoneState(1, 2, 0.55), zoneState(2, 3, 0.55), zoneState(0, 1, 0.55)],
    ["Normal", "Normal", "PartialDisruption", "FullDisruption"],
  );
});

test("evictionRates() slows down in unhealthy zones and stops when all are down", () => {
  const options = {
    unhealthyZoneThreshold: 0.55,
    largeClusterSizeThreshold: 4,
    nodeEvictionRate: 0.1,
    secondaryNodeEvictionRate: 0.01,
  };
  const zone = (name: string, ready: number, down: number) => [
    ...Array.from({ length: ready }, () => ({ zone: name, ready: true })),
    ...Array.from({ length: down }, () => ({ zone: name, ready: false })),
  ];
  const rates = evictionRates(
    [...zone("a", 3, 1), ...zone("b", 1, 3), ...zone("c", 1, 4), ...zone("d", 0, 2)],
    options,
  );
  assert.deepEqual(Object.fromEntries(rates === "never" ? [] : rates), { a: 0.1, b: 0, c: 0.01, d: 0.1 });
  assert.equal(evictionRates([...zone("a", 0, 2), ...zone("b", 0, 1)], options), "never");
});

const taint = (seconds?: number): Taint => ({
  key: unreachable,
  effect: "NoExecute",
  ...(seconds === undefined ? {} : { timeAdded: new Date(NOW + seconds * 1000).toISOString() }),
});
const tolerate = (tolerationSeconds?: number): Toleration => ({
  key: unreachable,
  operator: "Exists",
  effect: "NoExecute",
  ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
});
const evictions: {
  name: string;
  tolerations: Toleration[];
  taints: Taint[];
  startSeconds?: number;
  want: number | "stay";
}[] = [
  { name: "there is no taint", tolerations: [], taints: [], want: "stay" },
  {
    name: "the taint only forbids scheduling",
    tolerations: [],
    taints: [{ ...taint(), effect: "NoSchedule" }],
    want: "stay",
  },
  { name: "it does not tolerate the taint", tolerations: [], taints: [taint(-50)], want: 0 },
  { name: "it tolerates it for ever", tolerations: [tolerate()], taints: [taint(-50)], want: "stay" },
  {
    name: "it tolerates it for 300 s",
    tolerations: [tolerate(300)],
    taints: [taint(-50)],
    startSeconds: -1000,
    want: 250,
  },
  {
    name: "it started after the taint",
    tolerations: [tolerate(300)],
    taints: [taint(-50)],
    startSeconds: -10,
    want: 290,
  },
  { name: "the taint has no time", tolerations: [tolerate(300)], taints: [taint()], startSeconds: -1000, want: 300 },
  {
    name: "two tolerations match: the first counts",
    tolerations: [tolerate(300), tolerate(20)],
    taints: [taint(0)],
    startSeconds: -1,
    want: 300,
  },
  { name: "tolerationSeconds is negative", tolerations: [tolerate(-5)], taints: [taint(0)], startSeconds: -1, want: 0 },
  {
    name: "one of two taints is not tolerated",
    tolerations: [tolerate()],
    taints: [taint(0), { key: "other", effect: "NoExecute" }],
    want: 0,
  },
];
for (const { name, tolerations, taints, startSeconds, want } of evictions) {
  test(`planEviction() answers ${want === "stay" ? "stay" : `evict after ${want} s`} when ${name}`, () => {
    const status = startSeconds === undefined ? {} : { startTime: new Date(NOW + startSeconds * 1000).toISOString() };
    const pod: Pod = { metadata: {}, spec: { containers: [], tolerations }, status };
    const plan = planEviction(pod, taints, NOW);
    assert.deepEqual(plan, want === "stay" ? { kind: "stay" } : { kind: "evict", atMs: NOW + want * 1000 });
  });
}

const labelRows = [
  { name: "there are none", labels: {}, want: undefined },
  {
    name: "the older ones are missing",
    labels: { "kubernetes.io/os": "linux" },
    want: { "beta.kubernetes.io/os": "linux" },
  },
  {
    name: "they are equal",
    labels: { "kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux" },
    want: undefined,
  },
  {
    name: "they differ",
    labels: { "kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "x" },
    want: { "beta.kubernetes.io/arch": "arm64" },
  },
];
for (const { name, labels, want } of labelRows) {
  test(`planLabels() sets ${JSON.stringify(want)} when ${name}`, () => assert.deepEqual(planLabels(labels), want));
}
