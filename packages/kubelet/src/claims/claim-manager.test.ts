import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceClaim } from "@knarr/api/generated/types/resource-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import type { ClaimRef } from "./claim-book.ts";
import { ClaimManager } from "./claim-manager.ts";
import type { Driver, DriverAnswer } from "./drivers.ts";
import { ClaimError } from "./pod-claims.ts";

const log = createLogger({ name: "test", level: "silent" });
const never = new AbortController().signal;

/** A driver that gives each claim one CDI device of its name, unless told otherwise. */
class PlayedDriver implements Driver {
  readonly endpoint = "/run/played.sock";
  readonly calls: string[] = [];
  answer: (refs: readonly ClaimRef[]) => DriverAnswer = (refs) =>
    new Map(refs.map((ref) => [ref.uid, given(ref.name)]));
  /** Calls wait for it. */
  gate: Promise<void> = Promise.resolve();

  prepare(refs: readonly ClaimRef[]): Promise<DriverAnswer> {
    return this.#called("prepare", refs);
  }

  unprepare(refs: readonly ClaimRef[]): Promise<DriverAnswer> {
    return this.#called("unprepare", refs);
  }

  close(): void {}

  async #called(what: string, refs: readonly ClaimRef[]): Promise<DriverAnswer> {
    this.calls.push(`${what} ${refs.map(({ name }) => name).join(" ")}`);
    await this.gate;
    return this.answer(refs);
  }
}

const given = (name: string, error = "") => ({
  error,
  devices: [{ poolName: "pool", deviceName: name, requestNames: [], cdiDeviceIds: [`v.com/c=${name}`] }],
});

const podOf = (uid: string, ...claims: string[]): Pod => ({
  metadata: { name: `pod-${uid}`, namespace: "ns", uid },
  spec: {
    resourceClaims: claims.map((name) => ({ name, resourceClaimName: name })),
    containers: [{ name: "c", resources: { claims: claims.map((name) => ({ name })) } }],
  },
});

const claimOf = (name: string, pods: readonly string[], driver = "d.example"): ResourceClaim => ({
  metadata: { name, namespace: "ns", uid: `uid-${name}` },
  spec: {},
  status: {
    allocation: { devices: { results: [{ driver, pool: "pool", device: name, request: "r" }] } },
    reservedFor: pods.map((uid) => ({ resource: "pods", name: `pod-${uid}`, uid })),
  },
});

interface Stage {
  readonly driver: PlayedDriver;
  readonly claims: Map<string, ResourceClaim>;
  readonly clock: FakeClock;
  readonly rootDir: string;
  open(): Promise<ClaimManager>;
}

async function onStage(claims: readonly ResourceClaim[], play: (stage: Stage) => Promise<void>): Promise<void> {
  const rootDir = await mkdtemp(join(tmpdir(), "knarr-claims-"));
  const driver = new PlayedDriver();
  const byName = new Map(claims.map((claim) => [claim.metadata.name ?? "", claim]));
  const clock = new FakeClock();
  const client = {
    get: async (_: unknown, { name }: { readonly name: string }) => {
      const claim = byName.get(name);
      if (claim === undefined) throw new Error(`resourceclaims.resource.k8s.io "${name}" not found`);
      return claim;
    },
  } as unknown as Pick<Client, "get">;
  const drivers = {
    get: (name: string) => {
      if (name !== "d.example") throw new ClaimError(`DRA driver ${name} is not registered`);
      return driver;
    },
  };
  const open = () => ClaimManager.load({ rootDir, client, drivers, clock, log });
  try {
    await play({ driver, claims: byName, clock, rootDir, open });
  } finally {
    await rm(rootDir, { recursive: true });
  }
}

const devicesOf = (manager: ClaimManager, pod: Pod) => {
  const [container] = pod.spec?.containers ?? [];
  assert.ok(container);
  return manager.cdiDevices(pod, container).map(({ name }) => name);
};

test("ClaimManager.prepare() asks the driver once for all claims, and containers get their devices", () =>
  onStage([claimOf("a", ["1"]), claimOf("b", ["1"])], async ({ driver, open }) => {
    const [manager, pod] = [await open(), podOf("1", "a", "b")];
    await manager.prepare(pod, never);
    await manager.prepare(pod, never);
    assert.deepEqual(driver.calls, ["prepare a b"]);
    assert.deepEqual(devicesOf(manager, pod), ["v.com/c=a", "v.com/c=b"]);
  }));

test("ClaimManager.unprepare() waits for the last pod of a claim", () =>
  onStage([claimOf("a", ["1", "2"])], async ({ driver, open }) => {
    const manager = await open();
    await manager.prepare(podOf("1", "a"), never);
    await manager.prepare(podOf("2", "a"), never);
    await manager.unprepare("1", never);
    assert.deepEqual(driver.calls, ["prepare a"]);
    await manager.unprepare("2", never);
    await manager.unprepare("2", never);
    assert.deepEqual(driver.calls, ["prepare a", "unprepare a"]);
  }));

