import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { sandbox } from "../core/testing.ts";
import { type HousekeepingOptions, runHousekeeping } from "./housekeeping.ts";

/** Which pods are ended as orphans, when the runtime showed one at `lookedAt` and it went at `wentAt`. */
async function orphans(lookedAt: number, wentAt: number | undefined): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-housekeeping-"));
  const clock = new FakeClock();
  const stop = new AbortController();
  let count = 0;
  const done = Promise.withResolvers<void>();
  const options = {
    config: { rootDir: folder, podLogDir: join(folder, "pods") },
    clock,
    log: createLogger({ name: "test", level: "silent" }),
    pods: {
      get: () => undefined,
      wentSince: (_: string, at: number) => wentAt !== undefined && wentAt >= at,
      adoptOrphan: () => count++,
      // The last that a round asks for.
      list: () => {
        done.resolve();
        return [];
      },
    },
    relist: {
      snapshot: {
        at: lookedAt,
        containers: [],
        sandboxes: [{ ...sandbox(), labels: { "io.kubernetes.pod.uid": "u" } }],
      },
    },
    cgroups: undefined,
    sourcesSynced: () => true,
  } as unknown as HousekeepingOptions;
  const running = runHousekeeping(options, stop.signal);
  await clock.advance(2000);
  await done.promise;
  stop.abort();
  await running;
  await rm(folder, { recursive: true });
  return count;
}

for (const { name, lookedAt, wentAt, want } of [
  { name: "a pod that no source knows is ended", lookedAt: 1000, wentAt: undefined, want: 1 },
  { name: "a pod that went after the runtime was looked at is not", lookedAt: 1000, wentAt: 1500, want: 0 },
  { name: "a pod that went before and is there again is", lookedAt: 1000, wentAt: 500, want: 1 },
]) {
  test(`runHousekeeping(): ${name}`, async () => {
    assert.equal(await orphans(lookedAt, wentAt), want);
  });
}

test("runHousekeeping() looks through the disks when pods or containers came or went, else once a minute", async () => {
  const folder = await mkdtemp(join(tmpdir(), "knarr-housekeeping-"));
  let now = 0;
  /** Resolves when a round is over; what it gives lets the next begin. */
  let idle = Promise.withResolvers<() => void>();
  const clock = {
    monotonicMs: () => now,
    sleep: (ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        idle.resolve(() => {
          now += ms;
          idle = Promise.withResolvers();
          resolve();
        });
      }),
  };
  const stop = new AbortController();
  const snapshot = { at: 0, changes: 1, containers: [], sandboxes: [] };
  let [looks, uids, left] = [0, ["a"], new Map<string, string>()];
  const options = {
    config: { rootDir: folder, podLogDir: join(folder, "pods") },
    clock,
    log: createLogger({ name: "test", level: "silent" }),
    pods: {
      get: (uid: string) => (uids.includes(uid) ? {} : undefined),
      wentSince: () => false,
      list: () => uids.map((uid) => ({ uid, holdsResources: false })),
    },
    get relist() {
      return { snapshot };
    },
    cgroups: {
      podUids: async () => {
        looks++;
        const found = left;
        left = new Map();
        return found;
      },
      remove: async () => undefined,
      setBurstableShares: async () => undefined,
    },
    sourcesSynced: () => true,
  } as unknown as HousekeepingOptions;
  const running = runHousekeeping(options, stop.signal);
  /** Rounds that go by, and how many of them looked. */
  const pass = async (rounds: number) => {
    const before = looks;
    for (let i = 0; i < rounds; i++) {
      const begin = await idle.promise;
      snapshot.at = now + 1;
      begin();
    }
    await idle.promise;
    return looks - before;
  };
  assert.equal(await pass(6), 1);
  snapshot.changes++;
  assert.equal(await pass(6), 1);
  uids = ["a", "b"];
  left = new Map([["gone", "kubepods/gone"]]);
  assert.equal(await pass(6), 2, "after something was taken away, once more");
  assert.equal(await pass(60), 2);
  stop.abort();
  await running;
  await rm(folder, { recursive: true });
});
