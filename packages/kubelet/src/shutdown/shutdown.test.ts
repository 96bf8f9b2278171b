import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { pod } from "../core/testing.ts";
import { goingDownIn } from "./logind.ts";
import { planShutdown, shutdownPeriods } from "./plan-shutdown.ts";
import { ShutdownManager } from "./shutdown-manager.ts";

const of = (name: string, priority: number | undefined, grace = 30): Pod =>
  pod({ ...(priority === undefined ? {} : { priority }), terminationGracePeriodSeconds: grace }, { name, uid: name });

const view = (steps: ReturnType<typeof planShutdown>) =>
  steps.map((s) => [s.seconds, ...s.pods.map((p) => `${p.pod.metadata.name} ${p.graceSeconds}`)]);

test("planShutdown() ends critical pods last and gives each at most its group's time", () => {
  const periods = shutdownPeriods(30_000, 10_000, []);
  const pods = [of("critical", 2_000_000_000), of("plain", undefined), of("quick", 5, 3), of("negative", -10)];
  assert.deepEqual(view(planShutdown(pods, periods)), [
    [20, "plain 20", "quick 3", "negative 20"],
    [10, "critical 10"],
  ]);
});

test("planShutdown() follows the periods by priority, and leaves out those that nobody belongs to", () => {
  const periods = shutdownPeriods(0, 0, [
    { priority: 100_000, shutdownGracePeriodSeconds: 10 },
    { priority: 0, shutdownGracePeriodSeconds: 60 },
    { priority: 10_000, shutdownGracePeriodSeconds: 180 },
  ]);
  assert.deepEqual(view(planShutdown([of("a", 9_999), of("b", 200_000), of("c", 0)], periods)), [
    [60, "a 30", "c 30"],
    [10, "b 10"],
  ]);
});

test("shutdownPeriods() is empty where nothing is configured", () => {
  assert.deepEqual(shutdownPeriods(0, 0, []), []);
});

test("goingDownIn() reads logind's signal and nothing else", () => {
  const line = (data: unknown) => JSON.stringify({ type: "signal", member: "PrepareForShutdown", payload: { data } });
  assert.equal(goingDownIn(line([true])), true);
  assert.equal(goingDownIn(line([false])), false);
  assert.equal(goingDownIn(line("yes")), undefined);
  assert.equal(goingDownIn('{"member":"NameOwnerChanged"}'), undefined);
  assert.equal(goingDownIn("Monitoring bus message stream."), undefined);
});

test("ShutdownManager ends one group after the other, and the next in time though one does not end", async () => {
  const clock = new FakeClock();
  const ended: string[] = [];
  const over = new Set<string>();
  const manager = new ShutdownManager({
    source: { inhibit: async () => {}, release: () => {}, events: async function* () {} },
    periods: shutdownPeriods(30_000, 10_000, []),
    pods: () => [of("stubborn", 0), of("critical", 2_000_000_000)],
    end: (p) => ended.push(p.metadata.name ?? ""),
    isOver: (p) => over.has(p.metadata.name ?? ""),
    onChange: () => {},
    clock,
    log: createLogger({ name: "test", level: "silent" }),
  });
  const done = manager.endPods(new AbortController().signal);
  assert.deepEqual(ended, ["stubborn"]);
  await clock.advance(19_800);
  assert.deepEqual(ended, ["stubborn"]);
  await clock.advance(400);
  assert.deepEqual(ended, ["stubborn", "critical"]);
  over.add("critical");
  await clock.advance(200);
  await done;
});
