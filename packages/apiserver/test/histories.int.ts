/**
 * Nothing is lost or invented: what clients of a real API server over a real etcd of three members were told while links, members and the
 * server itself failed is linearizable for each key, and their watches showed etcd's own history, each event once and in order.
 *
 * The order and moments of the faults come from a seed, which every failure prints. KNARR_HISTORY_SECONDS makes the runs longer (CI: a few
 * seconds per fault), KNARR_HISTORY_SEED repeats one.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { type FaultProxy, startFaultProxy } from "@knarr/testkit/fault-proxy.ts";
import { checkHistory, describeEntry } from "@knarr/testkit/linearizability/check-history.ts";
import type { Entry } from "@knarr/testkit/linearizability/history.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcdCluster, type TestEtcdCluster } from "@knarr/testkit/start-etcd-cluster.ts";
import { EtcdStore } from "../src/storage/etcd-store.ts";
import { RELISTED, randomFrom, runWorkload, toTell, watchStory } from "./histories-harness.ts";
import { until } from "./storage-harness.ts";

const seed = Number(process.env.KNARR_HISTORY_SEED ?? 20_261_121);
const faultMs = Number(process.env.KNARR_HISTORY_SECONDS ?? 3) * 1000;
const CLIENTS = 6;
const KEYS = 5;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Fault {
  readonly name: string;
  /** Leaves everything working again. */
  readonly strike: (world: World) => Promise<void>;
}

interface World {
  readonly etcd: TestEtcdCluster;
  readonly proxies: readonly FaultProxy[];
  readonly api: TestApiserver;
  readonly random: () => number;
  readonly store: EtcdStore;
}

const kill: Fault = {
  name: "the API server is killed in the middle of writes",
  strike: async ({ api, random }) => {
    for (let times = 0; times < 2; times++) {
      await pause(random() * 500);
      await api.restart();
    }
  },
};

const faults: readonly Fault[] = [
  {
    name: "all links to etcd are cut again and again",
    strike: async ({ proxies, random }) => {
      for (const endMs = performance.now() + faultMs; performance.now() < endMs; await pause(50 + random() * 400)) {
        for (const proxy of proxies) proxy.cut();
      }
    },
  },
  {
    name: "links to etcd die without a word, and others are half closed",
    strike: async ({ proxies, random }) => {
      for (const proxy of proxies) {
        if (random() < 0.5) proxy.freeze();
        else proxy.halfClose();
        await pause(faultMs / proxies.length);
      }
      // As long as it takes to find out that a link is dead.
      await pause(4_500);
    },
  },
  {
    name: "links to etcd are slow",
    strike: async ({ proxies }) => {
      for (const [index, proxy] of proxies.entries()) proxy.delay(30 + index * 60);
      await pause(faultMs);
      for (const proxy of proxies) proxy.delay(0);
    },
  },
  {
    name: "etcd cannot be reached at all for a while",
    strike: async ({ proxies }) => {
      for (const proxy of proxies) {
        proxy.refuse(true);
        proxy.cut();
      }
      await pause(faultMs);
      for (const proxy of proxies) proxy.refuse(false);
    },
  },
  {
    name: "the leader of etcd is killed and comes back",
    strike: async ({ etcd, random }) => {
      const leader = (await etcd.leader()) ?? etcd.members[0];
      await leader?.kill();
      await pause(1_000 + random() * faultMs);
      await leader?.restart();
    },
  },
  {
    name: "the leader of etcd is frozen until another one leads",
    strike: async ({ etcd }) => {
      const leader = (await etcd.leader()) ?? etcd.members[0];
      leader?.signal("SIGSTOP");
      await pause(faultMs + 2_000);
      leader?.signal("SIGCONT");
    },
  },
  {
    name: "etcd loses its majority and gets it back",
    strike: async ({ etcd }) => {
      const [a, b] = etcd.members;
      await Promise.all([a?.kill(), b?.kill()]);
      await pause(faultMs / 2);
      await Promise.all([a?.restart(), b?.restart()]);
    },
  },
  kill,
  {
    name: "etcd's history is compacted",
    strike: async ({ store }) => {
      // Not what a watcher may still need on a busy machine: what was there three rounds ago.
      const revisions: number[] = [];
      for (let round = 0; round < 6; round++) {
        await pause(faultMs / 4);
        revisions.push(await store.currentRevision());
        if (revisions.length > 3) await store.compact(revisions.shift() ?? 0);
      }
    },
  },
];

