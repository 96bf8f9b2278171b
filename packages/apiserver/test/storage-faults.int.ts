/**
 * The link to etcd misbehaves, and etcd dies: watches never skip, repeat or reorder an event, reads are never older than an acknowledged
 * write, and what was acknowledged is there. The server under test reaches etcd through a fault proxy; a writer beside it does not.
 */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { type FaultProxy, startFaultProxy } from "@knarr/testkit/fault-proxy.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { EtcdStore } from "../src/storage/etcd-store.ts";
import { isOutage } from "../src/storage/storage-error.ts";
import type { ResourceStorage } from "../src/storage/types.ts";
import {
  type Bench,
  parsed,
  pod,
  podBytes,
  podStorage,
  startBench,
  until,
  untilReady,
  WatchReader,
} from "./storage-harness.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Fault {
  readonly name: string;
  readonly strike: (proxy: FaultProxy, etcd: TestEtcd) => Promise<void>;
}

const faults: readonly Fault[] = [
  {
    name: "connections are cut again and again",
    strike: async (proxy) => {
      for (let i = 0; i < 8; i++) {
        proxy.cut();
        await pause(120);
      }
    },
  },
  {
    name: "the link dies without a word",
    strike: async (proxy) => {
      // The server must notice by itself that nothing comes any more, and dial again.
      proxy.freeze();
      await pause(4_000);
    },
  },
  {
    name: "etcd's half of the connections is closed",
    strike: async (proxy) => {
      proxy.halfClose();
      await pause(300);
      proxy.halfClose();
    },
  },
  {
    name: "the link is slow",
    strike: async (proxy) => {
      proxy.delay(80);
      await pause(800);
      proxy.delay(0);
    },
  },
  {
    name: "etcd cannot be reached for a while",
    strike: async (proxy) => {
      proxy.refuse(true);
      proxy.cut();
      await pause(1_500);
      proxy.refuse(false);
    },
  },
  {
    name: "etcd is killed and comes back",
    strike: async (_proxy, etcd) => {
      await etcd.restart();
      await pause(200);
      await etcd.restart();
    },
  },
  {
    name: "etcd is frozen for longer than the server waits",
    strike: async (_proxy, etcd) => {
      etcd.signal("SIGSTOP");
      await pause(7_000);
      etcd.signal("SIGCONT");
    },
  },
];

