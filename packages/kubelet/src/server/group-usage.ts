/**
 * What the kernel counts for one cgroup, v1 and v2, read from its files. What a kernel does not count is undefined. Reads
 * only.
 * Source: kernel Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; google/cadvisor container/libcontainer/handler.go
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type GroupPressure, readPressure } from "./pressure.ts";

const MOUNT = "/sys/fs/cgroup";
/** Clock ticks per second in the kernel's files. */
const TICKS_PER_SECOND = 100;
/** v1 writes "no limit" as the largest page-aligned number. */
const NO_LIMIT = 2 ** 62;

export interface DeviceUsage {
  /** "8:0" */
  readonly device: string;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}

/** What reports of use need, from the fewest files. */
export interface BasicUsage {
  readonly cpuSeconds: number;
  readonly memoryUsageBytes: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryRssBytes: number | undefined;
  readonly swapBytes: number | undefined;
  readonly pageFaults: number | undefined;
  readonly majorPageFaults: number | undefined;
  /** Tasks, threads counted. */
  readonly processes: number | undefined;
  /** Absent on v1, which has none. */
  readonly pressure?: GroupPressure | undefined;
}

export interface GroupUsage extends BasicUsage {
  readonly cpuUserSeconds: number | undefined;
  readonly cpuSystemSeconds: number | undefined;
  readonly periods: number | undefined;
  readonly throttledPeriods: number | undefined;
  readonly throttledSeconds: number | undefined;
  readonly cpuShares: number | undefined;
  readonly cpuPeriodUs: number | undefined;
  readonly cpuQuotaUs: number | undefined;
  readonly memoryCacheBytes: number | undefined;
  readonly memoryMappedFileBytes: number | undefined;
  readonly memoryKernelBytes: number | undefined;
  readonly activeFileBytes: number | undefined;
  readonly inactiveFileBytes: number | undefined;
  readonly memoryReservationBytes: number | undefined;
  /** Memory and swap together. */
  readonly swapLimitBytes: number | undefined;
  readonly memoryMaxUsageBytes: number | undefined;
  readonly memoryFailCount: number | undefined;
  readonly memoryLimitBytes: number | undefined;
  readonly oomKills: number | undefined;
  readonly threadsMax: number | undefined;
  readonly devices: readonly DeviceUsage[];
}

type Fields = Readonly<Record<string, number>>;

/** Undefined when there is no such group (any more). `path` is below the hierarchies' roots. */
export async function readGroupUsage(version: 1 | 2, path: string): Promise<GroupUsage | undefined> {
  return version === 2 ? await readUnified(join(MOUNT, path)) : await readLegacy(path);
}

/** Undefined when there is no such group (any more). */
export async function readBasicUsage(version: 1 | 2, path: string): Promise<BasicUsage | undefined> {
  const names =
    version === 2
      ? ["cpu.stat", "memory.current", "memory.stat", "memory.swap.current", "pids.current"]
      : ["cpuacct/cpuacct.usage", "memory/memory.usage_in_bytes", "memory/memory.stat", "", "pids/pids.current"];
  const pathOf = (name: string) => {
    const [controller = "", file] = name.split("/");
    return file === undefined ? join(MOUNT, path, name) : join(MOUNT, controller, path, file);
  };
  const [cpu, memory, stat, swap, pids] = await Promise.all(
    names.map((name) => (name === "" ? Promise.resolve(undefined) : readText(pathOf(name)))),
  );
  if (cpu === undefined || memory === undefined) return undefined;
  const mem = fields(stat);
  const v2 = version === 2;
  return {
    ...(v2 ? { pressure: await readPressure(join(MOUNT, path)) } : {}),
    cpuSeconds: v2 ? (fields(cpu).usage_usec ?? 0) / 1e6 : Number(cpu) / 1e9,
    memoryUsageBytes: Number(memory),
    memoryWorkingSetBytes: Math.max(0, Number(memory) - ((v2 ? mem.inactive_file : mem.total_inactive_file) ?? 0)),
    memoryRssBytes: v2 ? mem.anon : mem.total_rss,
    swapBytes: v2 ? number(swap) : mem.total_swap,
    pageFaults: v2 ? mem.pgfault : mem.total_pgfault,
    majorPageFaults: v2 ? mem.pgmajfault : mem.total_pgmajfault,
    processes: number(pids),
  };
}

