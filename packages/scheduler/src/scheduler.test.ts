/** The loop without an API: plain objects in, bindings out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { frameworkOf, listersOf, makeNode, makePod } from "../test/lib/test-cluster.ts";
import { DecisionLog } from "./core/decisions.ts";
import { Nominations } from "./core/nominations.ts";
import { createMetrics } from "./metrics.ts";
import { Scheduler, type SchedulerOptions } from "./scheduler.ts";

class World {
  readonly clock = new FakeClock();
  readonly bound = new Map<string, string>();
  readonly messages = new Map<string, string>();
  readonly nominated = new Map<string, string>();
  readonly pods = new Map<string, Pod>();
  readonly decisions = new DecisionLog();
  readonly scheduler: Scheduler;
  /** Fails bindings while it answers something. */
  bindError: (pod: Pod) => Error | undefined = () => undefined;
  preempted: string[] = [];

  constructor(more: Partial<SchedulerOptions> = {}) {
    const nominations = new Nominations();
    const preempting = new Set<string>();
    const framework = frameworkOf(undefined, {
      listers: listersOf({}),
      writes: {
        bind: async (pod, nodeName) => {
          const error = this.bindError(pod);
          if (error !== undefined) throw error;
          const name = pod.metadata.name ?? "";
          assert.ok(!this.bound.has(name), `${name} is bound twice`);
          this.bound.set(name, nodeName);
        },
        updateVolume: async (volume) => volume,
        updateClaim: async (claim) => claim,
      },
      nominations,
      clock: this.clock,
      random: () => 0,
      isPreempting: (id) => preempting.has(id),
    });
    this.scheduler = new Scheduler({
      frameworks: new Map([["default-scheduler", framework]]),
      nominations,
      preempting,
      preempt: async (_pod, plan) => {
        this.preempted.push(...plan.victims.map(({ pod }) => pod.metadata.name ?? ""));
      },
      reports: {
        scheduled: () => undefined,
        failed: (pod, _reason, message, nominate) => {
          this.messages.set(pod.metadata.name ?? "", message);
          if (nominate !== undefined) this.nominated.set(pod.metadata.name ?? "", nominate);
        },
        clearNomination: () => undefined,
      },
      decisions: this.decisions,
      metrics: createMetrics(),
      clock: this.clock,
      log: silentLogger(),
      initialBackoffMs: 1000,
      maxBackoffMs: 10_000,
      maxUnschedulableMs: 300_000,
      percentageOfNodesToScore: 0,
      currentPod: (_namespace, name) => this.pods.get(name),
      random: () => 0,
      ...more,
    });
  }

  add(pod: Pod): void {
    this.pods.set(pod.metadata.name ?? "", pod);
    this.scheduler.onPod(undefined, pod);
  }

  /** Runs turns until nothing is active any more, or `max` are done; returns how many. */
  async settle(max = Number.POSITIVE_INFINITY): Promise<number> {
    const signal = new AbortController().signal;
    let turns = 0;
    while (turns < max && this.scheduler.scheduleNext(signal)) turns++;
    // Bindings are promises that resolve at once.
    for (let i = 0; i < 20; i++) await Promise.resolve();
    return turns;
  }
}
const wanting = (cpu: string) => ({ containers: [{ name: "c", resources: { requests: { cpu } } }] });

test("Scheduler binds what fits and says why the rest does not", async () => {
  const world = new World();
  world.scheduler.onNode(undefined, makeNode("a"));
  world.add(makePod("small"));
  world.add(makePod("large", wanting("100")));
  await world.settle();
  assert.deepEqual([...world.bound], [["small", "a"]]);
  assert.match(world.messages.get("large") ?? "", /^0\/1 nodes are available: 1 Insufficient cpu\./);
  assert.equal(world.decisions.get("default", "small")?.chosenNode, "a");
  assert.equal(world.scheduler.queueStateOf("default", "large")?.queue, "unschedulable");
});

test("Scheduler gives back what a failed binding held and tries again after back-off", async () => {
  const world = new World();
  world.scheduler.onNode(undefined, makeNode("a"));
  world.bindError = () => new Error("the server is on holiday");
  world.add(makePod("p", wanting("3")));
  await world.settle();
  assert.equal(world.scheduler.cacheSizes.assumed, 0);
  assert.equal(world.messages.get("p"), "the server is on holiday");
  world.bindError = () => undefined;
  assert.equal(await world.settle(), 0);
  await world.clock.advance(1000);
  await world.settle();
  assert.equal(world.bound.get("p"), "a");
});