describe("storage under faults", () => {
  let etcd: TestEtcd;
  let proxy: FaultProxy;
  let bench: Bench;
  let pods: ResourceStorage;
  let direct: EtcdStore;
  let prefix: string;

  before(async () => {
    etcd = await startEtcd();
    proxy = await startFaultProxy({ port: Number(new URL(etcd.endpoint).port) });
    bench = await startBench({ etcd, endpoint: `http://${proxy.address}`, requestTimeoutMs: 3_000 });
    pods = podStorage(bench, true);
    await untilReady(bench);
    direct = new EtcdStore(
      { endpoints: [etcd.endpoint], requestTimeoutMs: 20_000 },
      { clock: systemClock, log: silentLogger() },
    );
    prefix = `${bench.root}/pods/`;
  });
  after(async () => {
    await bench.stop();
    direct.close();
    await proxy.stop();
    await etcd.stop();
  });

  /** Writes beside the server under test until told to stop; survives etcd's outages. */
  async function writeUntil(stop: AbortSignal, namespace: string): Promise<void> {
    for (let i = 0; !stop.aborted; i++) {
      const name = `p${i % 5}`;
      const key = `${prefix}${namespace}/${name}`;
      try {
        const { item } = await direct.get(key);
        const bytes = podBytes(pod(name, namespace), { spec: { i } });
        if (item === undefined) await direct.create(key, bytes);
        else if (i % 7 === 6) await direct.remove(key, item.modRevision);
        else await direct.replace(key, bytes, item.modRevision);
      } catch (error) {
        if (!isOutage(error)) throw error;
      }
      await pause(3);
    }
  }

  /** etcd's own account of what happened, to compare with. */
  async function history(fromRevision: number, toRevision: number, namespace: string): Promise<string[]> {
    const stopping = new AbortController();
    const watch = direct.watch({
      start: `${prefix}${namespace}/`,
      end: `${prefix}${namespace}0`,
      fromRevision,
      signal: stopping.signal,
    });
    const story: string[] = [];
    const asking = setInterval(() => watch.requestProgress(), 50).unref();
    for await (const batch of watch) {
      for (const event of batch.events) {
        const type = event.type === "delete" ? "DELETED" : event.isCreate ? "ADDED" : "MODIFIED";
        if (event.revision <= toRevision)
          story.push(`${type} ${event.key.slice(event.key.lastIndexOf("/") + 1)}@${event.revision}`);
      }
      if (batch.revision >= toRevision) break;
    }
    clearInterval(asking);
    stopping.abort();
    return story;
  }

  async function onceAnswered<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        // A 503 is the cache's word for the store's outage.
        if (attempt > 100 || !(isOutage(error) || (error instanceof StatusError && error.code === 503))) throw error;
        await pause(100);
      }
    }
  }

  for (const [index, fault] of faults.entries()) {
    test(`watch() shows every event once and in order when ${fault.name}`, { timeout: 240_000 }, async () => {
      const namespace = `f${index}`;
      const start = Number((await pods.list({ namespace })).resourceVersion);
      const options = { namespace, resourceVersion: String(start), signal: AbortSignal.timeout(230_000) };
      const readers = [new WatchReader(await pods.watch(options)), new WatchReader(await pods.watch(options))];
      const stopping = new AbortController();
      const writing = writeUntil(stopping.signal, namespace);
      await pause(200);
      await fault.strike(proxy, etcd);
      await pause(300);
      stopping.abort();
      await writing;
      const end = await direct.currentRevision();
      const want = await history(start + 1, end, namespace);
      for (const reader of readers) {
        await until("the reader has everything", () => reader.story.length >= want.length);
        assert.deepEqual(reader.story, want);
        await reader.close();
      }
      // The cache holds what etcd holds. Connections that died in the fault may be found dead only now.
      const page = await onceAnswered(() => pods.list({ namespace }));
      const stored = await direct.range({ start: `${prefix}${namespace}/`, end: `${prefix}${namespace}0` });
      assert.deepEqual(
        page.items.map((o) => o.revision),
        stored.items.map((o) => o.modRevision),
      );
    });
  }

  test("get() is never older than an acknowledged write while connections are cut", { timeout: 240_000 }, async () => {
    const key = pod("fresh", "fresh");
    const storeKey = `${prefix}fresh/fresh`;
    let revision = ((await direct.create(storeKey, podBytes(key, { spec: { i: 0 } }))) as { revision: number })
      .revision;
    const cutting = setInterval(() => proxy.cut(), 90).unref();
    for (let i = 1; i <= 40; i++) {
      const result = await direct.replace(storeKey, podBytes(key, { spec: { i } }), revision);
      assert.ok(result.ok);
      revision = result.revision;
      try {
        const got = await pods.get(key);
        assert.equal(parsed(got).spec?.i, i);
      } catch (error) {
        assert.ok([503, 504].includes((error as StatusError).code), String(error));
      }
    }
    clearInterval(cutting);
    // How many got through between two cuts is the machine's business; the first afterwards must be the last write.
    assert.equal(parsed(await onceAnswered(() => pods.get(key))).spec?.i, 40);
  });

  test("create() that was acknowledged survives etcd's kill, one that was not says so with 503 or 504", {
    timeout: 240_000,
  }, async () => {
    const acknowledged: string[] = [];
    const stopping = new AbortController();
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; !stopping.signal.aborted; i++) {
        const name = `w${writer}-${i}`;
        try {
          await pods.create(pod(name, "acked"), podBytes(pod(name, "acked")));
          acknowledged.push(name);
        } catch (error) {
          assert.ok([503, 504].includes((error as StatusError).code), String(error));
          await pause(20);
        }
      }
    });
    await until("a write is acknowledged", () => acknowledged.length > 0);
    await etcd.restart();
    await pause(500);
    stopping.abort();
    await Promise.all(writers);
    const names = new Set((await pods.list({ namespace: "acked" })).items.map((o) => o.key.name));
    assert.deepEqual(
      acknowledged.filter((name) => !names.has(name)),
      [],
    );
    assert.ok(acknowledged.length > 0);
  });

  test("watches end and the cache begins again when history is compacted during an outage", {
    timeout: 240_000,
  }, async () => {
    const reader = new WatchReader(await pods.watch({ namespace: "compact", signal: AbortSignal.timeout(120_000) }));
    proxy.refuse(true);
    proxy.cut();
    await pause(300);
    const key = `${prefix}compact/a`;
    let last = 0;
    for (let i = 0; i < 5; i++) {
      const made = await direct.create(`${key}${i}`, podBytes(pod(`a${i}`, "compact")));
      if (made.ok) last = made.revision;
    }
    await direct.compact(last);
    proxy.refuse(false);
    await reader.ended;
    await untilReady(bench);
    assert.equal((await pods.list({ namespace: "compact" })).items.length, 5);
    const again = new WatchReader(
      await pods.watch({
        namespace: "compact",
        resourceVersion: String(last - 3),
        signal: AbortSignal.timeout(60_000),
      }),
    );
    await again.ended;
    assert.equal(JSON.parse(again.events[0]?.frame.toString() ?? "{}").object.code, 410);
  });

  test("a restored older etcd ends watches and is what is served from then on", { timeout: 240_000 }, async () => {
    const key = pod("lost", "restore");
    await pods.create(key, podBytes(key));
    const reader = new WatchReader(await pods.watch({ namespace: "restore", signal: AbortSignal.timeout(120_000) }));
    await reader.waitFor(1);
    await etcd.kill();
    await rm(`${etcd.dataDir}/data`, { recursive: true });
    await etcd.restart();
    await reader.ended;
    await untilReady(bench);
    assert.deepEqual((await pods.list({ namespace: "restore" })).items, []);
    const made = await pods.create(key, podBytes(key));
    assert.equal((await pods.get(key)).revision, made.revision);
  });
});
