/**
 * CPU and memory use of a container from its cgroups, v1 and v2: the kernel's own numbers, without asking Docker, whose
 * statistics cost a call of some milliseconds each.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerStats } from "../types.ts";
import { cgroupFolder, isCgroupV1 } from "./cgroup-limits.ts";

export type CgroupUsage = Pick<
  ContainerStats,
  | "cpuUsageNanoSeconds"
  | "memoryWorkingSetBytes"
  | "memoryUsageBytes"
  | "memoryRssBytes"
  | "memoryAvailableBytes"
  | "pageFaults"
  | "majorPageFaults"
>;

/** The texts of the files that usage is computed from; "" for one that is not there. */
export interface CgroupTexts {
  readonly version: 1 | 2;
  /** cpuacct.usage | cpu.stat */
  readonly cpu: string;
  /** memory.usage_in_bytes | memory.current */
  readonly usage: string;
  /** memory.limit_in_bytes | memory.max */
  readonly limit: string;
  /** memory.stat */
  readonly stat: string;
}

function fieldsOf(stat: string): Map<string, number> {
  return new Map(
    stat.split("\n").flatMap((line) => {
      const [name = "", value] = line.split(" ");
      return value === undefined ? [] : [[name, Number(value)] as const];
    }),
  );
}

/** Limits of this size are the kernel's way to say that there is none. */
const UNLIMITED = 2 ** 62;

/** Pure. Source: cadvisor: the working set is the usage without the file pages that were not used lately */
export function cgroupUsage(texts: CgroupTexts): CgroupUsage {
  const isV2 = texts.version === 2;
  const stat = fieldsOf(texts.stat);
  const usage = texts.usage === "" ? undefined : Number(texts.usage);
  const inactive = stat.get(isV2 ? "inactive_file" : "total_inactive_file") ?? 0;
  const workingSet = usage === undefined ? undefined : Math.max(0, usage - inactive);
  const limit = texts.limit.trim() === "max" || texts.limit === "" ? UNLIMITED : Number(texts.limit);
  const micros = fieldsOf(texts.cpu).get("usage_usec");
  const cpu = isV2
    ? micros === undefined
      ? undefined
      : micros * 1000
    : texts.cpu === ""
      ? undefined
      : Number(texts.cpu);
  return {
    cpuUsageNanoSeconds: cpu,
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: workingSet,
    memoryRssBytes: stat.get(isV2 ? "anon" : "total_rss"),
    memoryAvailableBytes: workingSet === undefined || limit >= UNLIMITED ? undefined : Math.max(0, limit - workingSet),
    pageFaults: stat.get(isV2 ? "pgfault" : "total_pgfault"),
    majorPageFaults: stat.get(isV2 ? "pgmajfault" : "total_pgmajfault"),
  };
}

async function textIfThere(folder: string | undefined, name: string): Promise<string> {
  if (folder === undefined) return "";
  try {
    return await readFile(join(folder, name), "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENODEV" || code === "ESRCH") return "";
    throw error;
  }
}

/** Where the files of a process's cgroup are; undefined when the process is gone. */
export async function readProcCgroup(pid: number): Promise<string | undefined> {
  const text = await textIfThere(`/proc/${pid}`, "cgroup");
  return text === "" ? undefined : text;
}

export async function readCgroupUsage(procCgroup: string): Promise<CgroupUsage> {
  const isV1 = isCgroupV1(procCgroup);
  const memory = cgroupFolder(procCgroup, "memory");
  const names = isV1
    ? { cpu: "cpuacct.usage", usage: "memory.usage_in_bytes", limit: "memory.limit_in_bytes" }
    : { cpu: "cpu.stat", usage: "memory.current", limit: "memory.max" };
  const [cpu, usage, limit, stat] = await Promise.all([
    textIfThere(cgroupFolder(procCgroup, "cpuacct"), names.cpu),
    textIfThere(memory, names.usage),
    textIfThere(memory, names.limit),
    textIfThere(memory, "memory.stat"),
  ]);
  return cgroupUsage({ version: isV1 ? 1 : 2, cpu, usage, limit, stat });
}
