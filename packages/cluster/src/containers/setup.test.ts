import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { giveTo, handOut } from "./setup.ts";

let folder = "";
let source = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-setup-"));
  source = join(folder, "host.conf");
  await writeFile(source, "kind: Config\n", { mode: 0o600 });
});
after(() => rm(folder, { recursive: true }));

test("handOut() writes the kubeconfig whole, and again over an older one", async () => {
  const target = join(folder, "host");
  await mkdir(target);
  await writeFile(join(target, "config"), "of an older cluster, and longer than the new one");
  assert.equal(await handOut(source, target), true);
  assert.equal(await readFile(join(target, "config"), "utf8"), "kind: Config\n");
  assert.equal((await stat(join(target, "config"))).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(target), ["config"]);
});

test("handOut() does nothing when no folder of the host is mounted", async () => {
  assert.equal(await handOut(source, join(folder, "absent")), false);
});

test("handOut() says what is in the way when the folder takes no file", async () => {
  const target = join(folder, "blocked");
  await mkdir(join(target, "config/in-the-way"), { recursive: true });
  await assert.rejects(
    handOut(source, target),
    /kubeconfig can't be written to the folder \.knarr .*config that is not a file/,
  );
  await assert.rejects(handOut(source, source), /kubeconfig can't be written to the folder \.knarr .*ENOTDIR/);
});

test("giveTo() hands over a folder with all that is in it", async () => {
  const owner = (await stat(folder)).uid;
  await mkdir(join(folder, "data/member/wal"), { recursive: true });
  await giveTo(owner, join(folder, "data"));
  assert.equal((await stat(join(folder, "data/member/wal"))).uid, owner);
});
