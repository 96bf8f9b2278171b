import assert from "node:assert/strict";
import test from "node:test";
import type { NodeCondition } from "@knarr/api/generated/types/core-v1.ts";
import { parseThresholds } from "../eviction/thresholds.ts";
import { commonLimits } from "../node/common-limits.ts";
import { conditionNews, rebootNews } from "../node/node-events.ts";
import { logLink } from "../pods/log-links.ts";
import { labelComplaint, parseTaint } from "./node-flags.ts";
import { nodeAllocatable, nodeCapacity, nodeConditions } from "./node-status.ts";

const GIBI = 2 ** 30;
const machine = {
  cpuCount: 4,
  memoryBytes: 8 * GIBI,
  diskTotalBytes: 100 * GIBI,
  hugePages: { "hugepages-2Mi": GIBI, "hugepages-1Gi": 0 },
};
const hard = { "memory.available": "100Mi", "nodefs.available": "10%" };
const thresholds = parseThresholds({ hard, soft: {}, softGracePeriod: {}, minimumReclaim: {} }, true);

test("nodeAllocatable() is the capacity without reservations, eviction's reserve and, of memory, huge pages", () => {
  const reserved = [{ cpu: "500m", memory: "1Gi", "hugepages-2Mi": "512Mi" }, { "ephemeral-storage": "1Gi" }];
  assert.deepEqual(nodeAllocatable(machine, { maxPods: 110, reserved, thresholds }), {
    cpu: "3500m",
    memory: "6044Mi",
    "ephemeral-storage": "89Gi",
    pods: "110",
    "hugepages-2Mi": "512Mi",
    "hugepages-1Gi": "0",
  });
  assert.deepEqual(nodeCapacity(machine, 110), {
    cpu: "4",
    memory: "8Gi",
    "ephemeral-storage": "100Gi",
    pods: "110",
    "hugepages-2Mi": "1Gi",
    "hugepages-1Gi": "0",
  });
});

test("nodeAllocatable() never falls below zero", () => {
  const reserved = [{ cpu: "9", memory: "90Gi", "ephemeral-storage": "1Ti", "hugepages-2Mi": "2Gi" }];
  const allocatable = nodeAllocatable(machine, { maxPods: 1, reserved, thresholds });
  assert.deepEqual(
    [allocatable.cpu, allocatable.memory, allocatable["ephemeral-storage"], allocatable["hugepages-2Mi"]],
    ["0", "0", "0", "0"],
  );
});

test("commonLimits() keeps what is reserved from the pods together, unless that is not enforced", () => {
  const config = { systemReserved: { cpu: "1", memory: "1Gi" }, kubeReserved: { memory: "1Gi" } };
  assert.deepEqual(commonLimits({ ...config, enforceNodeAllocatable: ["pods"] }, machine), {
    cpuShares: 3072,
    memoryLimitBytes: 6 * GIBI,
  });
  assert.deepEqual(commonLimits({ ...config, enforceNodeAllocatable: ["none"] }, machine), { cpuShares: 4096 });
});

const NOW = "2026-01-01T00:00:00Z";

test("nodeConditions() uses upstream's words and keeps the time of what did not change", () => {
  const first = nodeConditions({ pressures: [], notReady: [] }, [], "2025-01-01T00:00:00Z");
  const next = nodeConditions({ pressures: ["DiskPressure"], notReady: ["a", "b"] }, first, NOW);
  const view = (list: readonly NodeCondition[]) =>
    list.map((c) => [c.type, c.status, c.reason, c.message, c.lastTransitionTime].join("|"));
  assert.deepEqual(view(next), [
    "MemoryPressure|False|KubeletHasSufficientMemory|kubelet has sufficient memory available|2025-01-01T00:00:00Z",
    `DiskPressure|True|KubeletHasDiskPressure|kubelet has disk pressure|${NOW}`,
    "PIDPressure|False|KubeletHasSufficientPID|kubelet has sufficient PID available|2025-01-01T00:00:00Z",
    `Ready|False|KubeletNotReady|[a, b]|${NOW}`,
  ]);
  assert.deepEqual(
    conditionNews("n", first, next).map((n) => n.message),
    ["Node n status is now: NodeHasDiskPressure", "Node n status is now: NodeNotReady"],
  );
});

test("rebootNews() is told when the boot id changed", () => {
  const node = { metadata: { name: "n" }, status: { nodeInfo: { bootID: "1" } } } as Parameters<typeof rebootNews>[0];
  assert.equal(rebootNews(node, "1"), undefined);
  assert.equal(rebootNews(undefined, "1"), undefined);
  assert.equal(rebootNews(node, "2")?.message, "Node n has been rebooted, boot id: 2");
});

const labels: { label: string; ok: boolean }[] = [
  { label: "rack", ok: true },
  { label: "example.com/rack", ok: true },
  { label: "notkubernetes.io/rack", ok: true },
  { label: "node.kubernetes.io/rack", ok: true },
  { label: "sub.node.kubernetes.io/rack", ok: true },
  { label: "topology.kubernetes.io/zone", ok: true },
  { label: "node-role.kubernetes.io/worker", ok: false },
  { label: "kubernetes.io/rack", ok: false },
  { label: "x.k8s.io/rack", ok: false },
];
for (const { label, ok } of labels) {
  test(`labelComplaint() ${ok ? "lets a kubelet set" : "keeps a kubelet from setting"} ${label}`, () => {
    assert.equal(labelComplaint({ [label]: "a" }) === undefined, ok);
  });
}

test("labelComplaint() and parseTaint() refuse what the API would", () => {
  assert.match(labelComplaint({ rack: "not a value" }) ?? "", /--node-labels: rack=not a value/);
  assert.deepEqual(parseTaint("a=b:NoSchedule"), { key: "a", value: "b", effect: "NoSchedule" });
  assert.deepEqual(parseTaint("a:NoExecute"), { key: "a", effect: "NoExecute" });
  assert.throws(() => parseTaint("a=b:Never"), /must be key=value:effect/);
});

test("logLink() names a link as log collectors look for it and cuts what is too long", () => {
  const of = (name: string) =>
    logLink(
      {
        id: "abc",
        podSandboxId: "s",
        name: "main",
        attempt: 0,
        image: "",
        imageRef: "",
        state: "running",
        createdAt: 0,
        labels: {
          "io.kubernetes.pod.name": name,
          "io.kubernetes.pod.namespace": "ns",
          "io.kubernetes.pod.uid": "u",
          "io.kubernetes.container.name": "main",
        },
        annotations: { "io.kubernetes.container.restartCount": "2" },
      },
      "/var/log/pods",
    );
  assert.deepEqual(of("p"), { name: "p_ns_main-abc.log", target: "/var/log/pods/ns_p_u/main/2.log" });
  assert.equal(of("p".repeat(300))?.name.length, 255);
});
