/**
 * Wall clocks jump: a laptop wakes, NTP corrects an hour, somebody sets the date. What the kubelet counts - probes, back-off,
 * caches, how fresh its view is - counts on the steady clock and must not notice.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { StreamService } from "@knarr/cri/runtime.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import fc from "fast-check";
import { CrashBackoff } from "./core/crash-backoff.ts";
import type { ObservedPod } from "./core/observed-pod.ts";
import { container, pod, ran, sandbox } from "./core/testing.ts";
import { settledStatus } from "./pods/observe.ts";
import { PodEvents } from "./pods/pod-events.ts";
import { Prober } from "./probes/prober.ts";
import { CpuRates } from "./server/cpu-rates.ts";
import { DiskUsages } from "./server/disk-usage.ts";
import { healthProblem, type Serving } from "./server/serving.ts";

const HOUR_MS = 3_600_000;
const JUMPS = [
  { name: "forward an hour", ms: HOUR_MS },
  { name: "back an hour", ms: -HOUR_MS },
  { name: "back a day", ms: -24 * HOUR_MS },
];
const log = createLogger({ name: "test", level: "silent" });

/** A prober whose one container answers exec probes; counts how often it was asked. */
function probing(clock: FakeClock, startedAt: number, probe: Record<string, unknown>) {
  let asked = 0;
  let exitCode = 0;
  const empty = Buffer.alloc(0);
  const runtime = {
    execSync: async () => {
      asked++;
      return { stdout: empty, stderr: empty, exitCode };
    },
  } as unknown as StreamService;
  const sink = { event: () => {} };
  const prober = new Prober({
    runtime,
    clock,
    log,
    events: new PodEvents(sink as unknown as ConstructorParameters<typeof PodEvents>[0]),
    hostIp: () => "192.0.2.1",
    onChange: () => {},
  });
  const livenessProbe = { exec: { command: ["true"] }, ...probe };
  const given = pod({ containers: [container("main", { livenessProbe })] });
  const observed = {
    uid: "u1",
    sandboxes: [sandbox()],
    containers: [ran("main", { startedAt })],
    ips: ["10.0.0.2"],
  } as unknown as ObservedPod;
  prober.sync(given, observed, []);
  return {
    prober,
    asked: () => asked,
    fail: () => {
      exitCode = 1;
    },
    stop: () => prober.remove("u1"),
  };
}

for (const { name, ms } of JUMPS) {
  test(`probes keep their period when the clock jumps ${name}`, async () => {
    const clock = new FakeClock();
    const probed = probing(clock, clock.now(), { periodSeconds: 10, failureThreshold: 3 });
    await clock.advance(25_000);
    assert.equal(probed.asked(), 3);
    clock.jump(ms);
    await clock.advance(30_000);
    assert.equal(probed.asked(), 6);
    probed.fail();
    await clock.advance(30_000);
    assert.equal(probed.prober.liveness("main-0"), "failure");
    probed.stop();
  });

  test(`a first probe comes after its delay at the latest when the clock jumped ${name} before the container was seen`, async () => {
    const clock = new FakeClock();
    const startedAt = clock.now();
    clock.jump(ms);
    const probed = probing(clock, startedAt, { periodSeconds: 10, initialDelaySeconds: 20 });
    await clock.advance(20_000);
    assert.equal(probed.asked(), 1 + (ms > 0 ? 2 : 0));
    probed.stop();
  });

  test(`healthProblem() finds a view of the runtime neither stale nor fresh because the clock jumps ${name}`, async () => {
    const clock = new FakeClock();
    const serving = {
      state: { problems: () => [] },
      relist: { snapshot: { at: clock.monotonicMs() } },
      context: { clock },
    } as unknown as Serving;
    clock.jump(ms);
    assert.equal(healthProblem(serving), undefined);
    await clock.advance(120_001);
    assert.notEqual(healthProblem(serving), undefined);
  });
}

