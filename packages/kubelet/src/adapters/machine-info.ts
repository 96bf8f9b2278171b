/** What this machine is: processors, memory, disk, identity. Read from the kernel's files. */
import { readdir, readFile, statfs } from "node:fs/promises";
import { cpus, networkInterfaces, release } from "node:os";
import { join } from "node:path";
import { binaryQuantity } from "../eviction/messages.ts";

export interface MachineInfo {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly machineId: string;
  readonly bootId: string;
  readonly systemUuid: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly appArmor: boolean;
  readonly seLinux: boolean;
  readonly swapBytes: number;
  /** Whether the kernel counts swap by cgroup. */
  readonly swapController: boolean;
  readonly hugePages: Readonly<Record<string, number>>;
}

export interface MachineUsage {
  readonly memoryAvailableBytes: number;
  readonly diskTotalBytes: number;
  readonly diskAvailableBytes: number;
  readonly inodesTotal: number;
  readonly inodesFree: number;
  readonly pidsMax: number;
  readonly pidsUsed: number;
}

async function text(path: string): Promise<string> {
  // A file that this kernel or this machine does not have says nothing.
  return (await readFile(path, "utf8").catch(() => "")).trim();
}

function meminfo(content: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(content)?.[1] ?? 0) * 1024;
}

export async function readMachineInfo(): Promise<MachineInfo> {
  const osRelease = await text("/etc/os-release");
  return {
    cpuCount: cpus().length,
    memoryBytes: meminfo(await text("/proc/meminfo"), "MemTotal"),
    machineId: await text("/etc/machine-id"),
    bootId: await text("/proc/sys/kernel/random/boot_id"),
    systemUuid: (await text("/sys/class/dmi/id/product_uuid")) || (await text("/etc/machine-id")),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux",
    appArmor: (await text("/sys/module/apparmor/parameters/enabled")) === "Y",
    seLinux: (await text("/sys/fs/selinux/enforce")) !== "",
    swapBytes: meminfo(await text("/proc/meminfo"), "SwapTotal"),
    swapController: await hasSwapController(),
    hugePages: await readHugePages(),
  };
}

/** The root group has no such file, so on v2 it is looked for in this process' own group. */
async function hasSwapController(): Promise<boolean> {
  const own = /^0::(.*)$/m.exec(await text("/proc/self/cgroup"))?.[1] ?? "/";
  const files = ["memory/memory.memsw.limit_in_bytes", join(own, "memory.swap.max")];
  const found = await Promise.all(files.map((file) => text(join("/sys/fs/cgroup", file))));
  return found.some((content) => content !== "");
}

const HUGE_PAGES = "/sys/kernel/mm/hugepages";

/** Every size that the kernel knows: {"hugepages-2Mi": bytes}. */
async function readHugePages(): Promise<Record<string, number>> {
  const folders = await readdir(HUGE_PAGES).catch(() => [] as string[]);
  const pages: Record<string, number> = {};
  for (const folder of folders) {
    const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(folder)?.[1] ?? 0);
    if (kilobytes === 0) continue;
    const count = Number((await text(join(HUGE_PAGES, folder, "nr_hugepages"))) || 0);
    pages[`hugepages-${binaryQuantity(kilobytes * 1024)}`] = count * kilobytes * 1024;
  }
  return pages;
}

export async function readMachineUsage(directory: string): Promise<MachineUsage> {
  const disk = await statfs(directory);
  const loadavg = await text("/proc/loadavg");
  return {
    memoryAvailableBytes: meminfo(await text("/proc/meminfo"), "MemAvailable"),
    diskTotalBytes: disk.blocks * disk.bsize,
    diskAvailableBytes: disk.bavail * disk.bsize,
    inodesTotal: disk.files,
    inodesFree: disk.ffree,
    pidsMax: Number((await text("/proc/sys/kernel/pid_max")) || 4_194_304),
    pidsUsed: Number(/\/(\d+)/.exec(loadavg)?.[1] ?? 0),
  };
}

/** The first global address of this network namespace, preferring the interface of the default route. */
export async function defaultAddress(): Promise<string | undefined> {
  const route = (await text("/proc/net/route")).split("\n").find((line) => line.split("\t")[1] === "00000000");
  const preferred = route?.split("\t")[0];
  const all = Object.entries(networkInterfaces()).flatMap(([name, entries]) =>
    (entries ?? []).filter((e) => !e.internal && e.family === "IPv4").map((e) => ({ name, address: e.address })),
  );
  return (all.find((e) => e.name === preferred) ?? all[0])?.address;
}
