import assert from "node:assert/strict";
import { test } from "node:test";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import fc from "fast-check";
import { Registry } from "prom-client";
import { after, done, type Result, runController, terminal } from "./reconcile-loop.ts";
import { WorkQueue } from "./work-queue.ts";
import { WorkQueueMetrics } from "./work-queue-metrics.ts";

test("WorkQueue hands keys out in order, each once, when added twice", async () => {
  const queue = new WorkQueue({ clock: new FakeClock() });
  for (const key of ["a", "b", "a"]) queue.add(key);
  assert.equal(queue.length, 2);
  assert.deepEqual([await queue.get(), await queue.get()], ["a", "b"]);
});

test("WorkQueue keeps a mark when the key is added during its work", async () => {
  const queue = new WorkQueue({ clock: new FakeClock() });
  queue.add("a");
  await queue.get();
  queue.add("a");
  assert.equal(queue.length, 0);
  queue.done("a");
  assert.equal(queue.length, 1);
});

test("WorkQueue.get() waits for a key when there is none", async () => {
  const queue = new WorkQueue({ clock: new FakeClock() });
  const waiting = queue.get();
  queue.add("a");
  assert.equal(await waiting, "a");
});

test("WorkQueue.addAfter() keeps the earliest time when called twice", async () => {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock });
  queue.addAfter("a", 100);
  queue.addAfter("a", 50);
  queue.addAfter("a", 200);
  await clock.advance(49);
  assert.equal(queue.length, 0);
  await clock.advance(1);
  assert.equal(await queue.get(), "a");
  queue.done("a");
  await clock.advance(1000);
  assert.ok(queue.idle);
});

test("WorkQueue.addRateLimited() waits 5 ms doubling to 1000 s until forget()", async () => {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock });
  const waits: number[] = [];
  for (let i = 0; i < 20; i++) {
    const from = clock.monotonicMs();
    queue.addRateLimited("a");
    const got = queue.get();
    let stepMs = 5;
    while (queue.idle === false && clock.pending > 0) {
      await clock.advance(stepMs);
      stepMs = clock.monotonicMs() - from;
    }
    await got;
    queue.done("a");
    waits.push(clock.monotonicMs() - from);
  }
  assert.deepEqual(waits.slice(0, 4), [5, 10, 20, 40]);
  assert.ok((waits.at(-1) ?? 0) >= 1_000_000);
  queue.forget("a");
  assert.equal(queue.failures("a"), 0);
});

test("WorkQueue.addRateLimited() spaces out the retries of all keys together where it has a rate for them", async () => {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock, retryRate: { perSecond: 10, burst: 100 } });
  for (let i = 0; i < 150; i++) queue.addRateLimited(`key-${i}`);
  await clock.advance(5);
  assert.equal(queue.length, 100);
  await clock.advance(1000);
  assert.equal(queue.length, 110);
  await clock.advance(4000);
  assert.equal(queue.length, 150);
  for (let i = 0; i < 150; i++) queue.addRateLimited(`behind-${i}`, "conflict");
  await clock.advance(5);
  assert.equal(queue.length, 300, "a cache that is behind is no reason to wait for others");
});

test("WorkQueue.shutDown() hands out what waits, drops what is delayed, then ends", async () => {
  const queue = new WorkQueue({ clock: new FakeClock() });
  queue.add("a");
  queue.addAfter("b", 10);
  queue.shutDown();
  queue.add("c");
  assert.equal(await queue.get(), "a");
  assert.equal(await queue.get(), undefined);
});

test("WorkQueue never has a key at two workers and loses no mark (property)", async () => {
  const step = fc.record({ what: fc.constantFrom("add", "get", "done"), key: fc.constantFrom("a", "b", "c") });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const queue = new WorkQueue({ clock: new FakeClock() });
      const working = new Set<string>();
      const dirty = new Set<string>();
      for (const { what, key } of steps) {
        if (what === "add") {
          queue.add(key);
          dirty.add(key);
        } else if (what === "get" && queue.length > 0) {
          const got = (await queue.get()) as string;
          assert.ok(!working.has(got), "handed out twice");
          working.add(got);
          dirty.delete(got);
        } else if (what === "done" && working.delete(key)) queue.done(key);
      }
      for (const key of working) queue.done(key);
      const left = new Set<string>();
      while (queue.length > 0) left.add((await queue.get()) as string);
      assert.deepEqual([...left].sort(), [...dirty].sort());
    }),
  );
});

test("WorkQueueMetrics counts adds, retries and depth under upstream's names", async () => {
  const registry = new Registry();
  const clock = new FakeClock();
  const queue = new WorkQueue({
    clock,
    observer: new WorkQueueMetrics(registry, () => clock.monotonicMs()).observe("x"),
  });
  queue.add("a");
  queue.add("b");
  await queue.get();
  queue.addRateLimited("a");
  const text = await registry.metrics();
  for (const line of [
    'workqueue_adds_total{name="x"} 2',
    'workqueue_retries_total{name="x"} 1',
    'workqueue_depth{name="x"} 1',
    'workqueue_queue_duration_seconds_count{name="x"} 1',
  ]) {
    assert.ok(text.includes(line), `${line} in ${text}`);
  }
});

const outcomes: { name: string; results: (Result | Error)[]; advanceMs: number; want: number }[] = [
  { name: "done", results: [done], advanceMs: 60_000, want: 1 },
  { name: "after 1 s", results: [after(1000), done], advanceMs: 1000, want: 2 },
  { name: "a terminal error", results: [terminal(new Error("no"))], advanceMs: 60_000, want: 1 },
  { name: "an error", results: [new Error("later"), new Error("later"), done], advanceMs: 15, want: 3 },
  {
    name: "a conflict",
    results: [statusErrors.staleVersion({ group: "", resource: "pods" }, "a"), done],
    advanceMs: 5,
    want: 2,
  },
];
for (const { name, results, advanceMs, want } of outcomes) {
  test(`runController() reconciles ${want} time(s) when the reconciler answers ${name}`, async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock });
    const controller = new AbortController();
    let calls = 0;
    const running = runController({
      workers: 2,
      queue,
      clock,
      log: silentLogger(),
      signal: controller.signal,
      reconcile: async () => {
        const result = results[Math.min(calls++, results.length - 1)] as Result | Error;
        if (result instanceof Error) throw result;
        return result;
      },
    });
    queue.add("a");
    await clock.advance(advanceMs);
    assert.equal(calls, want);
    controller.abort();
    await running;
  });
}
