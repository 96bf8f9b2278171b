import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import fc from "fast-check";
import { DEFAULT_RANGE, UNIT } from "../core/user-namespace.ts";
import { UserNamespaces } from "./user-namespaces.ts";

async function withRoot(body: (rootDir: string) => Promise<void>): Promise<void> {
  const rootDir = await mkdtemp(join(tmpdir(), "knarr-userns-"));
  try {
    await body(rootDir);
  } finally {
    await rm(rootDir, { recursive: true });
  }
}

const load = (rootDir: string, range = DEFAULT_RANGE) =>
  UserNamespaces.load({ rootDir, maxPods: 2, idsPerPod: UNIT, range });
const mapping = (n: number) => ({ hostId: n * UNIT, containerId: 0, length: UNIT });
const options = (n: number) => ({ mode: "POD", uids: [mapping(n)], gids: [mapping(n)] });

test("optionsFor() gives every pod ids of its own, the same at every call, also when asked at once", async () => {
  await withRoot(async (rootDir) => {
    const namespaces = await load(rootDir);
    const all = await Promise.all(["a", "b", "c"].map((uid) => namespaces.optionsFor(uid)));
    assert.deepEqual(all, [options(1), options(2), options(3)]);
    assert.deepEqual(await namespaces.optionsFor("b"), options(2));
    const saved = JSON.parse(await readFile(join(rootDir, "pods/b/userns"), "utf8"));
    assert.deepEqual(saved, { uidMappings: [mapping(2)], gidMappings: [mapping(2)] });
  });
});

test("load() goes on with what pods have, and release() gives it to the next", async () => {
  await withRoot(async (rootDir) => {
    const before = await load(rootDir);
    for (const uid of ["a", "b", "c"]) await before.optionsFor(uid);
    await mkdir(join(rootDir, "pods/with-the-nodes-users"));
    const after = await load(rootDir);
    assert.deepEqual(await after.optionsFor("c"), options(3));
    assert.deepEqual(await after.optionsFor("d"), options(4));
    for (let round = 0; round < 2; round++) await after.release("b");
    assert.deepEqual(await after.optionsFor("e"), options(2));
    assert.deepEqual(await (await load(rootDir)).optionsFor("e"), options(2));
  });
});

test("load() leaves a pod its ids when the pool was changed, and gives them to nobody else", async () => {
  await withRoot(async (rootDir) => {
    await (await load(rootDir)).optionsFor("a");
    const changed = await load(rootDir, { first: 1000 * UNIT, length: 2 * UNIT });
    assert.deepEqual(await changed.optionsFor("a"), options(1));
    assert.deepEqual(await changed.optionsFor("b"), options(1000));
  });
});

test("load() refuses a pool that is too small, and a file that does not tell what the pod has", async () => {
  await withRoot(async (rootDir) => {
    await assert.rejects(load(rootDir, { first: UNIT, length: UNIT }), /not enough to support 2 pods/);
    await mkdir(join(rootDir, "pods/a"), { recursive: true });
    await writeFile(join(rootDir, "pods/a/userns"), "{");
    await assert.rejects(load(rootDir), /record pod mappings for existing pod "a"/);
  });
});

test("optionsFor() fails when all ids are in use, and forgets those that it could not note", async () => {
  await withRoot(async (rootDir) => {
    const namespaces = await load(rootDir, { first: UNIT, length: 2 * UNIT });
    await mkdir(join(rootDir, "pods"));
    await writeFile(join(rootDir, "pods/a"), "in the folder's place");
    await assert.rejects(namespaces.optionsFor("a"), /ENOTDIR|EEXIST/);
    assert.deepEqual(await namespaces.optionsFor("b"), options(1));
    assert.deepEqual(await namespaces.optionsFor("c"), options(2));
    await assert.rejects(namespaces.optionsFor("d"), /could not find an empty slot/);
  });
});

test("no two pods ever have an id in common, and none loses its ids, whatever comes, goes and restarts", async () => {
  const uid = fc.constantFrom("a", "b", "c", "d", "e");
  const step = fc.oneof(
    fc.record({ kind: fc.constant("give" as const), uids: fc.array(uid, { minLength: 1, maxLength: 5 }) }),
    fc.record({ kind: fc.constant("free" as const), uids: fc.array(uid, { minLength: 1, maxLength: 2 }) }),
    fc.record({ kind: fc.constant("restart" as const), uids: fc.constant([]) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), (steps) =>
      withRoot(async (rootDir) => {
        const range = { first: UNIT, length: 4 * UNIT };
        let namespaces = await load(rootDir, range);
        const has = new Map<string, number>();
        for (const { kind, uids } of steps) {
          if (kind === "restart") namespaces = await load(rootDir, range);
          if (kind === "free") {
            await Promise.all(uids.map((pod) => namespaces.release(pod)));
            for (const pod of uids) has.delete(pod);
          }
          if (kind !== "give") continue;
          // At once, as workers ask.
          const answers = await Promise.allSettled(
            [...new Set(uids)].map(async (pod) => [pod, await idsOf(namespaces, pod)] as const),
          );
          for (const answer of answers) {
            if (answer.status === "rejected") continue;
            const [pod, first] = answer.value;
            assert.equal(has.get(pod) ?? first, first, `${pod} lost its ids`);
            has.set(pod, first);
          }
          assert.equal(answers.every((a) => a.status === "fulfilled") || has.size === 4, true, "there was room");
        }
        assert.equal(new Set(has.values()).size, has.size, "ids given twice");
      }),
    ),
    { seed: 65_536, numRuns: 12 },
  );
});

async function idsOf(namespaces: UserNamespaces, pod: string): Promise<number> {
  const { uids = [] } = await namespaces.optionsFor(pod);
  return uids[0]?.hostId ?? 0;
}