/** Bytes of the group that are swapped out; undefined when the kernel does not count them. */
export async function readSwap(version: 1 | 2, path: string): Promise<number | undefined> {
  if (version === 2) return number(await readText(join(MOUNT, path, "memory.swap.current")));
  return fields(await readText(join(MOUNT, "memory", path, "memory.stat"))).total_swap;
}

async function readLegacy(path: string): Promise<GroupUsage | undefined> {
  const file = (controller: string, name: string) => readText(join(MOUNT, controller, path, name));
  const [usage, times, throttling, shares, period, quota] = await Promise.all([
    file("cpuacct", "cpuacct.usage"),
    file("cpuacct", "cpuacct.stat"),
    file("cpu", "cpu.stat"),
    file("cpu", "cpu.shares"),
    file("cpu", "cpu.cfs_period_us"),
    file("cpu", "cpu.cfs_quota_us"),
  ]);
  const [kernel, reservation, swapLimit] = await Promise.all([
    file("memory", "memory.kmem.usage_in_bytes"),
    file("memory", "memory.soft_limit_in_bytes"),
    file("memory", "memory.memsw.limit_in_bytes"),
  ]);
  const [memory, stat, most, fails, limit, oom, pids, pidsMax, bytes, operations] = await Promise.all([
    file("memory", "memory.usage_in_bytes"),
    file("memory", "memory.stat"),
    file("memory", "memory.max_usage_in_bytes"),
    file("memory", "memory.failcnt"),
    file("memory", "memory.limit_in_bytes"),
    file("memory", "memory.oom_control"),
    file("pids", "pids.current"),
    file("pids", "pids.max"),
    file("blkio", "blkio.throttle.io_service_bytes_recursive"),
    file("blkio", "blkio.throttle.io_serviced_recursive"),
  ]);
  if (usage === undefined || memory === undefined) return undefined;
  const [cpu, ticks, mem] = [fields(throttling), fields(times), fields(stat)];
  const quotaUs = number(quota);
  return {
    cpuSeconds: Number(usage) / 1e9,
    cpuUserSeconds: scaled(ticks.user, TICKS_PER_SECOND),
    cpuSystemSeconds: scaled(ticks.system, TICKS_PER_SECOND),
    periods: cpu.nr_periods,
    throttledPeriods: cpu.nr_throttled,
    throttledSeconds: scaled(cpu.throttled_time, 1e9),
    cpuShares: number(shares),
    cpuPeriodUs: number(period),
    cpuQuotaUs: quotaUs === undefined || quotaUs < 0 ? undefined : quotaUs,
    memoryUsageBytes: Number(memory),
    memoryWorkingSetBytes: Math.max(0, Number(memory) - (mem.total_inactive_file ?? 0)),
    memoryRssBytes: mem.total_rss,
    memoryCacheBytes: mem.total_cache,
    memoryMappedFileBytes: mem.total_mapped_file,
    memoryKernelBytes: number(kernel),
    activeFileBytes: mem.total_active_file,
    inactiveFileBytes: mem.total_inactive_file,
    memoryReservationBytes: belowNoLimit(number(reservation)),
    swapLimitBytes: belowNoLimit(number(swapLimit)),
    memoryMaxUsageBytes: number(most),
    memoryFailCount: number(fails),
    memoryLimitBytes: belowNoLimit(number(limit)),
    swapBytes: mem.total_swap,
    pageFaults: mem.total_pgfault,
    majorPageFaults: mem.total_pgmajfault,
    oomKills: fields(oom).oom_kill,
    processes: number(pids),
    threadsMax: number(pidsMax),
    devices: legacyDevices(bytes ?? "", operations ?? ""),
  };
}

