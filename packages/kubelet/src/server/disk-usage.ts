/**
 * How much folders hold, as `du -x` counts it: blocks and inodes, hard links once, never across a mount. Walks are
 * expensive: an answer is kept for a minute, and one folder is never walked twice at once.
 */
import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@knarr/daemon/clock.ts";

export interface DiskUsage {
  readonly usedBytes: number;
  readonly inodesUsed: number;
}

interface Kept extends DiskUsage {
  /** On the steady clock. */
  readonly atMs: number;
}

/** Source: KubeletConfiguration volumeStatsAggPeriod, 1m */
const KEEP_MS = 60_000;
const BLOCK_BYTES = 512;

export class DiskUsages {
  readonly #clock: Clock;
  readonly #known = new Map<string, Promise<Kept>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined when the folder is not there. */
  async of(folder: string): Promise<DiskUsage | undefined> {
    this.#forgetOld();
    const before = await this.#known.get(folder)?.catch(() => undefined);
    if (before !== undefined && this.#clock.monotonicMs() - before.atMs < KEEP_MS) return before;
    const walk = measureFolder(folder).then((usage) => ({ ...usage, atMs: this.#clock.monotonicMs() }));
    this.#known.set(folder, walk);
    try {
      return await walk;
    } catch (error) {
      this.#known.delete(folder);
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  #forgetOld(): void {
    // Bounded by the folders of a minute: pods that are gone are not asked for again.
    if (this.#known.size > 10_000) this.#known.clear();
  }
}

async function measureFolder(folder: string): Promise<DiskUsage> {
  const root = await lstat(folder);
  const linked = new Set<string>();
  let usedBytes = root.blocks * BLOCK_BYTES;
  let inodesUsed = 1;
  const pending = root.isDirectory() ? [folder] : [];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const name of await namesIn(next)) {
      const path = join(next, name);
      // What went away meanwhile is not there.
      const found = await lstat(path).catch(() => undefined);
      if (found === undefined || found.dev !== root.dev) continue;
      if (found.nlink > 1 && !found.isDirectory()) {
        const id = `${found.dev}:${found.ino}`;
        if (linked.has(id)) continue;
        linked.add(id);
      }
      usedBytes += found.blocks * BLOCK_BYTES;
      inodesUsed++;
      if (found.isDirectory()) pending.push(path);
    }
  }
  return { usedBytes, inodesUsed };
}

async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of await opendir(folder)) names.push(entry.name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Went away, or is not ours to read: it counts for nothing.
    if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "EACCES") throw error;
  }
  return names;
}