test("ClaimManager keeps over a restart what containers get and what is to be unprepared", () =>
  onStage([claimOf("a", ["1"])], async ({ driver, open }) => {
    const pod = podOf("1", "a");
    await (await open()).prepare(pod, never);
    const after = await open();
    assert.deepEqual(devicesOf(after, pod), ["v.com/c=a"]);
    await after.prepare(pod, never);
    await after.unprepare("1", never);
    assert.deepEqual(driver.calls, ["prepare a", "prepare a", "unprepare a"]);
    await (await open()).unprepare("1", never);
    assert.equal(driver.calls.length, 3);
  }));

test("ClaimManager.prepare() books nothing when a claim is not fit, so that the pod can end", () =>
  onStage(
    [claimOf("a", ["1"]), claimOf("gone", ["1"], "other.example"), claimOf("b", [])],
    async ({ driver, open }) => {
      const manager = await open();
      for (const [claims, message] of [
        [["a", "gone"], "prepare dynamic resources: DRA driver other.example is not registered"],
        [["a", "b"], "prepare dynamic resources: pod pod-1 (1) is not allowed to use ResourceClaim b (uid-b)"],
        [
          ["a", "absent"],
          'prepare dynamic resources: fetch ResourceClaim absent: resourceclaims.resource.k8s.io "absent" not found',
        ],
      ] as const) {
        await assert.rejects(manager.prepare(podOf("1", ...claims), never), { message });
      }
      await manager.unprepare("1", never);
      assert.deepEqual(driver.calls, []);
    },
  ));

for (const [what, answer, message] of [
  [
    "refuses",
    () => new Map([["uid-a", given("a", "no such device")]]),
    "NodePrepareResources failed for ResourceClaim a: no such device",
  ],
  ["forgets", () => new Map(), "NodePrepareResources skipped 1 ResourceClaims"],
  ["makes up", () => new Map([["x", given("x")]]), "NodePrepareResources returned result for unknown claim UID x"],
] as const) {
  test(`ClaimManager.prepare() fails when the driver ${what}, asks again, and unprepares what may have been done`, () =>
    onStage([claimOf("a", ["1"])], async ({ driver, open }) => {
      const manager = await open();
      const well = driver.answer;
      driver.answer = answer;
      await assert.rejects(manager.prepare(podOf("1", "a"), never), {
        message: `prepare dynamic resources: ${message}`,
      });
      driver.answer = well;
      await (await open()).unprepare("1", never);
      assert.deepEqual(driver.calls, ["prepare a", "unprepare a"]);
    }));
}

test("ClaimManager.prepare() does not take a claim for another of the same name", () =>
  onStage([claimOf("a", ["1"])], async ({ driver, claims, open }) => {
    const manager = await open();
    await manager.prepare(podOf("1", "a"), never);
    const next = claimOf("a", ["2"]);
    claims.set("a", { ...next, metadata: { ...next.metadata, uid: "newer" } });
    await assert.rejects(manager.prepare(podOf("2", "a"), never), {
      message: /old ResourceClaim with same name a and different UID uid-a still exists/,
    });
    await manager.unprepare("1", never);
    await manager.prepare(podOf("2", "a"), never);
    assert.deepEqual(driver.calls, ["prepare a", "unprepare a", "prepare a"]);
  }));

test("ClaimManager prepares a claim again for a pod that comes while the last one's unprepare is under way", () =>
  onStage([claimOf("a", ["1", "2"])], async ({ driver, open }) => {
    const manager = await open();
    await manager.prepare(podOf("1", "a"), never);
    const { promise, resolve } = Promise.withResolvers<void>();
    driver.gate = promise;
    const both = Promise.all([manager.unprepare("1", never), manager.prepare(podOf("2", "a"), never)]);
    resolve();
    await both;
    assert.deepEqual(driver.calls, ["prepare a", "unprepare a", "prepare a"]);
    assert.deepEqual(devicesOf(manager, podOf("2", "a")), ["v.com/c=a"]);
  }));

test("ClaimManager.run() frees claims of pods that are not there any more, once pods are known", () =>
  onStage([claimOf("a", ["1", "2"])], async ({ driver, clock, open }) => {
    const manager = await open();
    await manager.prepare(podOf("1", "a"), never);
    const stop = new AbortController();
    let living: ReadonlySet<string> | undefined;
    const running = manager.run(() => living, stop.signal);
    await clock.advance(60_000);
    assert.deepEqual(driver.calls, ["prepare a"]);
    living = new Set();
    await clock.advance(60_000);
    stop.abort();
    await clock.advance(60_000);
    await running;
    assert.deepEqual(driver.calls, ["prepare a", "unprepare a"]);
  }));

test("ClaimManager.load() names a state file that it can't read, and what to do", () =>
  onStage([], async ({ rootDir, open }) => {
    const path = join(rootDir, "dra_manager_state");
    await writeFile(path, "{");
    await assert.rejects(open(), {
      message: `${path}: checkpoint is not readable; drain the node and remove the file`,
    });
    await rm(path);
    await (await open()).prepare(podOf("1"), never);
    await assert.rejects(readFile(path), { code: "ENOENT" });
  }));
