import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { renderImageArchive } from "./image-archive.ts";
import { pauseImage } from "./pause-image.ts";
import { writeTar } from "./tar.ts";

/** Names and contents in a tar archive, read by the offsets of the ustar format. */
function readTar(tar: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; tar[at] !== 0; ) {
    const name = tar
      .subarray(at, at + 100)
      .toString()
      .replace(/\0.*$/s, "");
    const size = Number.parseInt(tar.subarray(at + 124, at + 135).toString(), 8);
    files.set(name, tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

test("renderImageArchive() names layer and configuration by their digests, so that runtimes accept them", () => {
  const files = readTar(renderImageArchive(pauseImage()));
  const [manifest] = JSON.parse(String(files.get("manifest.json"))) as [
    { Config: string; RepoTags: string[]; Layers: string[] },
  ];
  const config = files.get(manifest.Config);
  const layer = files.get(manifest.Layers[0] ?? "");
  assert.ok(config && layer);
  assert.equal(manifest.Config, `${sha256(config)}.json`);
  assert.deepEqual(JSON.parse(String(config)).rootfs.diff_ids, [`sha256:${sha256(layer)}`]);
  assert.deepEqual([...readTar(layer).keys()], ["pause"]);
});

test("renderImageArchive() gives the same bytes when asked again", () => {
  assert.deepEqual(renderImageArchive(pauseImage()), renderImageArchive(pauseImage()));
});

test("writeTar() writes headers whose checksum is right, and ends with two empty blocks", () => {
  const tar = writeTar([{ type: "file", path: "a/b", mode: 0o755, data: Buffer.from("hello") }]);
  const header = Buffer.from(tar.subarray(0, 512));
  const stated = Number.parseInt(header.subarray(148, 154).toString(), 8);
  header.fill(" ", 148, 156);
  assert.equal(
    header.reduce((sum, byte) => sum + byte, 0),
    stated,
  );
  assert.equal(tar.length % 512, 0);
  assert.ok(tar.subarray(-1024).every((byte) => byte === 0));
});

test("writeTar() refuses a path that the format has no room for", () => {
  assert.throws(() => writeTar([{ type: "directory", path: "x".repeat(101), mode: 0o755 }]), /path too long/);
});
