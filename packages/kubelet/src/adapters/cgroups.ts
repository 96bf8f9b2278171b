/**
 * The kubelet's part of the cgroup tree, v1 and v2, written as files; with the driver systemd its
 * slices are made first (names: core/cgroup-names.ts):
 *
 *   <root>/kubepods/podUID             guaranteed pods
 *   <root>/kubepods/burstable/podUID   and besteffort/podUID
 *
 * The runtime makes the containers' groups below. Owns nothing outside <root>/kubepods.
 */
import { access, mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { type CgroupDriver, CgroupNames } from "../core/cgroup-names.ts";
import { CPU_PERIOD_US, cpuWeight, hugePageLimits, podCgroupLimits, qosClass } from "../core/qos.ts";
import { readKernelFile } from "./kernel-file.ts";
import { SystemdSlices } from "./systemd-slices.ts";

const MOUNT = "/sys/fs/cgroup";
/** What the kubelet itself sets limits with; the runtime uses more. */
const CONTROLLERS = ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];

export interface CgroupLimits {
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number | undefined;
  readonly memoryLimitBytes?: number | undefined;
  readonly pidsMax?: number | undefined;
  /** Bytes by page size: {"2MB": 0}. */
  readonly hugePages?: Readonly<Record<string, number>> | undefined;
}

export interface CgroupOptions {
  readonly driver: CgroupDriver;
  /** "/knarr/node-1" */
  readonly root: string;
  readonly podPidsLimit: number | undefined;
  /** Resources of the page sizes that the machine has: ["hugepages-2Mi"]. */
  readonly hugePageSizes: readonly string[];
}

export interface CgroupMemory {
  /** undefined: no limit. */
  readonly limitBytes: number | undefined;
  /** What is in use and can't be dropped at once. */
  readonly workingSetBytes: number;
}

/** v1 says "no limit" with the largest multiple of a page. */
const UNLIMITED_BYTES = 2 ** 60;

