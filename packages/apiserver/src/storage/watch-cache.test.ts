import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { decodeContinue, encodeContinue, listVersionOf } from "./continue-token.ts";
import { EventQueue } from "./event-queue.ts";
import type { KeyValue, KeyValueEvent } from "./key-value.ts";
import { ObjectRecord } from "./record.ts";
import type { ObjectEvent } from "./types.ts";
import { WatchCache } from "./watch-cache.ts";

const PREFIX = "/registry/pods/";
const object = (name: string, pad = "") => Buffer.from(JSON.stringify({ metadata: { name, annotations: { pad } } }));
const put = (name: string, revision: number, isCreate = false, pad = ""): KeyValueEvent => ({
  type: "put",
  key: `${PREFIX}ns/${name}`,
  value: object(name, pad),
  revision,
  isCreate,
  previous: undefined,
});
const remove = (name: string, revision: number): KeyValueEvent => ({
  type: "delete",
  key: `${PREFIX}ns/${name}`,
  value: Buffer.alloc(0),
  revision,
  isCreate: false,
  previous: undefined,
});
const item = (name: string, modRevision: number): KeyValue => ({
  key: `${PREFIX}ns/${name}`,
  value: object(name),
  modRevision,
  createRevision: modRevision,
  leaseId: "0",
});

function cache() {
  const clock = new FakeClock();
  const made = new WatchCache(core.pods, { prefix: PREFIX, namespaced: true }, { clock, log: silentLogger() });
  return { clock, cache: made };
}

function watchFrom(
  made: WatchCache,
  fromRevision: number | undefined,
  rest: { allowBookmarks?: boolean; deadlineMs?: number } = {},
) {
  const watch = made.watch({
    selector: {},
    fromRevision,
    allowBookmarks: rest.allowBookmarks ?? false,
    endInitialEvents: false,
    deadlineMs: rest.deadlineMs,
    signal: new AbortController().signal,
  });
  assert.ok(watch.kind === "open", "too old");
  return watch.queue;
}

/** What is queued now. */
async function drained(queue: EventQueue): Promise<string[]> {
  queue.finish();
  const story: string[] = [];
  for await (const step of queue)
    for (const e of step) story.push(`${e.type} ${e.object.key.name}@${e.object.revision}`);
  return story;
}

describe("WatchCache", () => {
  test("keeps the events that come while it loads, and no older ones", () => {
    const { cache: made } = cache();
    made.beginLoad();
    made.apply(put("a", 4));
    made.apply(put("a", 7));
    made.apply(remove("b", 8));
    made.finishLoad([item("a", 5), item("b", 3)], 6);
    assert.deepEqual(
      made.select({}).map((r) => [r.key.name, r.revision]),
      [["a", 7]],
    );
    assert.equal(made.revision, 8);
  });

  test("takes an event in once", async () => {
    const { cache: made } = cache();
    made.finishLoad([], 1);
    const queue = watchFrom(made, 1);
    made.apply(put("a", 2, true));
    made.apply(put("a", 2, true));
    made.apply(remove("gone", 3));
    made.apply(put("a", 4));
    assert.deepEqual(await drained(queue), ["ADDED a@2", "MODIFIED a@4"]);
  });

  test("takes its own server's write for the event that tells of it, and shows it to nobody before", async () => {
    const { cache: made } = cache();
    made.finishLoad([item("a", 2)], 3);
    const key = `${PREFIX}ns/a`;
    const written = new ObjectRecord(made.format, { storeKey: key, revision: 5 }, object("a", "x"), "MODIFIED");
    made.wrote(written);
    assert.equal(made.get(key)?.revision, 2);
    assert.equal(made.newest(key), written);
    const queue = watchFrom(made, 3);
    made.apply(put("a", 4));
    assert.equal(made.newest(key), written);
    made.apply(put("a", 5, false, "x"));
    assert.equal(made.get(key), written);
    made.apply(put("a", 6));
    assert.equal(made.newest(key)?.revision, 6);
    assert.deepEqual(await drained(queue), ["MODIFIED a@4", "MODIFIED a@5", "MODIFIED a@6"]);
  });

  const others: readonly [string, KeyValueEvent][] = [
    ["other bytes under its revision", put("a", 5, false, "y")],
    ["a creation under its revision", put("a", 5, true, "x")],
    ["a later write", put("a", 6, false, "x")],
    ["a deletion", remove("a", 6)],
  ];
  for (const [what, event] of others) {
    test(`forgets its own server's write when the store tells of ${what}`, () => {
      const { cache: made } = cache();
      made.finishLoad([item("a", 2)], 3);
      const key = `${PREFIX}ns/a`;
      const written = new ObjectRecord(made.format, { storeKey: key, revision: 5 }, object("a", "x"), "MODIFIED");
      made.wrote(written);
      made.apply(event);
      assert.notEqual(made.newest(key), written);
      assert.equal(made.newest(key)?.revision, event.type === "delete" ? undefined : event.revision);
    });
  }

  test("does not remember a write that the store has told of, nor more than some", () => {
    const { cache: made } = cache();
    const record = (name: string, revision: number) =>
      new ObjectRecord(made.format, { storeKey: `${PREFIX}ns/${name}`, revision }, object(name), "ADDED");
    made.wrote(record("early", 2));
    made.finishLoad([], 3);
    assert.equal(made.newest(`${PREFIX}ns/early`), undefined);
    made.wrote(record("told", 3));
    assert.equal(made.newest(`${PREFIX}ns/told`), undefined);
    for (let i = 0; i <= 256; i++) made.wrote(record(`pod-${i}`, 10 + i));
    assert.equal(made.newest(`${PREFIX}ns/pod-255`)?.revision, 265);
    assert.equal(made.newest(`${PREFIX}ns/pod-256`), undefined);
    made.wrote(record("pod-0", 300));
    assert.equal(made.newest(`${PREFIX}ns/pod-0`)?.revision, 300);
    made.reset();
    assert.equal(made.newest(`${PREFIX}ns/pod-0`), undefined);
  });

  test("replays what its window holds and refuses what it does not", async () => {
    const { cache: made, clock } = cache();
    made.finishLoad([], 1);
    for (let i = 0; i < 150; i++) made.apply(put("a", 2 + i, i === 0));
    assert.deepEqual(await drained(watchFrom(made, 149)), ["MODIFIED a@150", "MODIFIED a@151"]);
    assert.equal((await drained(watchFrom(made, 1))).length, 150);
    await clock.advance(80_000);
    made.apply(put("a", 200));
    assert.equal((await drained(watchFrom(made, 100))).length, 52);
    const old = made.watch({
      selector: {},
      fromRevision: 10,
      allowBookmarks: false,
      endInitialEvents: false,
      deadlineMs: undefined,
      signal: new AbortController().signal,
    });
    assert.deepEqual(old, { kind: "tooOld", oldest: 52 });
  });

  test("sends bookmarks about every minute and shortly before the deadline", async () => {
    const { cache: made, clock } = cache();
    made.finishLoad([], 1);
    const steady = watchFrom(made, 1, { allowBookmarks: true });
    const short = watchFrom(made, 1, { allowBookmarks: true, deadlineMs: clock.now() + 10_000 });
    const silent = watchFrom(made, 1);
    for (let second = 0; second < 125; second++) {
      await clock.advance(1_000);
      made.advance(2 + second);
      made.sendBookmarks();
    }
    assert.deepEqual(await drained(steady), ["BOOKMARK @61", "BOOKMARK @121"]);
    assert.deepEqual(await drained(short), ["BOOKMARK @9"]);
    assert.deepEqual(await drained(silent), []);
  });

  test("ends its watches when it is reset", async () => {
    const { cache: made } = cache();
    made.finishLoad([], 1);
    const queue = watchFrom(made, 1);
    made.reset();
    assert.equal(queue.isOpen, false);
    assert.equal(made.isReady, false);
  });

  test("hides data that is no object and serves the rest", () => {
    const { cache: made } = cache();
    made.finishLoad([item("a", 2), { ...item("b", 3), value: Buffer.from("nonsense") }], 4);
    assert.deepEqual(
      made.select({}).map((r) => r.key.name),
      ["a"],
    );
  });
});

