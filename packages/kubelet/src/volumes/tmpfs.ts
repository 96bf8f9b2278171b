/** Folders in memory. */
import { mkdir } from "node:fs/promises";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isMountPoint, mountTmpfs } from "../adapters/mounts.ts";
import { podCgroupLimits } from "../core/qos.ts";
import { fsGroupOf } from "./fs-group.ts";

/**
 * Makes the folder and mounts a tmpfs on it, once; it holds at most `sizeBytes`, or the pod's memory limit. Mode and
 * group come with the mount, so that a kubelet killed at any moment leaves no folder half made.
 */
export async function ensureTmpfs(directory: string, pod: Pod, sizeBytes?: number): Promise<void> {
  await mkdir(directory, { recursive: true });
  if (await isMountPoint(directory)) return;
  const limits = [sizeBytes, podCgroupLimits(pod).memoryLimitBytes].filter((n) => n !== undefined && n > 0);
  const gid = fsGroupOf(pod);
  const options = [
    gid === undefined ? "mode=0777" : `mode=2777,gid=${gid}`,
    ...(limits.length === 0 ? [] : [`size=${Math.min(...(limits as number[]))}`]),
  ];
  await mountTmpfs(directory, options.join(","));
}
