/**
 * What clients of the API see when storage cannot do what it should: an etcd without space, a page of a list whose history is gone, a
 * watcher that does not read.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { core } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { EtcdStore } from "../src/storage/etcd-store.ts";
import { until } from "./storage-harness.ts";

const namespace = "default";
const large = (name: string, bytes: number): ConfigMap => {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data: { fill: "x".repeat(bytes) } };
};

describe("an API server whose etcd is out of space", () => {
  let etcd: TestEtcd;
  let api: TestApiserver;
  let client: Client;

  before(async () => {
    etcd = await startEtcd({ args: [`--quota-backend-bytes=${16 * 1024 * 1024}`] });
    api = await startApiserver({ etcd });
    client = new Client(api.admin);
  });
  after(async () => {
    client?.close();
    await api?.stop();
    await etcd?.stop();
  });

  test("create() is 500 in etcd's words, reads and watches go on, and all that was acknowledged is there", async () => {
    const made: string[] = [];
    let refused = "";
    let refusal: unknown;
    for (let index = 0; index < 60 && refusal === undefined; index++) {
      try {
        await client.create(core.configmaps, large(`fill-${index}`, 700_000));
        made.push(`fill-${index}`);
      } catch (error) {
        refusal = error;
        refused = `fill-${index}`;
      }
    }
    assert.ok(refusal instanceof StatusError, `no refusal but ${String(refusal)}`);
    assert.equal(refusal.code, 500);
    assert.match(refusal.message, /database space exceeded/);
    const { items, metadata } = await client.list(core.configmaps, { namespace });
    const names = items.map((item) => item.metadata?.name ?? "").filter((name) => name.startsWith("fill-"));
    // The write that crosses the quota may be applied and refused all the same. Source: etcd's apply_quota.go (Txn)
    assert.deepEqual(names.filter((name) => name !== refused).toSorted(), made.toSorted());
    assert.equal((await client.get(core.configmaps, { namespace, name: made[0] ?? "" })).metadata?.name, made[0]);
    const stop = new AbortController();
    const { resourceVersion = "" } = metadata;
    const watch = client.watch(core.configmaps, { namespace, resourceVersion, timeoutSeconds: 1, signal: stop.signal });
    for await (const event of watch) assert.equal(event.type, "BOOKMARK");
  });
});

describe("an API server under slow and late readers", () => {
  let etcd: TestEtcd;
  let api: TestApiserver;
  let client: Client;
  let store: EtcdStore;

  before(async () => {
    etcd = await startEtcd();
    api = await startApiserver({ etcd });
    client = new Client(api.admin);
    store = new EtcdStore({ endpoints: [etcd.endpoint] }, { clock: systemClock, log: silentLogger() });
  });
  after(async () => {
    client?.close();
    store?.close();
    await api?.stop();
    await etcd?.stop();
  });

  async function residentMiB(): Promise<number> {
    const status = await readFile(`/proc/${api.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
  }

  /** A watch whose client never reads what it is sent. */
  function openDeafWatch(): Promise<TLSSocket> {
    const { ca, cert, key } = api.admin;
    return new Promise((resolve, reject) => {
      const tls = { ca: String(ca), cert: String(cert), key: String(key) };
      const socket = connect({ host: "127.0.0.1", port: api.port, ...tls, ALPNProtocols: ["http/1.1"] });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        socket.pause();
        socket.write(`GET /api/v1/namespaces/${namespace}/configmaps?watch=1 HTTP/1.1\r\nhost: test\r\n\r\n`);
        resolve(socket);
      });
    });
  }

  test("watchers that never read are dropped, cost bounded memory and no other watcher an event", {
    timeout: 300_000,
  }, async () => {
    const WRITES = 120;
    await client.create(core.configmaps, large("noise", 10));
    const deaf = await Promise.all(Array.from({ length: 20 }, openDeafWatch));
    let ended = 0;
    for (const socket of deaf) socket.on("error", () => undefined).once("close", () => void ended++);
    const before = await residentMiB();
    const stop = new AbortController();
    const { metadata } = await client.list(core.configmaps, { namespace });
    const seen: number[] = [];
    const reading = (async () => {
      const options = { namespace, resourceVersion: metadata.resourceVersion ?? "", signal: stop.signal };
      for await (const { type, object } of client.watch(core.configmaps, options)) {
        if (type === "MODIFIED") seen.push(Number((object as ConfigMap).metadata?.labels?.count));
        if (seen.length === WRITES) return;
      }
    })();
    for (let count = 0; count < WRITES; count++) {
      const made = large("noise", 500_000);
      await client.update(core.configmaps, {
        ...made,
        metadata: { ...made.metadata, labels: { count: String(count) } },
      });
    }
    await reading;
    assert.deepEqual(
      seen,
      Array.from({ length: WRITES }, (_, count) => count),
    );
    stop.abort();
    // 20 watchers x 60 MB of events; what each may keep is bounded by its queue, and the events are shared.
    assert.ok((await residentMiB()) - before < 250, `${before} MiB before, ${await residentMiB()} after`);
    // Their connections are closed by the server: a socket hears of it when it reads again.
    for (const socket of deaf) socket.resume();
    await until(
      "the deaf watchers' streams have ended",
      () => ended === deaf.length || deaf.every((s) => s.readableEnded || s.destroyed),
      60_000,
    );
    for (const socket of deaf) socket.destroy();
  });

  test("a loop over pages goes on to its end while history is compacted between them", async () => {
    for (let index = 0; index < 30; index++) await client.create(core.configmaps, large(`page-${index}`, 10));
    const names = new Set<string>();
    let token: string | undefined;
    let refused = 0;
    do {
      try {
        const page = await client.list(core.configmaps, {
          namespace,
          limit: 7,
          ...(token === undefined ? {} : { continue: token }),
        });
        for (const item of page.items) names.add(item.metadata?.name ?? "");
        token = page.metadata.continue === "" ? undefined : page.metadata.continue;
      } catch (error) {
        // The answer holds a token with which the loop goes on over what is there now. Source: KEP-365
        assert.ok(error instanceof StatusError && error.code === 410);
        refused++;
        token = (error.status.metadata as { continue?: string } | undefined)?.continue;
        assert.ok(token !== undefined && token !== "");
      }
      if (refused === 0 && token !== undefined) {
        await client.create(core.configmaps, large("late", 10));
        await client.delete(core.configmaps, { namespace, name: "late" });
        await store.compact(await store.currentRevision());
      }
    } while (token !== undefined);
    assert.equal(refused, 1);
    for (let index = 0; index < 30; index++) assert.ok(names.has(`page-${index}`), `page-${index} is missing`);
  });
});
