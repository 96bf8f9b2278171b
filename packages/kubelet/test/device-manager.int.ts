/** The device manager against real plugins' sockets, without a kubelet around it: plugins that behave badly. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { DeviceManager } from "../src/devices/device-manager.ts";
import { type FakeDevice, FakePlugin, type FakePluginOptions, register } from "./fake-device-plugin.ts";

const THING = "example.com/thing";
const PATIENCE_MS = 30_000;
const log = createLogger({ name: "test", level: "silent" });
const healthy = (...ids: string[]): FakeDevice[] => ids.map((ID) => ({ ID, health: "Healthy" }));

function container(name: string, limits: Record<string, number> = { [THING]: 1 }): Container {
  const amounts = Object.entries(limits).map(([resource, amount]) => [resource, String(amount)]);
  return { name, image: "none", resources: { limits: Object.fromEntries(amounts) } };
}

function pod(uid: string, ...containers: Container[]): Pod {
  return { apiVersion: "v1", kind: "Pod", metadata: { name: uid, namespace: "default", uid }, spec: { containers } };
}

async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(5)) if (await is()) return;
  assert.fail(`never: ${what}`);
}

class Bench {
  readonly directory: string;
  readonly #stops: (() => unknown)[] = [];
  /** Added to the steady clock. */
  aheadMs = 0;
  active: ReadonlySet<string> | undefined;
  allocateMs = PATIENCE_MS;

  constructor(directory: string) {
    this.directory = directory;
  }

  async manager(dialMs?: number): Promise<DeviceManager> {
    const patience = () => dialMs ?? this.allocateMs;
    const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + this.aheadMs };
    const { directory } = this;
    const manager = new DeviceManager({
      ...{ directory, clock, log, onChange: () => undefined, active: () => this.active },
      get timeoutMs() {
        return patience();
      },
    });
    await manager.load();
    const stop = new AbortController();
    const running = manager.run(stop.signal);
    this.#stops.unshift(async () => {
      stop.abort();
      await running;
    });
    const alive = () => register(directory, { version: "" }).catch((error: { code: number }) => error.code === 2);
    await until("the socket answers", async () => (await alive()) === true);
    return manager;
  }

  /** Ends the newest manager, as a kubelet's end would. */
  async stopManager(): Promise<void> {
    await this.#stops.shift()?.();
  }

  async plugin(devices: readonly FakeDevice[], options: Partial<FakePluginOptions> = {}): Promise<FakePlugin> {
    const plugin = await FakePlugin.start({ directory: this.directory, resource: THING, ...options }, devices);
    this.#stops.push(() => plugin.kill());
    await plugin.register();
    return plugin;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) await stop();
  }
}

function bench(name: string, body: (bench: Bench) => Promise<void>): void {
  test(name, async () => {
    const directory = await mkdtemp(join(tmpdir(), "knarr-devices-"));
    const made = new Bench(directory);
    try {
      await body(made);
    } finally {
      await made.stop();
      await rm(directory, { recursive: true });
    }
  });
}

const amountOf = (manager: DeviceManager, resource = THING) => {
  const { capacity, allocatable } = manager.amounts();
  return `${allocatable[resource]}/${capacity[resource]}`;
};

bench("allocate() gives up on a plugin that hangs, and what it was to give is free", async (b) => {
  const manager = await b.manager();
  let hang = true;
  const plugin = await b.plugin(healthy("a"), { hangs: () => hang });
  await until("device told", () => amountOf(manager) === "1/1");
  const why = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
  b.allocateMs = 200;
  assert.equal(await manager.allocate(pod("u1", container("main"))), why);
  [hang, b.allocateMs] = [false, PATIENCE_MS];
  assert.equal(await manager.allocate(pod("u2", container("main"))), undefined);
  assert.deepEqual(plugin.allocated.at(-1), ["a"]);
});

bench("allocate() tells what the plugin said; nothing stays given of a pod that is refused", async (b) => {
  const manager = await b.manager();
  let fails = false;
  const answer = (ids: readonly string[]) => {
    if (fails && ids.includes("b")) throw new Error("b is broken");
    return { envs: { IDS: ids.join() } };
  };
  await b.plugin(healthy("a", "b"), { answer });
  await until("devices told", () => amountOf(manager) === "2/2");
  fails = true;
  const wants = pod("u1", container("one"), container("two"));
  assert.equal(await manager.allocate(wants), "rpc error: code = Unknown desc = b is broken");
  fails = false;
  assert.equal(await manager.allocate(pod("u2", container("one"), container("two"))), undefined);
});

