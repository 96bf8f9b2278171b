/**
 * The part of GET /metrics/cadvisor that is about the machine: its processors and memory, and what all of it uses under
 * the id "/", which dashboards of nodes ask for.
 * Source: google/cadvisor metrics/prometheus_machine.go, metrics/prometheus.go
 */
import { readFile, statfs } from "node:fs/promises";
import type { MachineInfo } from "../adapters/machine-info.ts";
import type { NodeUsage } from "./measure.ts";
import type { LabelValues, MetricFamily } from "./prometheus-text.ts";

export type Families = (name: string, type: "counter" | "gauge", help: string) => MetricFamily;

export async function addMachine(machine: MachineInfo, family: Families): Promise<void> {
  const labels = { boot_id: machine.bootId, machine_id: machine.machineId, system_uuid: machine.systemUuid };
  const gauge = (name: string, help: string, value: number) => family(name, "gauge", help).add(labels, value);
  const [meminfo, cpuinfo] = await Promise.all([readFile("/proc/meminfo", "utf8"), readFile("/proc/cpuinfo", "utf8")]);
  const { sockets, cores } = processors(cpuinfo, machine.cpuCount);
  gauge("machine_cpu_cores", "Number of logical CPU cores.", machine.cpuCount);
  gauge("machine_cpu_physical_cores", "Number of physical CPU cores.", cores);
  gauge("machine_cpu_sockets", "Number of CPU sockets.", sockets);
  gauge("machine_memory_bytes", "Amount of memory installed on the machine.", machine.memoryBytes);
  const swap = Number(/^SwapTotal:\s+(\d+)/m.exec(meminfo)?.[1] ?? 0) * 1024;
  gauge("machine_swap_bytes", "Amount of swap memory available on the machine.", swap);
  family("machine_scrape_error", "gauge", "1 if there was an error while getting machine metrics, 0 otherwise.").add(
    {},
    0,
  );
  const version = { cadvisorRevision: "", cadvisorVersion: "", dockerVersion: "" };
  const system = { kernelVersion: machine.kernelVersion, osVersion: machine.osImage };
  const help =
    "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.";
  family("cadvisor_version_info", "gauge", help).add({ ...version, ...system }, 1);
}

/** From /proc/cpuinfo; where it does not say (many virtual machines), one socket of as many cores. Pure. */
export function processors(cpuinfo: string, logical: number): { sockets: number; cores: number } {
  const sockets = new Set<string>();
  const cores = new Set<string>();
  for (const block of cpuinfo.split("\n\n")) {
    const socket = /^physical id\s*:\s*(\d+)$/m.exec(block)?.[1];
    const core = /^core id\s*:\s*(\d+)$/m.exec(block)?.[1];
    if (socket === undefined || core === undefined) continue;
    sockets.add(socket);
    cores.add(`${socket}/${core}`);
  }
  return { sockets: Math.max(1, sockets.size), cores: cores.size === 0 ? logical : cores.size };
}

/** What the machine as a whole uses. */
export function addRoot(root: LabelValues, node: NodeUsage, atMs: number, family: Families): void {
  const add = (name: string, type: "counter" | "gauge", help: string, value: number, more: LabelValues = {}) =>
    family(name, type, help).add({ ...root, ...more }, value, atMs);
  add(
    "container_cpu_usage_seconds_total",
    "counter",
    "Cumulative cpu time consumed in seconds.",
    node.cpuNanoSeconds / 1e9,
    { cpu: "total" },
  );
  add(
    "container_memory_usage_bytes",
    "gauge",
    "Current memory usage in bytes, including all memory regardless of when it was accessed",
    node.memoryUsageBytes,
  );
  add("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", node.memoryWorkingSetBytes);
  add("container_memory_rss", "gauge", "Size of RSS in bytes.", node.memoryRssBytes);
  add("container_last_seen", "gauge", "Last time a container was seen by the exporter", atMs / 1000);
}

/** Every disk that is mounted, once. */
export async function addDisks(root: LabelValues, atMs: number, family: Families): Promise<void> {
  const add = (name: string, help: string, device: string, value: number) =>
    family(name, "gauge", help).add({ ...root, device }, value, atMs);
  for (const [device, path] of diskMounts(await readFile("/proc/self/mounts", "utf8"))) {
    // It may be unmounted by now.
    const disk = await statfs(path).catch(() => undefined);
    if (disk === undefined || disk.blocks === 0) continue;
    const used = (disk.blocks - disk.bfree) * disk.bsize;
    add(
      "container_fs_limit_bytes",
      "Number of bytes that can be consumed by the container on this filesystem.",
      device,
      disk.blocks * disk.bsize,
    );
    add(
      "container_fs_usage_bytes",
      "Number of bytes that are consumed by the container on this filesystem.",
      device,
      used,
    );
    add("container_fs_inodes_total", "Number of Inodes", device, disk.files);
    add("container_fs_inodes_free", "Number of available Inodes", device, disk.ffree);
  }
}

/** Device -> where it is mounted first. Pure. */
export function diskMounts(mounts: string): Map<string, string> {
  const result = new Map<string, string>();
  for (const line of mounts.split("\n")) {
    const [device = "", path = ""] = line.split(" ");
    // Blanks in paths are written as octal numbers: such a mount is no disk of the machine.
    if (device.startsWith("/dev/") && !path.includes("\\") && !result.has(device)) result.set(device, path);
  }
  return result;
}
