/** hostPath volumes: a path of the node. Source: kubernetes.io/docs/concepts/storage/volumes#hostpath-volume-types */
import type { Stats } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import type { HostPathVolumeSource } from "@knarr/api/generated/types/core-v1.ts";
import type { PersistentKind } from "./persistent-kinds.ts";
import { VolumeError, type VolumeKind } from "./volume.ts";

const CHECKS: Readonly<Record<string, { readonly is: (s: Stats) => boolean; readonly what: string }>> = {
  Directory: { is: (s) => s.isDirectory(), what: "a directory" },
  DirectoryOrCreate: { is: (s) => s.isDirectory(), what: "a directory" },
  File: { is: (s) => s.isFile(), what: "a file" },
  FileOrCreate: { is: (s) => s.isFile(), what: "a file" },
  Socket: { is: (s) => s.isSocket(), what: "a socket file" },
  CharDevice: { is: (s) => s.isCharacterDevice(), what: "a character device" },
  BlockDevice: { is: (s) => s.isBlockDevice(), what: "a block device" },
};
const FOLDER = "kubernetes.io~host-path";

export const hostPathVolume: VolumeKind = {
  folder: FOLDER,
  ownsData: false,
  matches: (volume) => volume.hostPath !== undefined,
  async setUp(volume) {
    return { path: await checkPath(volume.hostPath), readOnly: false };
  },
};

export const hostPathPersistent: PersistentKind = {
  folder: FOLDER,
  takesMountOptions: false,
  matches: ({ spec }) => spec?.hostPath !== undefined,
  async setUp({ spec }, { readOnly }) {
    return { path: await checkPath(spec?.hostPath), readOnly };
  },
};

async function checkPath(source: HostPathVolumeSource | undefined): Promise<string> {
  const { path, type = "" } = source ?? { path: "" };
  if (path.split("/").includes("..")) throw new VolumeError(`invalid HostPath \`${path}\`: must not contain '..'`);
  if (type === "") return path;
  const check = CHECKS[type];
  if (check === undefined) throw new VolumeError(`unknown hostPath type ${JSON.stringify(type)}`);
  const before = await statOrUndefined(path);
  if (before === undefined && type === "DirectoryOrCreate") await mkdir(path, { recursive: true, mode: 0o755 });
  if (before === undefined && type === "FileOrCreate") await (await open(path, "a", 0o644)).close();
  const now = await statOrUndefined(path);
  if (now === undefined || !check.is(now)) {
    throw new VolumeError(`hostPath type check failed: ${path} is not ${check.what}`);
  }
  return path;
}

async function statOrUndefined(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Below a file there is nothing, either.
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
