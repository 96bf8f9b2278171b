import assert from "node:assert/strict";
import { test } from "node:test";
import type { DaemonSet, DaemonSetSpec } from "@knarr/api/generated/types/apps-v1.ts";
import type { Node, Pod, PodSpec, Taint } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { daemonPod, judgeNode, targetNode } from "./daemon-pod.ts";
import { type DaemonSetView, daemonSetStatus, planDaemonSet } from "./daemon-set-plan.ts";
import { FailureBackoff } from "./failure-backoff.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const at = (secondsAgo: number) => new Date(NOW - secondsAgo * 1000).toISOString();

function set(spec: Partial<DaemonSetSpec> = {}, podSpec: Partial<PodSpec> = {}): DaemonSet {
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { namespace: "ns", name: "agent", uid: "set", generation: 2 },
    spec: {
      selector: { matchLabels: { app: "agent" } },
      template: { metadata: { labels: { app: "agent" } }, spec: { containers: [{ name: "c" }], ...podSpec } },
      ...spec,
    },
  };
}
const rolling = (maxUnavailable: number | string, maxSurge: number | string = 0) =>
  set({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable, maxSurge } } });
const node = (name: string, labels: Record<string, string> = {}, taints: Taint[] = []): Node => ({
  metadata: { name, labels },
  spec: { taints },
});
type State = "up" | "down" | "Failed" | "Succeeded";
let serial = 0;
function pod(on: string, hash = "new", state: State = "up", o: { going?: boolean; unbound?: boolean } = {}): Pod {
  const made = daemonPod(set(), on, hash);
  const name = `${on}-${hash}-${serial++}`;
  return {
    ...made,
    metadata: {
      ...made.metadata,
      name,
      uid: name,
      creationTimestamp: at(1000 - serial),
      ...(o.going === true ? { deletionTimestamp: at(1) } : {}),
    },
    spec: { ...(made.spec as PodSpec), ...(o.unbound === true ? {} : { nodeName: on }) },
    status: {
      phase: state === "up" || state === "down" ? "Running" : state,
      conditions: state === "up" ? [{ type: "Ready", status: "True", lastTransitionTime: at(60) }] : [],
    },
  };
}
const view = (of: DaemonSet, nodes: readonly Node[], pods: readonly Pod[]): DaemonSetView => ({
  set: of,
  nodes,
  pods,
  hash: "new",
  backoffMs: () => 0,
  nowMs: NOW,
});
const told = (v: DaemonSetView) => {
  const { create, remove } = planDaemonSet(v);
  return [...create.map((name) => `+${name}`), ...remove.map((p) => `-${p.metadata.name?.replace(/-\d+$/, "")}`)];
};
const three = ["a", "b", "c"].map((name) => node(name));
const taint = (key: string, effect: string): Taint => ({ key, effect });