async function readUnified(folder: string): Promise<GroupUsage | undefined> {
  const file = (name: string) => readText(join(folder, name));
  const [pressure, low, swapMax] = await Promise.all([
    readPressure(folder),
    file("memory.low"),
    file("memory.swap.max"),
  ]);
  const [cpuStat, weight, max, memory, stat, peak, limit, swap, events, pids, pidsMax, io] = await Promise.all(
    [
      "cpu.stat",
      "cpu.weight",
      "cpu.max",
      "memory.current",
      "memory.stat",
      "memory.peak",
      "memory.max",
      "memory.swap.current",
      "memory.events",
      "pids.current",
      "pids.max",
      "io.stat",
    ].map(file),
  );
  if (cpuStat === undefined || memory === undefined) return undefined;
  const [cpu, mem, oom] = [fields(cpuStat), fields(stat), fields(events)];
  const [quota, period] = (max ?? "").trim().split(" ");
  const cpuWeight = number(weight);
  return {
    pressure,
    cpuSeconds: (cpu.usage_usec ?? 0) / 1e6,
    cpuUserSeconds: scaled(cpu.user_usec, 1e6),
    cpuSystemSeconds: scaled(cpu.system_usec, 1e6),
    periods: cpu.nr_periods,
    throttledPeriods: cpu.nr_throttled,
    throttledSeconds: scaled(cpu.throttled_usec, 1e6),
    // Source: KEP-2254, the inverse of weight = 1 + ((shares - 2) * 9999) / 262142
    cpuShares: cpuWeight === undefined ? undefined : Math.floor(2 + ((cpuWeight - 1) * 262142) / 9999),
    cpuPeriodUs: number(period),
    cpuQuotaUs: number(quota),
    memoryUsageBytes: Number(memory),
    memoryWorkingSetBytes: Math.max(0, Number(memory) - (mem.inactive_file ?? 0)),
    memoryRssBytes: mem.anon,
    memoryCacheBytes: mem.file,
    memoryMappedFileBytes: mem.file_mapped,
    memoryKernelBytes: mem.kernel,
    activeFileBytes: mem.active_file,
    inactiveFileBytes: mem.inactive_file,
    memoryReservationBytes: number(low),
    swapLimitBytes: number(swapMax),
    memoryMaxUsageBytes: number(peak),
    memoryFailCount: oom.max,
    memoryLimitBytes: number(limit),
    swapBytes: number(swap),
    pageFaults: mem.pgfault,
    majorPageFaults: mem.pgmajfault,
    oomKills: oom.oom_kill,
    processes: number(pids),
    threadsMax: number(pidsMax),
    devices: unifiedDevices(io ?? ""),
  };
}

/** A group may vanish while it is read: a file that is not there says nothing. */
async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(() => undefined);
}

/** "name 12" lines. */
function fields(text: string | undefined): Fields {
  const result: Record<string, number> = {};
  for (const line of (text ?? "").split("\n")) {
    const [name, value] = line.split(" ");
    if (name !== undefined && value !== undefined) result[name] = Number(value);
  }
  return result;
}

/** "max" and absence are no number. */
function number(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? "";
  return /^-?\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}

function scaled(value: number | undefined, divisor: number): number | undefined {
  return value === undefined ? undefined : value / divisor;
}

function belowNoLimit(value: number | undefined): number | undefined {
  return value === undefined || value >= NO_LIMIT ? undefined : value;
}

/** "8:0 Read 4096" lines of two files. */
export function legacyDevices(bytes: string, operations: string): DeviceUsage[] {
  const found = new Map<string, { readBytes: number; writeBytes: number; reads: number; writes: number }>();
  const each = (text: string, read: "readBytes" | "reads", write: "writeBytes" | "writes") => {
    for (const line of text.split("\n")) {
      const [device = "", kind, value] = line.split(" ");
      if (!/^\d+:\d+$/.test(device) || (kind !== "Read" && kind !== "Write")) continue;
      const one = found.get(device) ?? { readBytes: 0, writeBytes: 0, reads: 0, writes: 0 };
      one[kind === "Read" ? read : write] = Number(value);
      found.set(device, one);
    }
  };
  each(bytes, "readBytes", "writeBytes");
  each(operations, "reads", "writes");
  return [...found].map(([device, usage]) => ({ device, ...usage }));
}

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." lines. */
export function unifiedDevices(text: string): DeviceUsage[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(" "))
    .filter(([device = ""]) => /^\d+:\d+$/.test(device))
    .map(([device = "", ...pairs]) => {
      const values = Object.fromEntries(pairs.map((pair) => pair.split("="))) as Record<string, string | undefined>;
      const of = (name: string) => Number(values[name] ?? 0);
      return { device, readBytes: of("rbytes"), writeBytes: of("wbytes"), reads: of("rios"), writes: of("wios") };
    });
}