test("Scheduler never counts twice what a confirmed binding holds", async () => {
  const world = new World();
  world.scheduler.onNode(undefined, makeNode("a"));
  const pod = makePod("p", wanting("3"));
  world.add(pod);
  await world.settle();
  world.scheduler.onPod(pod, { ...pod, spec: { ...wanting("3"), nodeName: "a" } });
  world.add(makePod("q", wanting("1")));
  await world.settle();
  assert.equal(world.bound.get("q"), "a");
  assert.deepEqual(world.scheduler.cacheSizes, { nodes: 1, pods: 2, assumed: 1 });
});

test("Scheduler forgets no pod when its node vanishes between the decision and the binding", async () => {
  const world = new World();
  const node = makeNode("a");
  world.scheduler.onNode(undefined, node);
  world.bindError = () => new Error('nodes "a" not found');
  world.add(makePod("p"));
  await world.settle();
  world.scheduler.onNode(node, undefined);
  world.bindError = () => undefined;
  await world.clock.advance(1000);
  await world.settle();
  assert.equal(world.messages.get("p"), "no nodes available to schedule pods");
  world.scheduler.onNode(undefined, makeNode("b"));
  await world.clock.advance(10_000);
  await world.settle();
  assert.equal(world.bound.get("p"), "b");
});

test("Scheduler keeps its pace when the wall clock jumps", async () => {
  const world = new World();
  world.bindError = () => new Error("no");
  world.scheduler.onNode(undefined, makeNode("a"));
  world.add(makePod("p"));
  await world.settle();
  world.bindError = () => undefined;
  for (const jumpMs of [-3_600_000, 86_400_000]) {
    world.clock.jump(jumpMs);
    assert.equal(await world.settle(), 0, "back-off does not end because the clock jumped");
  }
  await world.clock.advance(1000);
  await world.settle();
  assert.equal(world.bound.get("p"), "a");
});

test("Scheduler places a pod though 10,000 others fit nowhere and everything keeps changing", async () => {
  const world = new World();
  for (let i = 0; i < 20; i++) world.scheduler.onNode(undefined, makeNode(`n${i}`));
  for (let i = 0; i < 10_000; i++) world.add(makePod(`huge-${i}`, wanting("100")));
  await world.settle();
  assert.equal(world.scheduler.queueSizes.unschedulable, 10_000);
  for (let round = 0; round < 20; round++) {
    // Every pod that ends may help someone who waits for CPU, so all wake up.
    const gone = makePod(`gone-${round}`, { ...wanting("1"), nodeName: "n0" });
    world.scheduler.onPod(undefined, gone);
    world.scheduler.onPod(gone, undefined);
    world.add(makePod(`small-${round}`));
    await world.clock.advance(11_000);
    const turns = await world.settle();
    assert.ok(turns <= 10_002, `${turns} turns`);
    assert.ok(world.bound.has(`small-${round}`), `round ${round}`);
  }
  assert.equal(world.messages.size, 10_000);
});

test("Scheduler nominates a pod for the node that it empties, and gates it until the victims were asked to go", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const world = new World({ preempt: () => promise });
  world.scheduler.onNode(undefined, makeNode("a"));
  const victim = makePod("low", { ...wanting("3"), nodeName: "a" });
  world.scheduler.onPod(undefined, victim);
  world.add(makePod("high", { ...wanting("2"), priority: 5 }));
  await world.settle();
  assert.equal(world.nominated.get("high"), "a");
  world.scheduler.onPod(victim, undefined);
  await world.clock.advance(1000);
  assert.equal(await world.settle(), 0);
  assert.equal(world.scheduler.queueStateOf("default", "high")?.queue, "gated");
  resolve();
  await world.settle();
  await world.settle();
  assert.equal(world.bound.get("high"), "a");
});

test("Scheduler tries a preemptor again when its victims could not be removed", async () => {
  let tries = 0;
  const world = new World({
    preempt: async () => {
      tries++;
      throw new Error("no answer");
    },
  });
  world.scheduler.onNode(undefined, makeNode("a"));
  world.scheduler.onPod(undefined, makePod("low", { ...wanting("3"), nodeName: "a" }));
  world.add(makePod("high", { ...wanting("2"), priority: 5 }));
  await world.settle();
  await world.clock.advance(10_000);
  await world.settle();
  assert.ok(tries >= 2, `${tries} tries`);
});