bench("allocate() gives no device to two pods that ask at once", async (b) => {
  const manager = await b.manager();
  const ids = Array.from({ length: 5000 }, (_, i) => `device-${i}`);
  const plugin = await b.plugin(healthy(...ids), { preferred: (available) => available.toReversed() });
  await until("devices told", () => amountOf(manager) === "5000/5000");
  const pods = Array.from({ length: 20 }, (_, i) => pod(`u${i}`, container("main", { [THING]: 250 })));
  assert.deepEqual(new Set(await Promise.all(pods.map((p) => manager.allocate(p)))), new Set([undefined]));
  assert.equal(new Set(plugin.allocated.flat()).size, 5000);
  const why = await manager.allocate(pod("late", container("main")));
  assert.equal(why, `requested number of devices unavailable for ${THING}. Requested: 1, Available: 0`);
  await manager.release("u7");
  assert.equal(await manager.allocate(pod("later", container("main", { [THING]: 250 }))), undefined);
});

bench(
  "amounts() follows a plugin that goes: ill at once, none after five minutes, back when it registers",
  async (b) => {
    const manager = await b.manager();
    const plugin = await b.plugin(healthy("a", "b"));
    await until("devices told", () => amountOf(manager) === "2/2");
    plugin.endStreams();
    await until("devices ill", () => amountOf(manager) === "0/2");
    b.aheadMs = 5 * 60_000;
    assert.equal(amountOf(manager), "0/0");
    await plugin.register();
    await until("devices back", () => amountOf(manager) === "2/2");
  },
);

bench("a plugin that registers twice is followed once; the old stream's end changes nothing", async (b) => {
  const manager = await b.manager();
  const plugin = await b.plugin(healthy("a"));
  await until("device told", () => amountOf(manager) === "1/1");
  await plugin.register();
  plugin.tell(healthy("a", "b"));
  await until("devices told", () => amountOf(manager) === "2/2");
  // The old one's end is heard of a moment later.
  await until("one stream is left", () => plugin.streams === 1);
});

bench("registration fails when nobody is at the plugin's socket", async (b) => {
  await b.manager(200);
  for (const endpoint of ["none.sock", "../../../etc/passwd", ""]) {
    const request = { version: "v1beta1", endpoint, resourceName: THING };
    const details = "failed to dial device plugin: context deadline exceeded";
    await assert.rejects(register(b.directory, request), { code: 2, details });
  }
});

bench("registration fails when who is at the plugin's socket is no plugin", async (b) => {
  await b.manager();
  const request = { version: "v1beta1", endpoint: "kubelet.sock", resourceName: THING };
  await assert.rejects(register(b.directory, request), /failed to get device plugin options: rpc error: code = Unimpl/);
});

bench("load() takes over what containers have, and gives what is left", async (b) => {
  const first = await b.manager();
  await b.plugin(healthy("a", "b"), { answer: (ids) => ({ envs: { IDS: ids.join() } }) });
  await until("devices told", () => amountOf(first) === "2/2");
  const holder = pod("u1", container("main"));
  assert.equal(await first.allocate(holder), undefined);
  await b.stopManager();
  const checkpoint = JSON.parse(await readFile(join(b.directory, "kubelet_internal_checkpoint"), "utf8"));
  assert.deepEqual(checkpoint.Data.PodDeviceEntries[0].DeviceIDs, { "-1": ["a"] });
  assert.deepEqual(checkpoint.Data.RegisteredDevices, { [THING]: ["a", "b"] });

  const second = await b.manager();
  assert.equal(amountOf(second), "0/0");
  assert.equal(second.admissible()[THING], "1");
  assert.deepEqual((await second.optionsFor(holder, container("main"))).envs, [{ key: "IDS", value: "a" }]);
  const plugin = await b.plugin(healthy("a", "b"));
  await until("devices told", () => amountOf(second) === "2/2");
  assert.equal(await second.allocate(pod("u2", container("main"))), undefined);
  assert.deepEqual(plugin.allocated, [["b"]]);
  b.active = new Set(["u2", "u3"]);
  assert.equal(await second.allocate(pod("u3", container("main"))), undefined, "what pods had that are gone is free");
});

bench("load() goes on without a checkpoint that does not read", async (b) => {
  await writeFile(join(b.directory, "kubelet_internal_checkpoint"), '{"Data":{"PodDeviceEntries":[{');
  const manager = await b.manager();
  await b.plugin(healthy("a"));
  await until("device told", () => amountOf(manager) === "1/1");
  // The pod ran before: it is given a device when its container starts.
  const found = await manager.optionsFor(pod("u1", container("main")), container("main"));
  assert.deepEqual(found.envs, []);
  assert.equal(manager.grantsOf("u1", "main").length, 1);
});
