/** subPath against a volume whose owner changes it while it is being mounted: nothing outside is reached or changed. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { unmountBelow } from "../src/adapters/mounts.ts";
import { mountSubPath, SubPathError } from "../src/volumes/sub-path.ts";

/** Swaps volume/a between a folder, a link to the secret folder and nothing, as fast as it can. */
const ATTACK = `
const { renameSync, symlinkSync, mkdirSync, rmSync } = require("node:fs");
process.chdir(process.argv[1]);
process.stdout.write("go");
for (;;) {
  try { symlinkSync(process.argv[2], "l"); renameSync("l", "a"); } catch {}
  try { rmSync("l", { force: true }); rmSync("a", { recursive: true, force: true }); mkdirSync("a"); } catch {}
}`;

if (await isolatedTest(import.meta)) {
  let root = "";
  let [volume, outside, target] = ["", "", ""];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "knarr-subpath-"));
    [volume, outside, target] = [join(root, "volume"), join(root, "outside"), join(root, "target")];
    for (const path of [volume, outside]) await mkdir(path);
    await chmod(volume, 0o777);
    await chmod(outside, 0o700);
    await writeFile(join(outside, "secret"), "secret", { mode: 0o600 });
  });
  after(async () => {
    await unmountBelow(root);
    await rm(root, { recursive: true });
  });
  const intact = async () => {
    assert.deepEqual(await readdir(outside), ["secret"]);
    assert.equal((await stat(outside)).mode & 0o777, 0o700);
    assert.equal((await stat(join(outside, "secret"))).mode & 0o777, 0o600);
  };

  test("a link that leads out is refused, wherever it stands", async () => {
    await symlink(outside, join(volume, "link"));
    await symlink("../outside", join(volume, "relative"));
    await symlink(join(outside, "secret"), join(volume, "file"));
    await symlink(join(outside, "new"), join(volume, "nowhere"));
    for (const path of ["link", "link/secret", "relative/secret", "file", "nowhere", "nowhere/x", "link/new/folder"]) {
      await assert.rejects(mountSubPath(volume, path, join(root, "refused")), SubPathError, path);
    }
    await intact();
  });

  test("links inside of the volume are followed; missing folders are made like the volume", async () => {
    await mkdir(join(volume, "real"));
    await writeFile(join(volume, "real/f"), "inside");
    await symlink("real", join(volume, "inner"));
    await mountSubPath(volume, "inner/f", target);
    assert.equal(await readFile(target, "utf8"), "inside");
    await mountSubPath(volume, "made/of/these", join(root, "made"));
    assert.equal((await stat(join(volume, "made/of"))).mode & 0o777, 0o777);
  });

  test("a file that was replaced is mounted anew, one that was not stays", async () => {
    await mkdir(join(volume, "v"));
    await writeFile(join(volume, "v/f"), "1");
    const at = join(root, "version");
    await mountSubPath(volume, "v/f", at);
    await rm(join(volume, "v/f"));
    await writeFile(join(volume, "v/f"), "2");
    assert.equal(await readFile(at, "utf8"), "1");
    await mountSubPath(volume, "v/f", at);
    assert.equal(await readFile(at, "utf8"), "2");
  });

  test("no race of links and folders reaches out of the volume", async () => {
    const attacker = spawn(process.execPath, ["-e", ATTACK, volume, outside], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(attacker.stdout, "data");
      let [mounted, refused] = [0, 0];
      // A busy machine may not let the attacker run for long: until it was caught at least once.
      const deadline = Date.now() + 60_000;
      for (let attempt = 0; attempt < 150 || (refused === 0 && Date.now() < deadline); attempt++) {
        const at = join(root, `race-${attempt}`);
        const path = ["a", "a/b", "a/secret", "a/b/c"][attempt % 4] ?? "a";
        try {
          await mountSubPath(volume, path, at);
          mounted++;
          const seen = await stat(at);
          assert.notEqual(seen.ino, (await stat(outside)).ino);
          assert.ok(seen.isDirectory(), "the secret file was mounted");
          assert.equal((await readdir(at)).includes("secret") && path === "a", false);
        } catch (error) {
          if (!(error instanceof SubPathError)) throw error;
          refused++;
        }
        await unmountBelow(at);
      }
      assert.ok(refused > 0, `${mounted} mounted, ${refused} refused`);
    } finally {
      attacker.kill("SIGKILL");
      await once(attacker, "exit");
    }
    await intact();
  });
}
