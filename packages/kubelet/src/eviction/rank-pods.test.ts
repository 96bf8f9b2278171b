import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { container } from "../core/testing.ts";
import { refuseUnderPressure } from "./admit-under-pressure.ts";
import { storageExcess } from "./local-storage.ts";
import { evictionText } from "./messages.ts";
import { EVERY_PART, type PodUsage } from "./pod-usage.ts";
import { rankPods } from "./rank-pods.ts";
import { parseThresholds } from "./thresholds.ts";

const MEBI = 2 ** 20;

interface Told {
  readonly name: string;
  readonly priority?: number;
  readonly requestMi?: number;
  readonly usedMi?: number;
  readonly diskMi?: number;
  readonly inodes?: number;
  readonly pids?: number;
}

function podOf({ name, priority, requestMi }: Told): Pod {
  const requests = requestMi === undefined ? {} : { memory: `${requestMi}Mi`, "ephemeral-storage": `${requestMi}Mi` };
  return {
    metadata: { name, namespace: "ns", uid: name },
    spec: {
      containers: [container("main", { resources: { requests } })],
      ...(priority === undefined ? {} : { priority }),
    },
  };
}

function usageOf({ usedMi, diskMi, inodes, pids }: Told): PodUsage | undefined {
  if (usedMi === undefined && diskMi === undefined && inodes === undefined && pids === undefined) return undefined;
  const memoryBytes = (usedMi ?? 0) * MEBI;
  const rootfs = { bytes: (diskMi ?? 0) * MEBI, inodes: inodes ?? 0 };
  return {
    memoryBytes,
    processes: pids,
    containers: [{ name: "main", memoryBytes, rootfs, logs: { bytes: 0, inodes: 0 } }],
    volumes: new Map(),
  };
}

const order = (told: readonly Told[], resource: "memory" | "pids" | "ephemeral-storage" | "inodes") =>
  rankPods(
    told.map(podOf),
    resource,
    (pod) => usageOf(told.find((t) => t.name === pod.metadata.name) ?? { name: "" }),
    EVERY_PART,
  ).map((pod) => pod.metadata.name);

const table: { name: string; resource: Parameters<typeof order>[1]; told: Told[]; want: string[] }[] = [
  {
    name: "those beyond their request before those within, whatever their priority",
    resource: "memory",
    told: [
      { name: "within", requestMi: 500, usedMi: 400 },
      { name: "beyond", requestMi: 10, usedMi: 20, priority: 1000 },
    ],
    want: ["beyond", "within"],
  },
  {
    name: "the lower priority first among equals",
    resource: "memory",
    told: [
      { name: "high", usedMi: 900, priority: 10 },
      { name: "low", usedMi: 5, priority: 1 },
    ],
    want: ["low", "high"],
  },
  {
    name: "who uses most beyond the request, not who uses most",
    resource: "memory",
    told: [
      { name: "large", requestMi: 900, usedMi: 910 },
      { name: "greedy", requestMi: 10, usedMi: 100 },
    ],
    want: ["greedy", "large"],
  },
  {
    name: "pods of which nothing is known first",
    resource: "memory",
    told: [{ name: "known", usedMi: 100 }, { name: "unknown" }],
    want: ["unknown", "known"],
  },
  {
    name: "by disk beyond the request",
    resource: "ephemeral-storage",
    told: [
      { name: "asked", requestMi: 100, diskMi: 99 },
      { name: "unasked", diskMi: 1 },
    ],
    want: ["unasked", "asked"],
  },
  {
    name: "by inodes",
    resource: "inodes",
    told: [
      { name: "few", inodes: 3 },
      { name: "many", inodes: 9 },
    ],
    want: ["many", "few"],
  },
  {
    name: "by processes",
    resource: "pids",
    told: [
      { name: "few", pids: 3 },
      { name: "many", pids: 9 },
    ],
    want: ["many", "few"],
  },
];
for (const { name, resource, told, want } of table) {
  test(`rankPods() puts ${name}`, () => assert.deepEqual(order(told, resource), want));
}