function code(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

export async function cgroupVersion(): Promise<1 | 2> {
  return await access(join(MOUNT, "cgroup.controllers")).then(
    () => 2 as const,
    () => 1 as const,
  );
}

export class Cgroups {
  readonly version: 1 | 2;
  readonly #names: CgroupNames;
  /** undefined: the folders are all there is. */
  readonly #slices: SystemdSlices | undefined;
  readonly #podPidsLimit: number | undefined;
  readonly #hugePageSizes: readonly string[];
  #hierarchies: readonly string[] | undefined;

  constructor(version: 1 | 2, { driver, root, podPidsLimit, hugePageSizes }: CgroupOptions) {
    this.version = version;
    this.#names = new CgroupNames(driver, root);
    this.#slices = driver === "systemd" ? new SystemdSlices(version) : undefined;
    this.#podPidsLimit = podPidsLimit;
    this.#hugePageSizes = hugePageSizes;
  }

  /** "/knarr/node-1/kubepods" */
  get base(): string {
    return this.#names.base;
  }

  /** The groups that all pods are below: all, and those of each class. */
  get commonPaths(): readonly string[] {
    return [this.#names.base, this.#names.qos("Burstable"), this.#names.qos("BestEffort")];
  }

  podPath(pod: Pod): string {
    return this.#names.pod(qosClass(pod), pod.metadata.uid ?? "");
  }

  /** The pod's cgroup parent, as the runtime wants it. */
  parentOf(pod: Pod): string {
    return this.#names.parentOf(this.podPath(pod));
  }

  /** Makes the groups that all pods are below, with what the node gives them together. */
  async prepare(limits: CgroupLimits): Promise<void> {
    await this.#ensure(this.base, limits);
    for (const qos of ["Burstable", "BestEffort"] as const) await this.#ensure(this.#names.qos(qos), { cpuShares: 2 });
  }

  /** Makes a pod's group with its limits; idempotent. */
  async ensurePod(pod: Pod): Promise<void> {
    await this.#ensure(this.podPath(pod), {
      ...podCgroupLimits(pod),
      pidsMax: this.#podPidsLimit,
      hugePages: hugePageLimits(pod, this.#hugePageSizes),
    });
  }

  /** Burstable pods share by what they asked for together. `millis`: the sum of their requests. */
  async setBurstableShares(millis: number): Promise<void> {
    const path = this.#names.qos("Burstable");
    const limits = { cpuShares: Math.max(2, Math.floor((millis * 1024) / 1000)) };
    await this.#slices?.set(this.#names.parentOf(path), limits);
    await this.#write(path, limits);
  }

  /**
   * Limits a group that others made and that daemons of the system run in. Throws an Error when there is no such group:
   * a reservation that nothing enforces is none.
   */
  async limitExisting(path: string, limits: CgroupLimits): Promise<void> {
    const needed = this.version === 2 ? [MOUNT] : [await this.#rootOf("cpu"), await this.#rootOf("memory")];
    for (const root of needed) {
      if (root === undefined) continue;
      await access(join(root, path)).catch(() => {
        throw new Error(`${JSON.stringify(path)} cgroup does not exist`);
      });
    }
    await this.#write(path, limits);
  }

  /** The UIDs that have a group. */
  async podUids(): Promise<Map<string, string>> {
    const result = new Map<string, string>();
    for (const hierarchy of await this.#roots()) {
      for (const folder of this.commonPaths) {
        const names = await readdir(join(hierarchy, folder)).catch(() => [] as string[]);
        for (const name of names) {
          const uid = this.#names.uidOf(name);
          if (uid !== undefined) result.set(uid, join(folder, name));
        }
      }
    }
    return result;
  }

  /** Removes a group and what is below it from every hierarchy, killing what still runs there. Idempotent. */
  async remove(path: string): Promise<void> {
    await this.#slices?.stop(this.#names.parentOf(path));
    for (const root of await this.#roots()) await removeTree(join(root, path));
  }

  async removePod(pod: Pod): Promise<void> {
    await this.remove(this.podPath(pod));
  }

  /** The limit and working set of a group; undefined where there is no such group or no memory controller. */
  async memoryOf(path: string): Promise<CgroupMemory | undefined> {
    const root = this.version === 2 ? MOUNT : await this.#rootOf("memory");
    if (root === undefined) return undefined;
    const [limitFile, usageFile, inactive] =
      this.version === 2
        ? ["memory.max", "memory.current", "inactive_file"]
        : ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
    const read = (file: string) => readKernelFile(join(root, path, file)).trim();
    try {
      const limit = read(limitFile);
      const usage = Number(read(usageFile));
      const cache = Number(new RegExp(`^${inactive} (\\d+)$`, "m").exec(read("memory.stat"))?.[1] ?? 0);
      const limitBytes = limit === "max" || Number(limit) >= UNLIMITED_BYTES ? undefined : Number(limit);
      return { limitBytes, workingSetBytes: Math.max(0, usage - cache) };
    } catch (error) {
      if (code(error) === "ENOENT" || code(error) === "ENODEV") return undefined;
      throw error;
    }
  }

  /** How many tasks run in a group and below; undefined where nobody counts. */
  async pidsOf(path: string): Promise<number | undefined> {
    const root = this.version === 2 ? MOUNT : await this.#rootOf("pids");
    if (root === undefined) return undefined;
    const text = await readFile(join(root, path, "pids.current"), "utf8").catch((error: unknown) => {
      if (code(error) === "ENOENT" || code(error) === "ENODEV") return undefined;
      throw error;
    });
    return text === undefined ? undefined : Number(text);
  }

  async #roots(): Promise<readonly string[]> {
    if (this.version === 2) return [MOUNT];
    this.#hierarchies ??= (await readdir(MOUNT, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(MOUNT, entry.name));
    return this.#hierarchies;
  }

  async #ensure(path: string, limits: CgroupLimits): Promise<void> {
    await this.#slices?.ensure(this.#names.parentOf(path), limits);
    if (this.version === 2) await this.#ensureUnified(path);
    else {
      for (const root of await this.#roots()) {
        await mkdir(join(root, path), { recursive: true });
        if (root.split("/").at(-1)?.split(",").includes("cpuset") === true) await fillCpuset(root, path);
      }
    }
    await this.#write(path, limits);
  }

  /** v2: a group's children can use a controller only when every group above passes it down. */
  async #ensureUnified(path: string): Promise<void> {
    await mkdir(join(MOUNT, path), { recursive: true });
    const available = (await readFile(join(MOUNT, "cgroup.controllers"), "utf8")).trim().split(" ");
    const wanted = CONTROLLERS.filter((c) => available.includes(c));
    let parent = MOUNT;
    for (const part of path.split("/").filter((p) => p !== "")) {
      for (const controller of wanted)
        await tolerate(writeFile(join(parent, "cgroup.subtree_control"), `+${controller}`));
      parent = join(parent, part);
    }
    for (const controller of wanted)
      await tolerate(writeFile(join(parent, "cgroup.subtree_control"), `+${controller}`));
  }

  async #write(path: string, limits: CgroupLimits): Promise<void> {
    const quota = limits.cpuQuotaUs;
    const { cpuShares, memoryLimitBytes, pidsMax } = limits;
    const files: [controller: string, file: string, value: string][] = [];
    if (this.version === 2) {
      if (cpuShares !== undefined) files.push(["", "cpu.weight", String(cpuWeight(cpuShares))]);
      if (quota !== undefined) files.push(["", "cpu.max", `${quota} ${CPU_PERIOD_US}`]);
      if (memoryLimitBytes !== undefined) files.push(["", "memory.max", String(memoryLimitBytes)]);
      if (pidsMax !== undefined) files.push(["", "pids.max", String(pidsMax)]);
      for (const [size, bytes] of Object.entries(limits.hugePages ?? {}))
        files.push(["", `hugetlb.${size}.max`, String(bytes)]);
    } else {
      if (cpuShares !== undefined) files.push(["cpu", "cpu.shares", String(cpuShares)]);
      if (quota !== undefined) files.push(["cpu", "cpu.cfs_quota_us", String(quota)]);
      if (memoryLimitBytes !== undefined) files.push(["memory", "memory.limit_in_bytes", String(memoryLimitBytes)]);
      if (pidsMax !== undefined) files.push(["pids", "pids.max", String(pidsMax)]);
      for (const [size, bytes] of Object.entries(limits.hugePages ?? {}))
        files.push(["hugetlb", `hugetlb.${size}.limit_in_bytes`, String(bytes)]);
    }
    for (const [controller, file, value] of files) {
      const root = this.version === 2 ? MOUNT : await this.#rootOf(controller);
      if (root !== undefined) await tolerate(writeFile(join(root, path, file), value));
    }
  }

  async #rootOf(controller: string): Promise<string | undefined> {
    return (await this.#roots()).find((root) => root.split("/").at(-1)?.split(",").includes(controller));
  }
}

