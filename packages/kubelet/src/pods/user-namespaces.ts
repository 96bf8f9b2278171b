/**
 * Hands out the ids of pods with `hostUsers: false`, each noted in the file "userns" of the pod's folder before anybody
 * is told of it, so that a kubelet that starts anew knows them all. The rules are those of core/user-namespace.ts.
 * Source: KEP-127, pkg/kubelet/userns/userns_manager.go
 */
import { execFile } from "node:child_process";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { IdMapping, NamespaceOption } from "@knarr/cri/types.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import {
  DEFAULT_RANGE,
  type IdPool,
  type IdRange,
  nextRange,
  parseMappings,
  parseSubordinateIds,
  poolComplaint,
  renderMappings,
} from "../core/user-namespace.ts";
import { podDirectory } from "../volumes/pod-volumes.ts";
import { podDirectories } from "../volumes/remove-volumes.ts";

const FILE = "userns";
/** The user whose subordinate ids pods get, where it has any. */
const KUBELET_USER = "kubelet";
const run = promisify(execFile);

export interface UserNamespacesOptions {
  readonly rootDir: string;
  readonly maxPods: number;
  readonly idsPerPod: number;
  /** The ids that pods may get. */
  readonly range: IdRange;
}

export class UserNamespaces {
  readonly #rootDir: string;
  readonly #pool: IdPool;
  readonly #used: Map<string, IdRange>;

  private constructor(rootDir: string, pool: IdPool, used: Map<string, IdRange>) {
    this.#rootDir = rootDir;
    this.#pool = pool;
    this.#used = used;
  }

  /**
   * Takes over what the pods on disk have. Throws when the pool can't serve the pods, and when a pod's file is not
   * readable: a range that is in use could be given a second time.
   * Differs from upstream: a range outside the pool stays its pod's until that ends, because a kubelet that won't start
   * after its pool was changed leaves the whole node without one.
   */
  static async load({ rootDir, maxPods, idsPerPod, range }: UserNamespacesOptions): Promise<UserNamespaces> {
    const pool = { ...range, idsPerPod };
    const complaint = poolComplaint(pool, maxPods);
    if (complaint !== undefined) throw new Error(complaint);
    const used = new Map<string, IdRange>();
    for (const uid of await podDirectories(rootDir)) {
      const text = await readIfThere(join(podDirectory(rootDir, uid), FILE));
      if (text === undefined) continue;
      try {
        used.set(uid, parseMappings(text));
      } catch (error) {
        throw new Error(`record pod mappings for existing pod "${uid}"`, { cause: error });
      }
    }
    return new UserNamespaces(rootDir, pool, used);
  }

  /** What the pod's sandbox and containers are to be made with; the same at every call until `release`. */
  async optionsFor(uid: string): Promise<NonNullable<NamespaceOption["usernsOptions"]>> {
    const { first, length } = this.#used.get(uid) ?? (await this.#allocate(uid));
    const mapping: IdMapping = { hostId: first, containerId: 0, length };
    return { mode: "POD", uids: [mapping], gids: [mapping] };
  }

  async #allocate(uid: string): Promise<IdRange> {
    const range = nextRange(this.#pool, [...this.#used.values()]);
    if (range === undefined) {
      throw new Error("create user namespace: could not find an empty slot to allocate a user namespace");
    }
    // Noted before the first await: nobody else is given it meanwhile.
    this.#used.set(uid, range);
    try {
      await writeDurably(podDirectory(this.#rootDir, uid), renderMappings(range));
    } catch (error) {
      this.#used.delete(uid);
      throw error;
    }
    return range;
  }

  /** Nothing of the pod runs any more: others may have its ids. Idempotent. */
  async release(uid: string): Promise<void> {
    if (!this.#used.has(uid)) return;
    // The file goes first, or a restart in between would find two pods with the same ids.
    await rm(join(podDirectory(this.#rootDir, uid), FILE), { force: true });
    this.#used.delete(uid);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
}

/** Whole or not at all, and on the disk before this returns. */
async function writeDurably(directory: string, text: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o750 });
  const path = join(directory, FILE);
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const folder = await open(directory);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The subordinate ids of the user "kubelet" where there are any, else all but the node's own. */
export async function idsForPods(log: Logger): Promise<IdRange> {
  const users = await readFile("/etc/passwd", "utf8").catch(() => "");
  if (!users.split("\n").some((line) => line.startsWith(`${KUBELET_USER}:`))) return DEFAULT_RANGE;
  try {
    const { stdout: uids } = await run("getsubids", [KUBELET_USER]);
    const { stdout: gids } = await run("getsubids", ["-g", KUBELET_USER]);
    if (uids !== gids) throw new Error(`mismatched subuids and subgids for user ${JSON.stringify(KUBELET_USER)}`);
    return parseSubordinateIds(uids);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    log.info({}, "getsubids is not installed: pods' user ids are taken from the default range");
    return DEFAULT_RANGE;
  }
}