describe(`histories under faults, KNARR_HISTORY_SEED=${seed}`, () => {
  let world: World;
  let client: Client;

  /** Each as soon as it runs: one that does not start leaves the others to be stopped. */
  const started: (() => Promise<unknown>)[] = [];
  before(async () => {
    const etcd = await startEtcdCluster({ members: 3 });
    started.push(() => etcd.stop());
    const proxies = await Promise.all(
      etcd.members.map(({ endpoint }) => startFaultProxy({ port: Number(new URL(endpoint).port) })),
    );
    for (const proxy of proxies) started.push(() => proxy.stop());
    const endpoint = proxies.map(({ address }) => `http://${address}`).join(",");
    const api = await startApiserver({ etcd: { endpoint }, args: ["--etcd-compaction-interval=0"] });
    started.push(() => api.stop());
    const endpoints = etcd.members.map((member) => member.endpoint);
    const store = new EtcdStore({ endpoints }, { clock: systemClock, log: silentLogger() });
    world = { etcd, proxies, api, random: randomFrom(seed), store };
    client = new Client(api.admin);
  });
  after(async () => {
    client?.close();
    world?.store.close();
    for (const stop of started.toReversed()) await stop();
  });

  for (const [index, { name, strike }] of faults.entries()) {
    test(`every key is linearizable and watches miss nothing when ${name}`, { timeout: 300_000 }, async () => {
      const namespace = `history-${index}`;
      await client.create(core.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
      const { resourceVersion: fromVersion = "" } = (await client.list(core.configmaps, { namespace })).metadata;
      const { config, stories, watching, stopWatching } = startWatchers(namespace, fromVersion);
      const observed = observe(namespace, Number(fromVersion));
      const stopWriting = new AbortController();
      const options = { config, namespace, clients: CLIENTS, keys: KEYS, seed: seed + index, stop: stopWriting.signal };
      const working = runWorkload(options);
      await pause(500);
      await strike(world);
      await pause(1_000);
      stopWriting.abort();
      const entries = [...(await working), ...(await readAll(namespace))];
      judge(entries);
      const want = await observed.upToNow();
      for (const story of stories) {
        await until("the watcher has everything", () => story.length >= toTell(story, want).length, 60_000);
        assert.deepEqual(story, toTell(story, want));
        // A server that was started anew knows nothing of before (as upstream's); no other fault may cost a watcher its place.
        if (strike !== kill.strike) assert.ok(!story.some((event) => event.startsWith(RELISTED)));
      }
      stopWatching.abort();
      await watching;
    });
  }

  function startWatchers(namespace: string, fromVersion: string) {
    const config = world.api.admin;
    const stories: string[][] = [[], []];
    const stopWatching = new AbortController();
    const stop = stopWatching.signal;
    const watching = Promise.all(stories.map((story) => watchStory({ config, namespace, fromVersion, story, stop })));
    return { config, stories, watching, stopWatching };
  }

  /** etcd's own account, by a watch that no fault proxy disturbs; taken as it happens, for history may be compacted. */
  function observe(namespace: string, fromRevision: number) {
    const stopping = new AbortController();
    const prefix = `/registry/configmaps/${namespace}/`;
    const watch = world.store.watch({
      ...{ start: prefix, end: `${prefix.slice(0, -1)}0` },
      ...{ fromRevision: fromRevision + 1, signal: stopping.signal },
    });
    const story: string[] = [];
    let reached = 0;
    const reading = (async () => {
      for await (const batch of watch) {
        for (const { type, isCreate, key, revision } of batch.events) {
          const what = type === "delete" ? "DELETED" : isCreate ? "ADDED" : "MODIFIED";
          story.push(`${what} ${key.slice(prefix.length)}@${revision}`);
        }
        reached = batch.revision;
      }
    })();
    return {
      upToNow: async () => {
        const revision = await world.store.currentRevision();
        const asking = setInterval(() => watch.requestProgress(), 50).unref();
        await until("etcd's own watch is there", () => reached >= revision, 60_000);
        clearInterval(asking);
        stopping.abort();
        await reading;
        return story;
      },
    };
  }

  /** What is there at the end, as reads of one more client, once writes of unknown outcome can't come any more. */
  async function readAll(namespace: string): Promise<Entry[]> {
    await pause(500);
    const calledMs = performance.now();
    const { items } = await client.list(core.configmaps, { namespace });
    const answeredMs = performance.now();
    return Array.from({ length: KEYS }, (_, index) => {
      const key = `key-${index}`;
      const found = items.find((item) => item.metadata?.name === key);
      const outcome: Entry["outcome"] =
        found === undefined
          ? { kind: "absent" }
          : { kind: "value", value: found.data?.value ?? "", version: Number(found.metadata?.resourceVersion) };
      return { key, client: CLIENTS, operation: { kind: "read" }, outcome, calledMs, answeredMs };
    });
  }

  function judge(entries: readonly Entry[]): void {
    const writes = entries.filter(({ operation, outcome }) => operation.kind !== "read" && outcome.kind === "done");
    assert.ok(writes.length >= 10, `only ${writes.length} writes were acknowledged: the test shows nothing`);
    for (const [key, ofKey] of Map.groupBy(entries, (entry) => entry.key)) {
      const verdict = checkHistory(ofKey);
      if (verdict.ok) continue;
      const tail = verdict.done.slice(-8).map(describeEntry);
      assert.fail(
        `seed ${seed}: ${key} is not linearizable after\n${tail.join("\n")}\nwhat could come next:\n${verdict.stuck.map(describeEntry).join("\n")}`,
      );
    }
  }
});
