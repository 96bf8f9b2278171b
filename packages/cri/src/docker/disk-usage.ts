/** Bytes and inodes below a folder, as `du` counts them. Follows no links and enters no other file system's mounts' targets. */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

export interface DiskUsage {
  readonly bytes: number;
  readonly inodes: number;
}

const BLOCK_BYTES = 512;

/** What vanishes while it is counted is not counted. A file with several names counts once. */
export async function diskUsage(directory: string): Promise<DiskUsage> {
  const seen = new Set<number>();
  let bytes = 0;
  const add = async (path: string): Promise<void> => {
    const info = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
      throw error;
    });
    if (info === undefined || seen.has(info.ino)) return;
    seen.add(info.ino);
    bytes += info.blocks * BLOCK_BYTES;
    if (!info.isDirectory()) return;
    const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    for (const name of names) await add(join(path, name));
  };
  await add(directory);
  return { bytes, inodes: seen.size };
}
