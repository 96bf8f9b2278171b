/** What a folder takes of its filesystem: blocks that are really used, every inode once. */
import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";

export interface DiskUsage {
  readonly bytes: number;
  readonly inodes: number;
}

const BLOCK_BYTES = 512;

function isGone(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
}

/** Stays on the filesystem of the folder; follows no link. What vanishes meanwhile does not count. */
export async function diskUsage(directory: string, signal?: AbortSignal): Promise<DiskUsage> {
  const seen = new Set<number>();
  let bytes = 0;
  let device: number | undefined;
  const folders = [directory];
  const add = async (path: string): Promise<boolean> => {
    try {
      const info = await lstat(path);
      device ??= info.dev;
      if (info.dev !== device) return false;
      if (!seen.has(info.ino)) bytes += info.blocks * BLOCK_BYTES;
      seen.add(info.ino);
      return info.isDirectory();
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  };
  await add(directory);
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal?.throwIfAborted();
    try {
      for await (const entry of await opendir(folder)) {
        const path = join(folder, entry.name);
        if (await add(path)) folders.push(path);
      }
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  return { bytes, inodes: seen.size };
}
