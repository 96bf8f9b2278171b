/** Measures the node for eviction: memory from the kernel's files, disks by statfs, processes from /proc. */
import { statfs } from "node:fs/promises";
import type { Observation, Observations } from "../eviction/signals.ts";
import type { Cgroups } from "./cgroups.ts";
import { readKernelFile } from "./kernel-file.ts";

export interface SignalSources {
  readonly rootDir: string;
  /** A folder on the filesystem that images and containers are on; undefined when the runtime does not tell. */
  readonly imageFsPath: string | undefined;
  /** Whether that is another filesystem than that of `rootDir`. */
  readonly dedicatedImageFs: boolean;
  readonly cgroups: Cgroups | undefined;
  readonly now: number;
}

export interface MeasuredNode {
  readonly observations: Observations;
  /** Images are not on the filesystem of the pods' folders. */
  readonly dedicatedImageFs: boolean;
}

function kilobytes(meminfo: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
}

/** Capacity without the working set: what is in use and can't be dropped. Source: node-pressure-eviction#memory-signals */
export function memorySignal(meminfo: string, at: number): Observation {
  const capacity = kilobytes(meminfo, "MemTotal");
  const usage = capacity - kilobytes(meminfo, "MemFree");
  const workingSet = Math.max(0, usage - kilobytes(meminfo, "Inactive\\(file\\)"));
  return { capacity, available: capacity - workingSet, at };
}

async function filesystem(path: string, at: number): Promise<{ space: Observation; inodes: Observation | undefined }> {
  const disk = await statfs(path);
  return {
    space: { capacity: disk.blocks * disk.bsize, available: disk.bavail * disk.bsize, at },
    // Filesystems without a fixed number of inodes (btrfs) report none.
    inodes: disk.files === 0 ? undefined : { capacity: disk.files, available: disk.ffree, at },
  };
}

function number(path: string): number {
  return Number(readKernelFile(path).trim());
}

function pidSignal(at: number): Observation {
  const capacity = Math.min(number("/proc/sys/kernel/pid_max"), number("/proc/sys/kernel/threads-max"));
  const used = Number(/\/(\d+)/.exec(readKernelFile("/proc/loadavg"))?.[1] ?? 0);
  return { capacity, available: capacity - used, at };
}

export async function measureNode(sources: SignalSources): Promise<MeasuredNode> {
  const { rootDir, imageFsPath, dedicatedImageFs, cgroups, now } = sources;
  const node = await filesystem(rootDir, now);
  const image = dedicatedImageFs && imageFsPath !== undefined ? await filesystem(imageFsPath, now) : node;
  const pods = await cgroups?.memoryOf(cgroups.base);
  const common =
    pods?.limitBytes === undefined
      ? undefined
      : { capacity: pods.limitBytes, available: Math.max(0, pods.limitBytes - pods.workingSetBytes), at: now };
  return {
    dedicatedImageFs,
    observations: {
      "memory.available": memorySignal(readKernelFile("/proc/meminfo"), now),
      ...(common === undefined ? {} : { "allocatableMemory.available": common }),
      "nodefs.available": node.space,
      ...(node.inodes === undefined ? {} : { "nodefs.inodesFree": node.inodes }),
      "imagefs.available": image.space,
      "containerfs.available": image.space,
      ...(image.inodes === undefined
        ? {}
        : { "imagefs.inodesFree": image.inodes, "containerfs.inodesFree": image.inodes }),
      "pid.available": pidSignal(now),
    },
  };
}