/** A controller that the machine lacks, or a limit that it refuses, must not keep pods from running. */
async function tolerate(write: Promise<void>): Promise<void> {
  try {
    await write;
  } catch (error) {
    const known = ["ENOENT", "EINVAL", "EBUSY", "EOPNOTSUPP", "EPERM", "EACCES"];
    if (!known.includes(code(error) ?? "")) throw error;
  }
}

/** v1: a new cpuset group is empty, and nothing can run in it, until it is told its CPUs and memory nodes. */
async function fillCpuset(root: string, path: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    let parent = root;
    for (const part of path.split("/").filter((p) => p !== "")) {
      const own = join(parent, part, file);
      if ((await readFile(own, "utf8")).trim() === "") await writeFile(own, await readFile(join(parent, file), "utf8"));
      parent = join(parent, part);
    }
  }
}

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) return; // Not in this hierarchy.
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  for (let attempt = 0; ; attempt++) {
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      if (code(error) === "ENOENT") return;
      if (code(error) !== "EBUSY" || attempt === 20) throw error;
      await killProcesses(directory);
      await new Promise((resolve) => setTimeout(resolve, 10 * (attempt + 1)));
    }
  }
}

async function killProcesses(directory: string): Promise<void> {
  const pids = await readFile(join(directory, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of pids.split("\n").filter((p) => p !== "" && p !== "0")) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if (code(error) !== "ESRCH") throw error;
    }
  }
}
