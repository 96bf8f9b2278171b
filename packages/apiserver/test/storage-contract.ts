/**
 * What every ResourceStorage must do, whether it reads from etcd or from the watch cache. Run by storage.int.ts against both.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ResourceStorage, WatchOptions } from "../src/storage/types.ts";
import {
  type Bench,
  equals,
  parsed,
  pod,
  podBytes,
  podStorage,
  startBench,
  untilReady,
  WatchReader,
} from "./storage-harness.ts";

export function storageContract(name: string, cached: boolean): void {
  describe(name, () => {
    let bench: Bench;
    let pods: ResourceStorage;
    before(async () => {
      bench = await startBench();
      pods = podStorage(bench, cached);
      if (cached) await untilReady(bench);
    });
    after(() => bench.stop());

    const create = (podName: string, namespace: string, extra: Parameters<typeof podBytes>[1] = {}) =>
      pods.create(pod(podName, namespace), podBytes(pod(podName, namespace), extra));

    async function watch(options: Omit<WatchOptions, "signal">): Promise<WatchReader> {
      return new WatchReader(await pods.watch({ ...options, signal: AbortSignal.timeout(60_000) }));
    }

    test("create() returns the bytes with the resourceVersion that get() then shows", async () => {
      const made = await create("a", "one");
      assert.equal(parsed(made).metadata.resourceVersion, String(made.revision));
      const got = await pods.get(pod("a", "one"));
      assert.deepEqual(got.bytes, made.bytes);
    });

    test("create() throws AlreadyExists when the name is taken", async () => {
      await create("twice", "one");
      await assert.rejects(create("twice", "one"), {
        code: 409,
        reason: "AlreadyExists",
        message: 'pods "twice" already exists',
      });
    });

    test("get() throws NotFound when there is no such object", async () => {
      await assert.rejects(pods.get(pod("none")), { code: 404, reason: "NotFound", message: 'pods "none" not found' });
    });

    test("get() throws 504 with a cause when the version asked for lies in the future", async () => {
      const made = await create("future", "one");
      await assert.rejects(
        pods.get(pod("future", "one"), { resourceVersion: String(made.revision + 1_000_000) }),
        (error: StatusError) =>
          error.code === 504 && error.status.details?.causes?.[0]?.reason === "ResourceVersionTooLarge",
      );
    });

    test("update() writes what was decided under a new version", async () => {
      const made = await create("b", "one");
      const { outcome, object } = await pods.update(pod("b", "one"), () => ({
        kind: "write",
        bytes: podBytes(pod("b", "one"), { labels: { x: "1" } }),
      }));
      assert.equal(outcome, "updated");
      assert.ok(object.revision > made.revision);
      assert.deepEqual((await pods.get(pod("b", "one"))).bytes, object.bytes);
    });

    test("update() uses up no version when the bytes are the same", async () => {
      const made = await create("same", "one");
      const { outcome, object } = await pods.update(pod("same", "one"), () => ({
        kind: "write",
        bytes: podBytes(pod("same", "one")),
      }));
      assert.equal(outcome, "unchanged");
      assert.equal(object.revision, made.revision);
    });

    test("update() decides again when somebody writes in between", async () => {
      await create("race", "one");
      let calls = 0;
      const { object } = await pods.update(pod("race", "one"), async (current) => {
        calls++;
        if (calls === 1) {
          await pods.update(pod("race", "one"), () => ({
            kind: "write",
            bytes: podBytes(pod("race", "one"), { labels: { a: "1" } }),
          }));
        }
        const labels = { ...(current === undefined ? {} : parsed(current).metadata.labels), b: "2" };
        return { kind: "write", bytes: podBytes(pod("race", "one"), { labels }) };
      });
      assert.equal(calls, 2);
      assert.deepEqual(parsed(object).metadata.labels, { a: "1", b: "2" });
    });

    test("update() keeps 20 concurrent increments of one object", async () => {
      await create("counter", "one", { spec: { n: 0 } });
      const increment = () =>
        pods.update(pod("counter", "one"), (current) => {
          const n = Number((current === undefined ? {} : parsed(current).spec)?.n) + 1;
          return { kind: "write", bytes: podBytes(pod("counter", "one"), { spec: { n } }) };
        });
      await Promise.all(Array.from({ length: 20 }, increment));
      assert.equal(parsed(await pods.get(pod("counter", "one"))).spec?.n, 20);
    });

    test("update() takes the decision on the newest object when an old suggestion is refused", async () => {
      const old = await create("stale", "one");
      await pods.update(pod("stale", "one"), () => ({
        kind: "write",
        bytes: podBytes(pod("stale", "one"), { labels: { ok: "1" } }),
      }));
      const { outcome } = await pods.update(
        pod("stale", "one"),
        (current) => {
          if (current?.revision === old.revision) throw statusErrors.badRequest("stale");
          return { kind: "keep" };
        },
        { suggestion: old },
      );
      assert.equal(outcome, "unchanged");
    });

    test("update() throws NotFound for a missing object, and creates it when told to", async () => {
      const write = () => ({ kind: "write" as const, bytes: podBytes(pod("made", "one")) });
      await assert.rejects(pods.update(pod("made", "one"), write), { reason: "NotFound" });
      const { outcome } = await pods.update(pod("made", "one"), write, { createIfMissing: true });
      assert.equal(outcome, "created");
    });

    test("delete() returns the last state under the deletion's own version", async () => {
      const made = await create("gone", "one");
      const last = await pods.delete(pod("gone", "one"));
      assert.ok(last.revision > made.revision);
      assert.equal(parsed(last).metadata.resourceVersion, String(last.revision));
      await assert.rejects(pods.get(pod("gone", "one")), { reason: "NotFound" });
    });

    test("delete() removes nothing when its check refuses", async () => {
      await create("kept", "one");
      const refuse = () => {
        throw statusErrors.conflict({ group: "", resource: "pods" }, "kept", "no");
      };
      await assert.rejects(pods.delete(pod("kept", "one"), refuse), { reason: "Conflict" });
      await pods.get(pod("kept", "one"));
    });

    test("list() sees every acknowledged write, in key order", async () => {
      for (const podName of ["c", "a", "b"]) await create(podName, "two");
      const page = await pods.list({ namespace: "two" });
      assert.deepEqual(
        page.items.map((o) => o.key.name),
        ["a", "b", "c"],
      );
      assert.equal(page.continueToken, undefined);
      assert.equal(page.remainingItemCount, undefined);
    });

    test("list() keeps namespaces apart whose names begin alike", async () => {
      await create("p", "ns");
      await create("p", "ns-2");
      assert.deepEqual(
        (await pods.list({ namespace: "ns" })).items.map((o) => o.key.namespace),
        ["ns"],
      );
    });

    test("list() filters by labels, fields and name", async () => {
      await create("x", "three", { labels: { app: "web" }, spec: { nodeName: "n1" } });
      await create("y", "three", { labels: { app: "web" }, spec: { nodeName: "n2" } });
      await create("z", "three", { labels: { app: "db" }, spec: { nodeName: "n1" } });
      const names = async (options: Parameters<ResourceStorage["list"]>[0]) =>
        (await pods.list({ namespace: "three", ...options })).items.map((o) => o.key.name);
      assert.deepEqual(await names({ labels: equals({ app: "web" }) }), ["x", "y"]);
      assert.deepEqual(await names({ fields: equals({ "spec.nodeName": "n1" }) }), ["x", "z"]);
      assert.deepEqual(await names({ labels: equals({ app: "web" }), fields: equals({ "spec.nodeName": "n1" }) }), [
        "x",
      ]);
      assert.deepEqual(await names({ name: "y" }), ["y"]);
      assert.deepEqual(await names({ labels: equals({ app: "web" }), limit: 1 }), ["x"]);
    });

    test("list() pages through one version, whatever is written meanwhile", async () => {
      for (let i = 0; i < 7; i++) await create(`p${i}`, "pages");
      const first = await pods.list({ namespace: "pages", limit: 3 });
      assert.equal(first.remainingItemCount, 4);
      await pods.delete(pod("p4", "pages"));
      await create("p9", "pages");
      const second = await pods.list({ namespace: "pages", limit: 3, continue: first.continueToken ?? "" });
      assert.equal(second.remainingItemCount, 1);
      const third = await pods.list({ namespace: "pages", limit: 3, continue: second.continueToken ?? "" });
      assert.equal(third.continueToken, undefined);
      const all = [first, second, third];
      assert.deepEqual(
        all.flatMap((p) => p.items.map((o) => o.key.name)),
        ["p0", "p1", "p2", "p3", "p4", "p5", "p6"],
      );
      assert.equal(new Set(all.map((p) => p.resourceVersion)).size, 1);
    });

    test("list() shows the past with resourceVersionMatch Exact", async () => {
      const made = await create("then", "past");
      await create("later", "past");
      const page = await pods.list({
        namespace: "past",
        resourceVersion: String(made.revision),
        resourceVersionMatch: "Exact",
      });
      assert.deepEqual(
        page.items.map((o) => o.key.name),
        ["then"],
      );
      assert.equal(page.resourceVersion, String(made.revision));
    });

    test("list() throws BadRequest for a token or version that is none", async () => {
      for (const options of [
        { continue: "nonsense", limit: 1 },
        { resourceVersion: "abc" },
        { resourceVersion: "-1" },
      ]) {
        await assert.rejects(pods.list(options), { code: 400, reason: "BadRequest" });
      }
    });

    test("watch() from a version shows each change once, in order, as the write returned it", async () => {
      const start = (await pods.list({ namespace: "w1" })).resourceVersion;
      const made = await create("a", "w1");
      const reader = await watch({ namespace: "w1", resourceVersion: start });
      const { object } = await pods.update(pod("a", "w1"), () => ({
        kind: "write",
        bytes: podBytes(pod("a", "w1"), { labels: { v: "2" } }),
      }));
      const last = await pods.delete(pod("a", "w1"));
      await reader.waitFor(3);
      assert.deepEqual(reader.story, [
        `ADDED a@${made.revision}`,
        `MODIFIED a@${object.revision}`,
        `DELETED a@${last.revision}`,
      ]);
      assert.deepEqual(
        reader.events.map((e) => e.object.bytes),
        [made.bytes, object.bytes, last.bytes],
      );
      for (const event of reader.events) {
        assert.deepEqual(JSON.parse(event.frame.toString()), { type: event.type, object: parsed(event.object) });
        assert.equal(event.frame.at(-1), 10);
      }
      await reader.close();
    });

    test("watch() turns entering and leaving the selector into ADDED and DELETED", async () => {
      const start = (await pods.list({ namespace: "w2" })).resourceVersion;
      const reader = await watch({ namespace: "w2", resourceVersion: start, labels: equals({ app: "web" }) });
      const set = async (labels: Record<string, string>) =>
        (await pods.update(pod("a", "w2"), () => ({ kind: "write", bytes: podBytes(pod("a", "w2"), { labels }) })))
          .object;
      await create("a", "w2", { labels: { app: "db" } });
      const entered = await set({ app: "web" });
      const stayed = await set({ app: "web", x: "1" });
      const left = await set({ app: "db" });
      await set({ app: "other" });
      const back = await set({ app: "web" });
      await reader.waitFor(4);
      assert.deepEqual(reader.story, [
        `ADDED a@${entered.revision}`,
        `MODIFIED a@${stayed.revision}`,
        `DELETED a@${left.revision}`,
        `ADDED a@${back.revision}`,
      ]);
      const deleted = reader.events[2];
      assert.deepEqual(deleted && parsed(deleted.object).metadata.labels, { app: "web", x: "1" });
      assert.equal(deleted && parsed(deleted.object).metadata.resourceVersion, String(left.revision));
      await reader.close();
    });

    test("watch() sees nothing of other namespaces and names", async () => {
      const start = (await pods.list({ namespace: "w3" })).resourceVersion;
      const reader = await watch({ namespace: "w3", name: "mine", resourceVersion: start });
      await create("mine", "w3-2");
      await create("other", "w3");
      const mine = await create("mine", "w3");
      await reader.waitFor(1);
      assert.deepEqual(reader.story, [`ADDED mine@${mine.revision}`]);
      await reader.close();
    });

    test("watch() begins with the state when no version is given", async () => {
      const a = await create("a", "w4");
      const reader = await watch({ namespace: "w4" });
      const b = await create("b", "w4");
      await reader.waitFor(2);
      assert.deepEqual(reader.story, [`ADDED a@${a.revision}`, `ADDED b@${b.revision}`]);
      await reader.close();
    });

    test("watch() with sendInitialEvents closes the state with the annotated bookmark", async () => {
      await create("a", "w5");
      const reader = await watch({
        namespace: "w5",
        sendInitialEvents: true,
        resourceVersionMatch: "NotOlderThan",
        allowBookmarks: true,
      });
      const b = await create("b", "w5");
      await reader.waitFor(2);
      assert.deepEqual(
        reader.events.map((e) => e.type),
        ["ADDED", "BOOKMARK", "ADDED"],
      );
      const bookmark = JSON.parse(reader.events[1]?.frame.toString() ?? "{}");
      assert.equal(bookmark.object.kind, "Pod");
      assert.equal(bookmark.object.metadata.annotations["k8s.io/initial-events-end"], "true");
      assert.ok(Number(bookmark.object.metadata.resourceVersion) < b.revision);
      await reader.close();
    });

    test("watch() with sendInitialEvents=false and no version shows only what happens from now on", async () => {
      await create("a", "w6");
      const reader = await watch({ namespace: "w6", sendInitialEvents: false, resourceVersionMatch: "NotOlderThan" });
      const b = await create("b", "w6");
      await reader.waitFor(1);
      assert.deepEqual(reader.story, [`ADDED b@${b.revision}`]);
      await reader.close();
    });

    test("watch() of a version in the future is one ERROR event 504", async () => {
      const now = Number((await pods.list({ namespace: "w7" })).resourceVersion);
      const reader = await watch({ namespace: "w7", resourceVersion: String(now + 1_000_000) });
      await reader.ended;
      assert.deepEqual(
        reader.events.map((e) => [e.type, JSON.parse(e.frame.toString()).object.code]),
        [["ERROR", 504]],
      );
    });

    test("watch() ends when its signal aborts", async () => {
      const stopping = new AbortController();
      const reader = new WatchReader(await pods.watch({ namespace: "w8", signal: stopping.signal }));
      stopping.abort();
      await reader.ended;
    });

    test("watch() shows every write of many writers in one order", async () => {
      const start = (await pods.list({ namespace: "w9" })).resourceVersion;
      const readers = await Promise.all([1, 2, 3].map(() => watch({ namespace: "w9", resourceVersion: start })));
      await Promise.all(
        Array.from({ length: 8 }, async (_, writer) => {
          for (let i = 0; i < 10; i++) await create(`p-${writer}-${i}`, "w9");
        }),
      );
      for (const reader of readers) await reader.waitFor(80);
      const revisions = readers[0]?.events.map((e) => e.object.revision) ?? [];
      assert.deepEqual(
        revisions,
        [...revisions].sort((a, b) => a - b),
      );
      for (const reader of readers) assert.deepEqual(reader.story, readers[0]?.story);
      await Promise.all(readers.map((reader) => reader.close()));
    });

    test("count() counts", async () => {
      assert.equal(await pods.count(), (await pods.list({})).items.length);
    });
  });
}
