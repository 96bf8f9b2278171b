import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { MetricsScraper } from "./scraper.ts";
import { UsageStore } from "./usage-store.ts";

const log = createLogger({ name: "test", level: "silent" });

function node(name: string, ready = "True"): Node {
  return { metadata: { name }, status: { conditions: [{ type: "Ready", status: ready }] } } as Node;
}

interface World {
  readonly clock: FakeClock;
  readonly store: UsageStore;
  readonly scraper: MetricsScraper;
  readonly asked: string[];
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/** A running scraper; kubelets named "hung..." never answer. */
function start(nodes: () => readonly Node[]): World {
  const clock = new FakeClock();
  const store = new UsageStore();
  const asked: string[] = [];
  const fetch = (of: Node, signal: AbortSignal): Promise<string> => {
    const name = of.metadata.name ?? "";
    asked.push(name);
    if (name.startsWith("hung")) {
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    }
    const atMs = clock.now();
    return Promise.resolve(`node_cpu_usage_seconds_total ${atMs / 1000} ${atMs}\nnode_memory_working_set_bytes 1024\n`);
  };
  const scraper = new MetricsScraper({ store, nodes: async () => nodes(), fetch, clock, log });
  const stop = new AbortController();
  return { clock, store, scraper, asked, stop, done: scraper.run(stop.signal) };
}

async function end({ stop, done }: World): Promise<void> {
  stop.abort();
  await done;
}

test("MetricsScraper.run() asks every 15 s at first and every minute when nobody reads", async () => {
  const world = start(() => [node("a")]);
  await world.clock.advance(299_000);
  assert.equal(world.asked.length, 20);
  assert.equal(world.store.node("a")?.cpuNanoCores, 1_000_000_000n);
  await world.clock.advance(61_000);
  const before = world.asked.length;
  await world.clock.advance(600_000);
  assert.equal(world.asked.length - before, 10);
  world.scraper.asked();
  await world.clock.advance(60_000);
  assert.ok(world.asked.length - before >= 14, "a reader makes it quick again");
  await end(world);
});

test("MetricsScraper.asked() wakes a scraper whose figures are old, and only then", async () => {
  const world = start(() => [node("a")]);
  await world.clock.advance(340_000);
  const before = world.asked.length;
  for (let i = 0; i < 50; i++) world.scraper.asked();
  await world.clock.advance(0);
  assert.equal(world.asked.length - before, 1);
  await end(world);
});

test("MetricsScraper.run() lets one hung kubelet hold up nobody, and asks it once at a time", async () => {
  const hung = Array.from({ length: 10 }, (_, i) => node(`hung-${i}`));
  const world = start(() => [...hung, node("a")]);
  await world.clock.advance(16_000);
  assert.notEqual(world.store.node("a"), undefined);
  assert.equal(world.asked.filter((name) => name === "a").length, 2);
  assert.equal(world.asked.filter((name) => name === "hung-0").length, 2);
  await end(world);
});

test("MetricsScraper.run() does not ask nodes that are silent, and forgets nodes that went", async () => {
  let nodes = [node("a"), node("lost", "Unknown")];
  const world = start(() => nodes);
  await world.clock.advance(16_000);
  assert.ok(!world.asked.includes("lost"));
  nodes = [];
  await world.clock.advance(15_000);
  assert.equal(world.store.node("a"), undefined);
  await end(world);
});

test("MetricsScraper.run() goes on when nodes can't be listed", async () => {
  let fails = true;
  const world = start(() => {
    if (fails) throw new Error("no");
    return [node("a")];
  });
  await world.clock.advance(16_000);
  fails = false;
  await world.clock.advance(31_000);
  assert.notEqual(world.store.node("a"), undefined);
  await end(world);
});
