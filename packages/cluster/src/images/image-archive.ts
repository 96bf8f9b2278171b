/**
 * Writes a container image as an archive that `ctr images import` and `docker load` read: one layer, a configuration
 * and a manifest. Needs no container tool.
 * Source: Docker image specification v1.2, "combined image JSON and filesystem changeset format"
 */
import { createHash } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TarEntry, writeTar } from "./tar.ts";

export interface ImageSpec {
  /** With its tag: "knarr.local/web:1". */
  readonly name: string;
  readonly files: readonly TarEntry[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** "" is root; "1000", "1000:1000" or a name in its /etc/passwd. */
  readonly user?: string;
  readonly workingDir?: string;
}

/** Go's names of the architectures. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

function sha256(data: Buffer | string): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The archive's bytes: the same spec gives the same bytes, and so the same image id. */
export function renderImageArchive(spec: ImageSpec): Buffer {
  const layer = writeTar(spec.files);
  const config = JSON.stringify({
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: {
      Entrypoint: spec.entrypoint ?? null,
      Cmd: spec.command ?? null,
      Env: Object.entries({ PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...spec.env }).map(([k, v]) => `${k}=${v}`),
      User: spec.user ?? "",
      WorkingDir: spec.workingDir ?? "/",
    },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: "1970-01-01T00:00:00Z" }],
  });
  const configName = `${sha256(config)}.json`;
  const layerName = `${sha256(layer)}/layer.tar`;
  const manifest = JSON.stringify([{ Config: configName, RepoTags: [spec.name], Layers: [layerName] }]);
  return writeTar([
    { type: "file", path: configName, mode: 0o644, data: Buffer.from(config) },
    { type: "directory", path: `${sha256(layer)}/`, mode: 0o755 },
    { type: "file", path: layerName, mode: 0o644, data: layer },
    { type: "file", path: "manifest.json", mode: 0o644, data: Buffer.from(manifest) },
  ]);
}

/** Writes the archive into `directory` (made if missing), named after the image, and returns its path. */
export async function buildImageArchive(spec: ImageSpec, directory: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, `${spec.name.replaceAll(/[/:]/g, "_")}.tar`);
  await writeFile(`${path}.partial`, renderImageArchive(spec));
  await rename(`${path}.partial`, path);
  return path;
}
