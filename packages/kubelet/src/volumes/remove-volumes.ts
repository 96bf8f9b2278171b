/**
 * Takes a pod's volumes off the node. Data that is not the pod's own - of claims, servers, the node - is behind mounts
 * and must outlive it: nothing is removed while anything is mounted below, and of such volumes only empty folders go.
 */
import type { Dirent } from "node:fs";
import { lstat, readdir, rm, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { mountsBelow, unmountBelow } from "../adapters/mounts.ts";
import { VOLUME_KINDS } from "./index.ts";
import { podDirectory } from "./pod-volumes.ts";

const OWN_DATA: ReadonlySet<string> = new Set(VOLUME_KINDS.filter((k) => k.ownsData).map((k) => k.folder));

async function entriesOf(directory: string): Promise<Dirent[]> {
  return await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}

/** Unmounts everything of a pod and removes its volumes. Idempotent; throws when something is left. */
export async function removeVolumes(root: string, uid: string): Promise<void> {
  const directory = podDirectory(root, uid);
  await unmountBelow(directory);
  await checkUnmounted(directory);
  // Sub-paths were mount points, of a container each: <volume>/<container>/<index>
  await removeEmpty(join(directory, "volume-subpaths"), 3);
  const volumes = join(directory, "volumes");
  for (const { name } of await entriesOf(volumes)) {
    const folder = join(volumes, name);
    if (OWN_DATA.has(name)) await rm(folder, { recursive: true, force: true });
    else await removeEmpty(folder, 1);
  }
  await removeEmpty(volumes, 0);
}

/** Unmounts and removes everything of a pod's folder. Never descends into what is still mounted. Idempotent. */
export async function removePodDirectory(root: string, uid: string): Promise<void> {
  await removeVolumes(root, uid);
  const directory = podDirectory(root, uid);
  await checkUnmounted(directory);
  await rm(directory, { recursive: true, force: true });
}

async function checkUnmounted(directory: string): Promise<void> {
  const left = await mountsBelow(directory);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
}

/** Removes a folder and what is in it down to `depth`, if that is empty: rmdir(2) and the size of files are the judges. */
async function removeEmpty(directory: string, depth: number): Promise<void> {
  if (depth > 0) {
    for (const entry of await entriesOf(directory)) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) await removeEmpty(path, depth - 1);
      else await unlinkEmpty(path);
    }
  }
  await rmdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
}

async function unlinkEmpty(path: string): Promise<void> {
  const { size } = await lstat(path);
  if (size > 0) throw new Error(`${path} holds data where a volume was mounted: it is left alone`);
  await unlink(path);
}

/** UIDs that have a folder. */
export async function podDirectories(root: string): Promise<string[]> {
  return (await entriesOf(join(root, "pods"))).map((entry) => entry.name);
}