test("rankPods() never puts a pod within its request before one beyond it, and keeps every pod", () => {
  const any = fc.record({
    requestMi: fc.integer({ min: 0, max: 50 }),
    usedMi: fc.integer({ min: 0, max: 50 }),
    priority: fc.integer({ min: -5, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 12 }), (list) => {
      const told = list.map((t, i) => ({ ...t, name: `p${i}` }));
      const ranked = order(told, "memory").map((name) => told.find((t) => t.name === name));
      assert.equal(new Set(ranked).size, told.length);
      const beyond = ranked.map((t) => (t?.usedMi ?? 0) > (t?.requestMi ?? 0));
      assert.ok(!beyond.some((is, i) => is && beyond.slice(0, i).includes(false)));
    }),
  );
});

test("evictionText() says what upstream says", () => {
  const thresholds = parseThresholds(
    { hard: { "memory.available": "10%" }, soft: {}, softGracePeriod: {}, minimumReclaim: {} },
    false,
  );
  const told = { name: "p", requestMi: 10, usedMi: 20 };
  const observations = { "memory.available": { available: 50 * MEBI, capacity: 1000 * MEBI, at: 1 } };
  assert.deepEqual(evictionText(podOf(told), "memory", usageOf(told), thresholds, observations), {
    message:
      "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. " +
      "Container main was using 20Mi, request is 10Mi, has larger consumption of memory. ",
    annotations: { offending_containers: "main", offending_containers_usage: "20Mi", starved_resource: "memory" },
  });
});

const limited = (more: object): Pod => ({
  metadata: { name: "p", namespace: "ns", uid: "p" },
  spec: { containers: [container("main", more)], volumes: [{ name: "v", emptyDir: { sizeLimit: "1Mi" } }] },
});
const used = (volumeMi: number, layerMi: number, logsMi: number): PodUsage => ({
  memoryBytes: 0,
  processes: 0,
  containers: [
    {
      name: "main",
      memoryBytes: 0,
      rootfs: { bytes: layerMi * MEBI, inodes: 1 },
      logs: { bytes: logsMi * MEBI, inodes: 1 },
    },
  ],
  volumes: new Map([["v", { bytes: volumeMi * MEBI, inodes: 1 }]]),
});

test("storageExcess() holds volumes, pods and containers to their limits", () => {
  const limits = { resources: { limits: { "ephemeral-storage": "3Mi" } } };
  assert.equal(storageExcess(limited(limits), used(1, 1, 1), false), undefined);
  assert.equal(storageExcess(limited({}), used(0, 100, 100), false), undefined);
  assert.equal(
    storageExcess(limited(limits), used(2, 0, 0), false),
    'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
  );
  assert.equal(
    storageExcess(limited(limits), used(1, 2, 1), false),
    "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ",
  );
  const two: Pod = {
    metadata: {},
    spec: { containers: [container("main", limits), container("idle", limits)] },
  };
  assert.equal(
    storageExcess(two, used(0, 3, 1), false),
    'Container main exceeded its local ephemeral storage limit "3Mi". ',
  );
  assert.equal(storageExcess(two, used(0, 3, 1), true), undefined, "layers are on another filesystem");
});

test("refuseUnderPressure() lets in what asks for memory or is critical, and nobody under disk pressure", () => {
  const best = podOf({ name: "best" });
  const burstable = podOf({ name: "burstable", requestMi: 1 });
  const critical = podOf({ name: "critical", priority: 2_000_000_000 });
  const tolerations = [{ key: "node.kubernetes.io/memory-pressure", operator: "Exists" }];
  const tolerant = { ...best, spec: { containers: [container("main")], tolerations } };
  const refused = (pod: Pod, ...conditions: Parameters<typeof refuseUnderPressure>[1]) =>
    refuseUnderPressure(pod, conditions)?.message;
  assert.equal(refused(best), undefined);
  assert.equal(refused(best, "MemoryPressure"), "The node had condition: [MemoryPressure]. ");
  assert.equal(refused(burstable, "MemoryPressure"), undefined);
  assert.equal(refused(tolerant, "MemoryPressure"), undefined);
  assert.equal(refused(tolerant, "DiskPressure"), "The node had condition: [DiskPressure]. ");
  assert.equal(
    refused(burstable, "DiskPressure", "MemoryPressure"),
    "The node had condition: [DiskPressure MemoryPressure]. ",
  );
  assert.equal(refused(critical, "DiskPressure", "MemoryPressure"), undefined);
});
