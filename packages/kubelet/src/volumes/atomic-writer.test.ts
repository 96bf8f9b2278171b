import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { checkPayloadPath, type Payload, writeAtomically } from "./atomic-writer.ts";

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "knarr-writer-"));
});
after(async () => {
  await rm(directory, { recursive: true });
});

const payload = (files: Record<string, string>, mode = 0o644): Payload =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));

test("writeAtomically() shows files through ..data and keeps it while nothing changes", async () => {
  assert.equal(await writeAtomically(directory, payload({ a: "1", "sub/b": "2" })), true);
  const first = await readlink(join(directory, "..data"));
  assert.equal(await readFile(join(directory, "sub/b"), "utf8"), "2");
  assert.equal(await writeAtomically(directory, payload({ a: "1", "sub/b": "2" })), false);
  assert.equal(await readlink(join(directory, "..data")), first);
});

test("writeAtomically() swaps all files at once, removes what went, and leaves one data folder", async () => {
  assert.equal(await writeAtomically(directory, payload({ a: "new", c: "3" })), true);
  assert.deepEqual((await readdir(directory)).filter((n) => !n.startsWith("..2")).toSorted(), ["..data", "a", "c"]);
  assert.equal((await readdir(directory)).filter((n) => n.startsWith("..2")).length, 1);
  assert.equal(await readFile(join(directory, "a"), "utf8"), "new");
});

test("writeAtomically() changes a mode, whatever the umask", async () => {
  await writeAtomically(directory, payload({ a: "new", c: "3" }, 0o666));
  assert.equal((await stat(join(directory, "a"))).mode & 0o777, 0o666);
});

for (const path of ["", "/a", "../a", "a/../b", "..a", "..data"]) {
  test(`checkPayloadPath() refuses ${JSON.stringify(path)}`, () =>
    assert.throws(() => checkPayloadPath(path), /invalid path/));
}
