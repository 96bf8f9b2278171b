import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { pod } from "../core/testing.ts";
import { type Eviction, EvictionManager } from "./eviction-manager.ts";
import type { PodUsage } from "./pod-usage.ts";
import type { Signal } from "./signals.ts";
import { parseThresholds, type ThresholdTexts } from "./thresholds.ts";

const MEBI = 2 ** 20;

/** A node of numbers: what is free of each signal, what each pod uses, what was done to it. */
class FakeNode {
  readonly clock = new FakeClock();
  readonly free: Partial<Record<Signal, number>> = {};
  readonly running = new Map<string, { pod: Pod; memoryMi: number }>();
  readonly evicted: (Eviction & { name: string })[] = [];
  readonly events: string[] = [];
  reclaims = 0;
  /** What a reclaim frees. */
  onReclaim = () => {};
  readonly manager: EvictionManager;

  constructor(texts: Partial<ThresholdTexts>) {
    const all = { hard: {}, soft: {}, softGracePeriod: {}, minimumReclaim: {}, ...texts };
    this.manager = new EvictionManager({
      thresholds: parseThresholds(all, false),
      transitionMs: 60_000,
      maxPodGraceSeconds: 7,
      clock: this.clock,
      log: createLogger({ name: "test", level: "silent" }),
      onConditions: () => this.events.push(`conditions ${this.manager.conditions.join()}`),
      node: {
        measure: async () => ({
          dedicatedImageFs: false,
          observations: Object.fromEntries(
            Object.entries(this.free).map(([signal, available]) => [
              signal,
              { available: available * MEBI, capacity: 1000 * MEBI, at: this.clock.now() },
            ]),
          ),
        }),
        pods: () => [...this.running.values()].map((r) => r.pod),
        usage: async () => new Map([...this.running].map(([uid, r]) => [uid, usageOf(r.memoryMi)])),
        evict: (p, eviction) => {
          this.evicted.push({ ...eviction, name: p.metadata.name ?? "" });
          this.running.delete(p.metadata.uid ?? "");
        },
        isCleanedUp: () => true,
        reclaim: async () => {
          this.reclaims++;
          this.onReclaim();
        },
        event: (reason, message) => this.events.push(`${reason}: ${message}`),
      },
    });
  }

  add(name: string, memoryMi: number, spec: Parameters<typeof pod>[0] = {}): void {
    this.running.set(name, { pod: pod(spec, { name, uid: name }), memoryMi });
  }

  async look(ms = 1000): Promise<string[]> {
    await this.clock.advance(ms);
    return (await this.manager.synchronize()).map((p) => p.metadata.name ?? "");
  }
}

function usageOf(memoryMi: number): PodUsage {
  return { memoryBytes: memoryMi * MEBI, processes: 1, containers: [], volumes: new Map() };
}

test("EvictionManager ends one pod a look, at once and again until the threshold is met no more", async () => {
  const node = new FakeNode({ hard: { "memory.available": "100Mi" } });
  for (const [name, used] of [
    ["small", 10],
    ["large", 300],
    ["middle", 200],
  ] as const)
    node.add(name, used);
  node.free["memory.available"] = 500;
  assert.deepEqual(await node.look(), []);
  node.free["memory.available"] = 50;
  assert.deepEqual(await node.look(), ["large"]);
  assert.deepEqual(await node.look(), ["middle"]);
  node.free["memory.available"] = 100;
  assert.deepEqual(await node.look(), []);
  assert.equal(node.evicted[0]?.graceSeconds, 1);
  assert.equal(node.reclaims, 0, "images are no memory");
  assert.deepEqual(node.events, [
    "conditions MemoryPressure",
    "EvictionThresholdMet: Attempting to reclaim memory",
    "EvictionThresholdMet: Attempting to reclaim memory",
  ]);
});

test("EvictionManager gives pods of a soft threshold their grace, at most the configured", async () => {
  const node = new FakeNode({
    soft: { "memory.available": "100Mi" },
    softGracePeriod: { "memory.available": "30s" },
  });
  node.add("patient", 10, { terminationGracePeriodSeconds: 60 });
  node.add("hasty", 5, { terminationGracePeriodSeconds: 3 });
  node.free["memory.available"] = 50;
  assert.deepEqual(await node.look(), []);
  assert.deepEqual(await node.look(30_000), ["patient"]);
  assert.deepEqual(await node.look(), ["hasty"]);
  assert.deepEqual(
    node.evicted.map((e) => e.graceSeconds),
    [7, 3],
  );
});

test("EvictionManager takes back what nobody uses before it ends pods, and none when that is enough", async () => {
  const node = new FakeNode({
    hard: { "nodefs.available": "100Mi" },
    minimumReclaim: { "nodefs.available": "50Mi" },
  });
  node.add("a", 1);
  node.free["nodefs.available"] = 50;
  node.onReclaim = () => (node.free["nodefs.available"] = 120);
  assert.deepEqual(await node.look(), ["a"], "the minimum reclaim is not free yet");
  node.add("b", 1);
  node.onReclaim = () => (node.free["nodefs.available"] = 150);
  assert.deepEqual(await node.look(), []);
  assert.equal(node.reclaims, 2);
});

test("EvictionManager spares critical and static pods, and asks again only after a while when it can do nothing", async () => {
  const node = new FakeNode({ hard: { "memory.available": "100Mi" } });
  node.add("critical", 900, { priority: 2_000_000_000 });
  const manifest = pod({}, { name: "static", uid: "static", annotations: { "kubernetes.io/config.source": "file" } });
  node.running.set("static", { pod: manifest, memoryMi: 900 });
  node.free["memory.available"] = 1;
  for (let look = 0; look < 10; look++) assert.deepEqual(await node.look(), []);
  assert.equal(node.events.filter((e) => e.startsWith("EvictionThresholdMet")).length, 1);
  await node.look();
  assert.equal(node.events.filter((e) => e.startsWith("EvictionThresholdMet")).length, 2);
});

test("EvictionManager tells a condition until the transition period is over", async () => {
  const node = new FakeNode({ hard: { "pid.available": "100Mi" } });
  node.free["pid.available"] = 1;
  await node.look();
  assert.deepEqual(node.manager.conditions, ["PIDPressure"]);
  node.free["pid.available"] = 900;
  await node.look(59_000);
  assert.deepEqual(node.manager.conditions, ["PIDPressure"]);
  await node.look(1000);
  assert.deepEqual(node.manager.conditions, []);
});
