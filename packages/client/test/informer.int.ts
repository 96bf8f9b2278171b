/**
 * Informers against the real API server over a link that fails in every way: afterwards, what they hold is what there is.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { fastClock } from "@knarr/testkit/fake-clock.ts";
import { type FaultProxy, startFaultProxy } from "@knarr/testkit/fault-proxy.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { Client } from "../src/client.ts";
import { Informer } from "../src/informer.ts";
import { listAll } from "../src/list-all.ts";

/** Fast, so that a silent link is found in seconds: 135 s become 4.5 s. */
const clock = fastClock(30);
const namespace = "default";

let etcd: TestEtcd;
let api: TestApiserver;
let direct: Client;
let proxy: FaultProxy;
let distant: Client;
const stop = new AbortController();

before(async () => {
  etcd = await startEtcd();
  api = await startApiserver({ etcd });
  direct = new Client(api.admin);
  proxy = await startFaultProxy({ port: api.port });
  distant = new Client({ ...api.admin, server: `https://${proxy.address}` }, { clock });
});
after(async () => {
  stop.abort();
  distant.close();
  direct.close();
  await proxy.stop();
  await api.stop();
  await etcd.stop();
});

/** An informer that also checks that what its handlers are told adds up. */
function follow(client: Client): { informer: Informer<ConfigMap>; told: Map<string, string>; running: Promise<void> } {
  const informer = new Informer<ConfigMap>(client, core.configmaps, { namespace, clock });
  const told = new Map<string, string>();
  const version = ({ metadata }: ConfigMap) => metadata.resourceVersion ?? "";
  informer.subscribe({
    added: (object) => {
      const key = keyString(keyOf(object));
      assert.ok(!told.has(key), `${key} was added twice`);
      told.set(key, version(object));
    },
    updated: (old, object) => {
      const key = keyString(keyOf(object));
      assert.equal(told.get(key), version(old), `${key} was not told in order`);
      told.set(key, version(object));
    },
    deleted: (object) => assert.ok(told.delete(keyString(keyOf(object))), "an unknown object was deleted"),
  });
  return { informer, told, running: informer.run(stop.signal) };
}

async function truth(): Promise<Map<string, string>> {
  const { items } = await listAll(direct, core.configmaps, { namespace });
  return new Map(items.map((object) => [keyString(keyOf(object)), object.metadata.resourceVersion ?? ""]));
}

async function converged(told: ReadonlyMap<string, string>): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const want = await truth();
    const got = [...told].sort();
    try {
      assert.deepEqual(got, [...want].sort());
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await systemClock.sleep(100);
  }
}

/** Creates, changes and deletes objects at random; a server that is away is waited for. */
async function disturb(rounds: number, seed: number): Promise<void> {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  for (let i = 0; i < rounds; i++) {
    const name = `object-${random(30)}`;
    const data = { i: String(i) };
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name }, data };
    const action = [
      () => direct.create(core.configmaps, object),
      () => direct.patch(core.configmaps, { namespace, name }, { type: "merge", body: { data } }),
      () => direct.delete(core.configmaps, { namespace, name }),
    ][random(3)];
    // Exists already, is gone already, server down: all part of the disturbance.
    await action?.().catch(() => systemClock.sleep(5));
  }
}

test("an informer holds what there is after its link was cut, half closed, delayed, refused and frozen", async () => {
  const { informer, told } = follow(distant);
  await informer.waitForSync(stop.signal);
  const faults = [
    () => void proxy.cut(),
    () => proxy.halfClose(),
    () => proxy.delay(20),
    () => proxy.delay(0),
    () => proxy.refuse(true),
    () => proxy.refuse(false),
    () => proxy.freeze(),
  ];
  for (const [round, fault] of [...faults, ...faults].entries()) {
    fault();
    await disturb(40, round + 1);
  }
  proxy.refuse(false);
  proxy.delay(0);
  await converged(told);
});

test("an informer holds what there is after the server was killed while objects changed", async () => {
  const { informer, told } = follow(direct);
  await informer.waitForSync(stop.signal);
  for (let round = 0; round < 3; round++) {
    const disturbing = disturb(60, 100 + round);
    await api.restart();
    await disturbing;
  }
  await converged(told);
});

test("an informer that fell behind the compacted history lists again and tells the difference", async () => {
  const { informer, told } = follow(distant);
  await informer.waitForSync(stop.signal);
  proxy.refuse(true);
  proxy.cut();
  await disturb(100, 200);
  // A server that starts after a compaction has no older events than its own.
  await api.restart();
  await disturb(100, 201);
  proxy.refuse(false);
  await converged(told);
});

test("listAll() reads every page once", async () => {
  for (let i = 0; i < 25; i++) {
    const metadata = { namespace: "kube-public", name: `page-${i}` };
    await direct.create(core.configmaps, { apiVersion: "v1", kind: "ConfigMap", metadata });
  }
  const { items } = await listAll(direct, core.configmaps, { namespace: "kube-public", limit: 7 });
  const names = items.map(({ metadata }) => metadata.name).filter((name) => name?.startsWith("page-"));
  assert.equal(new Set(names).size, 25);
  assert.equal(names.length, 25);
});