const rows: { when: string; of?: DaemonSet; nodes?: Node[]; pods: Pod[]; want: string[] }[] = [
  { when: "no node has a pod", pods: [], want: ["+a", "+b", "+c"] },
  { when: "each node has one", pods: [pod("a"), pod("b"), pod("c", "new", "down", { unbound: true })], want: [] },
  { when: "a node has two", pods: [pod("a"), pod("a"), pod("b"), pod("c")], want: ["-a-new"] },
  { when: "one failed", pods: [pod("a", "new", "Failed"), pod("b"), pod("c")], want: ["-a-new"] },
  { when: "one that ended goes", pods: [pod("a", "new", "Failed", { going: true }), pod("b"), pod("c")], want: ["+a"] },
  { when: "one that runs goes", pods: [pod("a", "new", "up", { going: true }), pod("b"), pod("c")], want: [] },
  {
    when: "a node doesn't fit any more",
    of: set({}, { nodeSelector: { disk: "ssd" } }),
    nodes: [node("a")],
    pods: [pod("a")],
    want: ["-a-new"],
  },
  { when: "a node takes no new pods", nodes: [node("a", {}, [taint("x", "NoSchedule")])], pods: [], want: [] },
  {
    when: "a node takes no new pods, but has one",
    nodes: [node("a", {}, [taint("x", "NoSchedule")])],
    pods: [pod("a")],
    want: [],
  },
  {
    when: "a node throws pods out",
    nodes: [node("a", {}, [taint("x", "NoExecute")])],
    pods: [pod("a")],
    want: ["-a-new"],
  },
  {
    when: "a node is cordoned and not ready",
    nodes: [
      node("a", {}, [
        taint("node.kubernetes.io/unschedulable", "NoSchedule"),
        taint("node.kubernetes.io/not-ready", "NoExecute"),
      ]),
    ],
    pods: [],
    want: ["+a"],
  },
  {
    when: "an unbound pod's node is gone",
    nodes: [],
    pods: [pod("z", "new", "down", { unbound: true })],
    want: ["-z-new"],
  },
  {
    when: "the template changed",
    of: rolling(1),
    pods: [pod("a", "old"), pod("b", "old"), pod("c", "old")],
    want: ["-a-old"],
  },
  {
    when: "the template changed and half may be missing",
    of: rolling("50%"),
    pods: [pod("a", "old"), pod("b", "old"), pod("c", "old")],
    want: ["-a-old", "-b-old"],
  },
  {
    when: "a new one isn't ready yet",
    of: rolling(1),
    pods: [pod("a", "new", "down"), pod("b", "old"), pod("c", "old")],
    want: [],
  },
  {
    when: "an old one is broken",
    of: rolling(1),
    pods: [pod("a", "old"), pod("b", "old", "down"), pod("c", "old")],
    want: ["-b-old"],
  },
  {
    when: "the strategy is OnDelete",
    of: set({ updateStrategy: { type: "OnDelete" } }),
    pods: [pod("a", "old"), pod("b"), pod("c")],
    want: [],
  },
  { when: "one may surge", of: rolling(0, 1), pods: [pod("a", "old"), pod("b", "old"), pod("c", "old")], want: ["+a"] },
  {
    when: "the surging one isn't ready yet",
    of: rolling(0, 1),
    pods: [pod("a", "old"), pod("a", "new", "down"), pod("b", "old"), pod("c", "old")],
    want: [],
  },
  {
    when: "the surging one is available",
    of: rolling(0, 1),
    pods: [pod("a", "old"), pod("a"), pod("b", "old"), pod("c", "old")],
    want: ["-a-old"],
  },
  {
    when: "the old one broke while the new one starts",
    of: rolling(0, 1),
    pods: [pod("a", "old", "down"), pod("a", "new", "down"), pod("b"), pod("c")],
    want: ["-a-old"],
  },
];
for (const { when, of = set(), nodes = three, pods, want } of rows) {
  test(`planDaemonSet() says ${want.join(" ") || "nothing"} when ${when}`, () => {
    assert.deepEqual(told(view(of, nodes, pods)), want);
  });
}

test("planDaemonSet() leaves a failed pod alone while its node is backed off from, and looks again", () => {
  const plan = planDaemonSet({ ...view(set(), [node("a")], [pod("a", "new", "Failed")]), backoffMs: () => 1500 });
  assert.deepEqual([plan.remove, plan.requeueAfterMs], [[], 1500]);
  const backoff = new FailureBackoff();
  const remaining = [0, 1000, 3000].map((ms) => {
    backoff.note("set", "a", NOW + ms);
    return backoff.remainingMs("set", "a", NOW + ms);
  });
  assert.deepEqual(remaining, [1000, 2000, 4000]);
});