for (const { name, ms } of JUMPS) {
  test(`settledStatus() never waits long for the reason of a kill when the clock jumps ${name}`, async () => {
    const clock = new FakeClock();
    const status = { exitCode: 137, reason: "Error", finishedAt: clock.now() };
    let asked = 0;
    const containerStatus = async () => {
      asked++;
      return status;
    };
    clock.jump(ms);
    const runtime = { containerStatus } as unknown as Parameters<typeof settledStatus>[0];
    const settled = settledStatus(runtime, "c", undefined, clock);
    await clock.advance(300);
    assert.equal((await settled).reason, "Error");
    assert.equal(asked, 1);
  });

  test(`CpuRates.of() goes on with the next sample when the clock jumps ${name}`, () => {
    const rates = new CpuRates();
    const sample = (seenMs: number, jumpedMs = 0) => ({
      id: "c",
      atMs: 1e12 + seenMs + jumpedMs,
      seenMs,
      nanoSeconds: seenMs * 1e5,
    });
    rates.update([sample(0)]);
    rates.update([sample(15_000)]);
    rates.update([sample(30_000, ms)]);
    assert.equal(rates.of("c"), 1e8);
    rates.update([{ ...sample(45_000, ms), nanoSeconds: 6e9 }]);
    assert.equal(rates.of("c"), 2e8);
  });

  test(`DiskUsages.of() walks a folder once a minute when the clock jumps ${name}`, async () => {
    const clock = new FakeClock();
    const disks = new DiskUsages(clock);
    const folder = await mkdtemp(join(tmpdir(), "knarr-usage-"));
    const inodes = async () => (await disks.of(folder))?.inodesUsed;
    try {
      assert.equal(await inodes(), 1);
      await writeFile(join(folder, "more"), "");
      clock.jump(ms);
      assert.equal(await inodes(), 1);
      await clock.advance(61_000);
      assert.equal(await inodes(), 2);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

test("settledStatus() asks again for the reason of a kill that was a moment ago", async () => {
  const clock = new FakeClock();
  const reasons = ["Error", "Error", "OOMKilled"];
  const containerStatus = async () => ({ exitCode: 137, reason: reasons.shift(), finishedAt: Date.UTC(2026, 0, 1) });
  const runtime = { containerStatus } as unknown as Parameters<typeof settledStatus>[0];
  const settled = settledStatus(runtime, "c", undefined, clock);
  await clock.advance(300);
  assert.equal((await settled).reason, "OOMKilled");
});

test("CrashBackoff waits its delay and never longer, wherever the clock jumps meanwhile", () => {
  const jump = fc.record({
    afterMs: fc.integer({ min: 0, max: 60_000 }),
    byMs: fc.integer({ min: -HOUR_MS, max: HOUR_MS }),
  });
  fc.assert(
    fc.property(fc.array(jump, { maxLength: 8 }), fc.integer({ min: 1, max: 7 }), (jumps, crashes) => {
      const backoff = new CrashBackoff();
      const clock = { now: Date.UTC(2026, 0, 1), monotonicMs: 0 };
      for (let crash = 0; crash < crashes; crash++) backoff.step("k", clock.now, clock.now);
      const delayMs = backoff.delayMs("k");
      const endedAt = clock.now;
      const from = clock.monotonicMs;
      let forwardMs = 0;
      let remaining = backoff.remainingMs("k", endedAt, clock);
      for (const { afterMs, byMs } of jumps) {
        clock.monotonicMs += afterMs;
        clock.now += afterMs + byMs;
        forwardMs += Math.max(0, byMs);
        const before = remaining;
        remaining = backoff.remainingMs("k", endedAt, clock);
        assert.ok(remaining <= Math.max(0, delayMs - (clock.monotonicMs - from)), "longer than the delay");
        assert.ok(
          remaining >= Math.max(0, before - afterMs - forwardMs) || remaining === 0,
          "shorter than jumps explain",
        );
      }
      clock.monotonicMs = from + delayMs;
      clock.now -= HOUR_MS;
      assert.equal(backoff.remainingMs("k", endedAt, clock), 0);
    }),
    { numRuns: 300 },
  );
});
