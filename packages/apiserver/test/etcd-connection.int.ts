/** The way to etcd itself: TLS, endpoints that fail over, deadlines, large answers, requests that are given up. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { freePort } from "@knarr/testkit/child-daemon.ts";
import { startFaultProxy } from "@knarr/testkit/fault-proxy.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { TestPki } from "@knarr/testkit/test-pki.ts";
import type { EtcdOptions } from "../src/storage/etcd-connection.ts";
import { EtcdStore } from "../src/storage/etcd-store.ts";

const MIB = 1024 * 1024;

function storeOf(options: EtcdOptions): EtcdStore {
  return new EtcdStore({ requestTimeoutMs: 20_000, ...options }, { clock: systemClock, log: silentLogger() });
}

describe("EtcdStore over a plain connection", () => {
  let etcd: TestEtcd;
  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd.stop());

  test("range() brings answers of more than any default limit", async () => {
    const store = storeOf({ endpoints: [etcd.endpoint] });
    const value = Buffer.alloc(MIB, "x");
    for (let i = 0; i < 24; i++) assert.equal((await store.create(`/large/${i}`, value)).ok, true);
    const { items } = await store.range({ start: "/large/", end: "/large0" });
    assert.equal(items.length, 24);
    assert.ok(items.every((item) => item.value.equals(value)));
    store.close();
  });

  test("create() of more than etcd takes is too-large", async () => {
    const store = storeOf({ endpoints: [etcd.endpoint] });
    for (const size of [1.6 * MIB, 4 * MIB]) {
      await assert.rejects(store.create("/huge", Buffer.alloc(size, "x")), { code: "too-large" });
    }
    assert.equal((await store.get("/huge")).item, undefined);
    store.close();
  });

  test("get() ends canceled when its signal aborts, and the connection lives on", async () => {
    const store = storeOf({ endpoints: [etcd.endpoint] });
    await store.currentRevision();
    const aborter = new AbortController();
    const reading = store.get("/a", { signal: aborter.signal });
    aborter.abort();
    await assert.rejects(reading, { code: "canceled" });
    await assert.rejects(store.get("/a", { signal: aborter.signal }), { code: "canceled" });
    assert.equal((await store.get("/a")).item, undefined);
    store.close();
  });

  test("create() is unreachable, and so certainly not done, when nobody listens", async () => {
    const store = storeOf({ endpoints: [`http://127.0.0.1:${await freePort()}`] });
    await assert.rejects(store.create("/a", Buffer.from("1")), { code: "unreachable" });
    store.close();
  });

  test("the next endpoint is used when one refuses, and when one dies without a word", async () => {
    const proxy = await startFaultProxy({ port: Number(new URL(etcd.endpoint).port) });
    const dead = `http://127.0.0.1:${await freePort()}`;
    const store = storeOf({ endpoints: [dead, `http://${proxy.address}`, etcd.endpoint], requestTimeoutMs: 5_000 });
    assert.equal((await store.create("/failover/a", Buffer.from("1"))).ok, true);
    proxy.freeze();
    proxy.refuse(true);
    // A read is tried again by itself; the link that says nothing is given up first.
    assert.equal((await store.get("/failover/a")).item?.value.toString(), "1");
    assert.equal((await store.create("/failover/b", Buffer.from("1"))).ok, true);
    store.close();
    await proxy.stop();
  });

  test("close() ends calls under way and leaves nothing that holds the process", async () => {
    const store = storeOf({ endpoints: [etcd.endpoint] });
    await store.currentRevision();
    const reading = store.get("/a");
    store.close();
    await assert.rejects(reading, { name: "StorageError" });
    await assert.rejects(store.get("/a"), { name: "StorageError" });
  });
});

describe("EtcdStore over TLS", () => {
  let dir: string;
  let etcd: TestEtcd;
  let tls: { ca: Buffer; cert: Buffer; key: Buffer };

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "knarr-etcd-tls-"));
    const pki = await TestPki.create(dir);
    await pki.issue("server", { commonName: "etcd", ipAddresses: ["127.0.0.1"], dnsNames: ["localhost"] });
    const client = await pki.issue("client", { commonName: "kube-apiserver-etcd-client" });
    etcd = await startEtcd({
      tls: { cert: pki.path("server.crt"), key: pki.path("server.key"), clientCa: pki.path("ca.crt") },
    });
    const ca = await readFile(pki.path("ca.crt"));
    tls = { ca, cert: Buffer.from(client.cert), key: Buffer.from(client.key) };
  });
  after(async () => {
    await etcd.stop();
    await rm(dir, { recursive: true, force: true });
  });

  for (const host of ["127.0.0.1", "localhost"]) {
    test(`create() and get() work with a client certificate at ${host}`, async () => {
      const store = storeOf({ endpoints: [etcd.endpoint.replace("127.0.0.1", host)], tls });
      assert.equal((await store.create(`/tls/${host}`, Buffer.from("1"))).ok, true);
      assert.equal((await store.get(`/tls/${host}`)).item?.value.toString(), "1");
      store.close();
    });
  }

  test("nothing is sent to a server of another CA, nor without a client certificate", async () => {
    const other = await TestPki.create(join(dir, "other"));
    const ca = await readFile(other.path("ca.crt"));
    for (const wrong of [{ ...tls, ca }, { ca: tls.ca }]) {
      const store = storeOf({ endpoints: [etcd.endpoint], tls: wrong });
      await assert.rejects(store.get("/tls/a"), { name: "StorageError" });
      store.close();
    }
  });
});