test("daemonPod() is pinned to its node, tolerates the node's troubles and keeps the template's own terms", () => {
  const requiredDuringSchedulingIgnoredDuringExecution = {
    nodeSelectorTerms: [{ matchExpressions: [{ key: "os", operator: "In", values: ["linux"] }] }],
  };
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution } };
  const of = set({}, { affinity, hostNetwork: true, tolerations: [{ key: "gpu", operator: "Exists" }] });
  const made = daemonPod(of, "a", "h");
  assert.equal(targetNode(made), "a");
  assert.deepEqual(
    made.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms,
    [
      {
        matchExpressions: [{ key: "os", operator: "In", values: ["linux"] }],
        matchFields: [{ key: "metadata.name", operator: "In", values: ["a"] }],
      },
    ],
  );
  assert.deepEqual(
    made.spec?.tolerations?.map(({ key, effect }) => `${key} ${effect}`),
    [
      "gpu undefined",
      "node.kubernetes.io/not-ready NoExecute",
      "node.kubernetes.io/unreachable NoExecute",
      "node.kubernetes.io/disk-pressure NoSchedule",
      "node.kubernetes.io/memory-pressure NoSchedule",
      "node.kubernetes.io/pid-pressure NoSchedule",
      "node.kubernetes.io/unschedulable NoSchedule",
      "node.kubernetes.io/network-unavailable NoSchedule",
    ],
  );
  assert.deepEqual(judgeNode(of, node("a", { os: "linux" })), { shouldRun: true, mayStay: true });
  assert.deepEqual(judgeNode(of, node("a")), { shouldRun: false, mayStay: false });
  assert.equal(made.metadata.generateName, "agent-");
});

test("daemonSetStatus() counts nodes", () => {
  const nodes = [...three, node("d", {}, [taint("x", "NoSchedule")])];
  const pods = [pod("a"), pod("b", "old"), pod("c", "new", "down"), pod("d")];
  assert.deepEqual(daemonSetStatus(view(set(), nodes, pods), undefined), {
    currentNumberScheduled: 3,
    numberMisscheduled: 1,
    desiredNumberScheduled: 3,
    numberReady: 2,
    observedGeneration: 2,
    updatedNumberScheduled: 2,
    numberAvailable: 2,
    numberUnavailable: 1,
  });
});

test("an update keeps to maxUnavailable and maxSurge and updates every node (property)", () => {
  const limits = fc.oneof(
    fc.record({ unavailable: fc.integer({ min: 1, max: 3 }), surge: fc.constant(0) }),
    fc.record({ unavailable: fc.constant(0), surge: fc.integer({ min: 1, max: 3 }) }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      limits,
      fc.infiniteStream(fc.nat(3)),
      (size, { unavailable, surge }, dice) => {
        const nodes = Array.from({ length: size }, (_, i) => node(`n${i}`));
        const of = rolling(unavailable, surge);
        let pods = nodes.map((n) => pod(n.metadata.name ?? "", "old"));
        const up = (list: readonly Pod[]) =>
          new Set(
            list
              .filter((p) => p.status?.conditions?.length === 1 && p.metadata.deletionTimestamp === undefined)
              .map(targetNode),
          ).size;
        for (let i = 0; i < 100; i++) {
          const { create, remove } = planDaemonSet(view(of, nodes, pods));
          pods = [...pods.filter((p) => !remove.includes(p)), ...create.map((name) => pod(name, "new", "down"))];
          assert.ok(up(pods) >= size - unavailable, `${up(pods)} of ${size} up`);
          assert.ok(pods.length <= size + surge, `${pods.length} pods`);
          pods = pods.map((p) =>
            p.status?.conditions?.length === 0 && dice.next().value === 0
              ? { ...p, status: pod("x").status as NonNullable<Pod["status"]> }
              : p,
          );
        }
        assert.deepEqual(
          pods.map((p) => `${targetNode(p)} ${p.metadata.labels?.["controller-revision-hash"]}`).sort(),
          nodes.map((n) => `${n.metadata.name} new`),
        );
      },
    ),
    { numRuns: 60 },
  );
});
