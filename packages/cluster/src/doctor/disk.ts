/** The data directory's disk: room, file system, how long a synced write takes. */
import { mkdir, open, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemClock } from "@knarr/daemon/clock.ts";
import { type Check, type Finding, failure, ok } from "./check.ts";
import { judgeInodes, judgeSpace, judgeSyncs } from "./limits.ts";

const SYNCS = 30;
/** About what etcd writes for one change. */
const SYNC_BYTES = 2300;
/** Source: include/uapi/linux/magic.h */
const OVERLAYFS_MAGIC = 0x794c7630;

/** The folder itself, or the nearest one above it that exists. */
async function existing(folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      await statfs(at);
      return at;
    } catch (error) {
      if (at === dirname(at)) throw error;
    }
  }
}

const room: Check = {
  subject: "disk",
  async run({ dataDir }) {
    const folder = await existing(dataDir);
    const { bavail, blocks, bsize, files, ffree, type } = await statfs(folder);
    const found: Finding[] = [judgeSpace(bavail * bsize, blocks * bsize, folder), judgeInodes(ffree, files, folder)];
    if (type === OVERLAYFS_MAGIC) {
      found.push(
        failure("file system", `${folder} lies on overlayfs`, {
          cause: "containerd's layers can't be stacked on another overlay: every pod fails to start",
          fix: "keep the data directory on a volume: docker run -v knarr:/var/lib/knarr, or --data-dir on a disk",
        }),
      );
    } else found.push(ok("file system", `type 0x${type.toString(16)}, not an overlay`));
    return found;
  },
};

const syncs: Check = {
  subject: "disk sync latency",
  async run({ dataDir, signal }) {
    const folder = await existing(dataDir);
    const scratch = join(folder, `.knarr-doctor-${process.pid}`);
    try {
      await mkdir(scratch);
    } catch (error) {
      const cause = "the cluster's data can't be written";
      const found = `${folder}: ${(error as Error).message}`;
      return [failure("disk", found, { cause, fix: "run as root, or choose a --data-dir that can be written" })];
    }
    try {
      return [judgeSyncs(await measure(join(scratch, "sync"), signal), folder)];
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  },
};

async function measure(file: string, signal: AbortSignal): Promise<number[]> {
  const handle = await open(file, "w");
  const times: number[] = [];
  try {
    const block = Buffer.alloc(SYNC_BYTES, 1);
    for (let i = 0; i < SYNCS; i++) {
      signal.throwIfAborted();
      const startedMs = systemClock.monotonicMs();
      await handle.write(block);
      await handle.datasync();
      times.push(systemClock.monotonicMs() - startedMs);
    }
    return times;
  } finally {
    await handle.close();
  }
}

export const diskChecks: readonly Check[] = [room, syncs];
