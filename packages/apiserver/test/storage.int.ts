/** The storage contract against a real etcd, through the store alone and through the watch cache; and what differs between them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { StatusError } from "@knarr/apimachinery/status-error.ts";
import { compactOnce, INITIAL_COMPACTION } from "../src/storage/compactor.ts";
import { listBody } from "../src/storage/list-body.ts";
import { storageContract } from "./storage-contract.ts";
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

storageContract("Store", false);
storageContract("CachedResource", true);

describe("Storage", () => {
  let bench: Bench;
  before(async () => {
    bench = await startBench();
  });
  after(() => bench.stop());

  test("list() answers 410 with a usable token when the version of a page has been compacted", async () => {
    const pods = podStorage(bench, true);
    await untilReady(bench);
    for (let i = 0; i < 5; i++) await pods.create(pod(`p${i}`, "gone"), podBytes(pod(`p${i}`, "gone")));
    const first = await pods.list({ namespace: "gone", limit: 2 });
    const made = await pods.create(pod("p3x", "gone"), podBytes(pod("p3x", "gone")));
    await bench.kv.compact(made.revision);
    const error = await pods.list({ namespace: "gone", limit: 2, continue: first.continueToken ?? "" }).then(
      () => assert.fail("the page is gone"),
      (thrown: StatusError) => thrown,
    );
    assert.equal(error.code, 410);
    assert.equal(error.reason, "Expired");
    const rest = await pods.list({ namespace: "gone", limit: 9, continue: error.status.metadata?.continue ?? "" });
    assert.deepEqual(
      rest.items.map((o) => o.key.name),
      ["p2", "p3", "p3x", "p4"],
    );
    assert.ok(Number(rest.resourceVersion) >= made.revision);
    await assert.rejects(pods.list({ resourceVersion: first.resourceVersion, resourceVersionMatch: "Exact" }), {
      code: 410,
      message: "The resourceVersion for the provided list is too old.",
    });
  });

  test("compactOnce() compacts to the revision of the round before, and lets the faster server win", async () => {
    const one = await compactOnce(bench.kv, INITIAL_COMPACTION);
    const two = await compactOnce(bench.kv, INITIAL_COMPACTION);
    assert.equal(two.keyRevision, one.keyRevision);
    const past = one.seenRevision;
    await bench.kv.create("/x/1", Buffer.from("{}"));
    const next = await compactOnce(bench.kv, one);
    assert.ok(next.keyRevision > one.keyRevision);
    const follower = await compactOnce(bench.kv, two);
    assert.equal(follower.keyRevision, next.keyRevision);
    await assert.rejects(bench.kv.get("/x/1", { revision: past - 1 }), { code: "compacted" });
    await bench.kv.get("/x/1", { revision: past });
  });

  test("create() with a time to live lets the object vanish, with a DELETED event", async () => {
    const events = bench.storage.resource({ ref: core.events, cached: false });
    const key = pod("e", "ttl");
    const reader = new WatchReader(await events.watch({ namespace: "ttl", signal: AbortSignal.timeout(60_000) }));
    await events.create(key, podBytes(key), { ttlSeconds: 1 });
    await reader.waitFor(2);
    assert.deepEqual(
      reader.events.map((e) => e.type),
      ["ADDED", "DELETED"],
    );
    await reader.close();
  });

  test("resource() added while running is loaded and loses nothing", async () => {
    const maps = bench.storage.resource({ ref: core.configmaps });
    const writer = bench.storage.resource({ ref: core.configmaps });
    const made = await writer.create(pod("m", "late"), podBytes(pod("m", "late")));
    await untilReady(bench);
    const page = await maps.list({});
    assert.deepEqual(
      page.items.map((o) => o.revision),
      [made.revision],
    );
  });

  test("view() follows the cache with parsed, frozen objects", async () => {
    const nodes = bench.storage.resource({ ref: core.nodes });
    await untilReady(bench);
    const view = bench.storage.view(core.nodes);
    const story: string[] = [];
    const stop = view.subscribe({
      set: (o, before) => story.push(`${before === undefined ? "new" : "changed"} ${o.metadata.name}`),
      deleted: (o) => story.push(`deleted ${o.metadata.name}`),
      reset: () => story.push("reset"),
    });
    const key = { namespace: "", name: "n1" };
    await nodes.create(key, podBytes(key));
    await nodes.update(key, () => ({ kind: "write", bytes: podBytes(key, { labels: { a: "1" } }) }));
    await nodes.get(key);
    assert.deepEqual(view.get(key)?.metadata.labels, { a: "1" });
    assert.ok(Object.isFrozen(view.get(key)?.metadata));
    await nodes.delete(key);
    await until("the view saw the deletion", () => story.length === 4);
    assert.deepEqual(story, ["reset", "new n1", "changed n1", "deleted n1"]);
    stop();
  });

  test("listBody() joins a page into JSON", async () => {
    const pods = podStorage(bench, true);
    for (let i = 0; i < 3; i++)
      await pods.create(pod(`p${i}`, "body"), podBytes(pod(`p${i}`, "body"), { spec: { pad: "x".repeat(40_000) } }));
    const page = await pods.list({ namespace: "body", limit: 2 });
    const body = JSON.parse(Buffer.concat([...listBody(page, { kind: "Pod", apiVersion: "v1" })]).toString());
    assert.equal(body.kind, "PodList");
    assert.equal(body.metadata.remainingItemCount, 1);
    assert.deepEqual(body.items, page.items.map(parsed));
  });
});