test("EventQueue drops a reader that falls behind, by count or bytes", () => {
  const event = (size: number): ObjectEvent => ({
    type: "ADDED",
    object: { key: { namespace: "", name: "a" }, revision: 1, bytes: Buffer.alloc(0) },
    frame: Buffer.alloc(size),
  });
  for (const size of [1, 1024 * 1024]) {
    let closed = 0;
    const queue = new EventQueue({ onClose: () => closed++ });
    let pushed = 0;
    while (queue.isOpen && pushed < 100_000) {
      queue.push(event(size));
      pushed++;
    }
    assert.equal(queue.overflowed, true);
    assert.equal(closed, 1);
    assert.ok(pushed * size < 17 * 1024 * 1024 + size);
    queue.push(event(1));
  }
});

describe("continue tokens", () => {
  test("decodeContinue() reads what encodeContinue() wrote, as upstream encodes it", () => {
    const token = encodeContinue("/registry/pods/", "/registry/pods/ns/a", 42);
    assert.deepEqual(JSON.parse(Buffer.from(token, "base64url").toString()), {
      v: "meta.k8s.io/v1",
      rv: 42,
      start: "ns/a\0",
    });
    assert.deepEqual(decodeContinue("/registry/pods/", token), { startKey: "/registry/pods/ns/a\0", revision: 42 });
  });
  for (const bad of [
    "",
    "x",
    { v: "v9", rv: 1, start: "a" },
    { v: "meta.k8s.io/v1", rv: 0, start: "a" },
    { v: "meta.k8s.io/v1", rv: 1 },
  ]) {
    test(`decodeContinue() refuses ${JSON.stringify(bad)}`, () => {
      const token = typeof bad === "string" ? bad : Buffer.from(JSON.stringify(bad)).toString("base64url");
      assert.throws(() => decodeContinue("/p/", token), { code: 400 });
    });
  }

  const token = encodeContinue("/p/", "/p/a", 9);
  const rows = [
    [{}, "consistent"],
    [{ resourceVersion: "" }, "consistent"],
    [{ resourceVersion: "0" }, "any"],
    [{ resourceVersion: "0", limit: 5 }, "any"],
    [{ resourceVersion: "5" }, "notOlderThan"],
    [{ resourceVersion: "5", limit: 5 }, "exact"],
    [{ resourceVersion: "5", limit: 5, resourceVersionMatch: "NotOlderThan" }, "notOlderThan"],
    [{ resourceVersion: "5", resourceVersionMatch: "Exact" }, "exact"],
    [{ continue: token, limit: 5 }, "continue"],
    [{ continue: token, limit: 5, resourceVersion: "0" }, "continue"],
  ] as const;
  for (const [options, want] of rows) {
    test(`listVersionOf() is ${want} for ${JSON.stringify(options)}`, () => {
      assert.equal(listVersionOf("/p/", options).kind, want);
    });
  }
  test("listVersionOf() refuses a version beside a token", () => {
    assert.throws(() => listVersionOf("/p/", { continue: token, resourceVersion: "5" }), {
      message: "specifying resource version is not allowed when using continue",
    });
  });
});
