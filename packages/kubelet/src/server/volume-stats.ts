/** What a pod's volumes hold, read from its folders: by du for those on the node's disk, by statfs for the others. */
import { readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Config } from "../config.ts";
import { podDirectory } from "../volumes/pod-volumes.ts";
import type { DiskUsages } from "./disk-usage.ts";

export interface FsStats {
  readonly time: string;
  readonly availableBytes: number;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly inodesFree: number;
  readonly inodes: number;
  readonly inodesUsed: number;
}

export interface VolumeSource {
  readonly config: Config;
  readonly disks: DiskUsages;
  /** Of the node's root folder, as it is now. */
  readonly nodeFs: FsStats;
}

export type VolumeStats = FsStats & {
  readonly name: string;
  readonly pvcRef?: { readonly name: string; readonly namespace: string };
  readonly ephemeral: boolean;
};

/** What a pod writes there counts as its own. Source: volume.SupportsNodeEphemeral..., pkg/kubelet/stats/helper.go */
const EPHEMERAL = ["emptyDir", "configMap", "secret", "projected", "downwardAPI"] as const;

export async function volumeStats({ config, disks, nodeFs }: VolumeSource, pod: Pod): Promise<VolumeStats[]> {
  const root = join(podDirectory(config.rootDir, pod.metadata.uid ?? ""), "volumes");
  const result: VolumeStats[] = [];
  // A pod that is being set up has no folder yet.
  for (const plugin of await readdir(root).catch(() => [] as string[])) {
    for (const name of await readdir(join(root, plugin)).catch(() => [] as string[])) {
      const volume = pod.spec?.volumes?.find((one) => one.name === name);
      if (volume === undefined || volume.hostPath !== undefined) continue;
      const folder = join(root, plugin, name);
      const inMemory = volume.emptyDir?.medium === "Memory";
      const ephemeral = !inMemory && EPHEMERAL.some((kind) => volume[kind] !== undefined);
      // Only what lies on the node's disk has to be walked: the others have a file system of their own.
      const usage = ephemeral ? await disks.of(folder) : undefined;
      if (ephemeral && usage === undefined) continue;
      const whole = ephemeral ? nodeFs : await filesystemOf(folder, nodeFs.time);
      const claim = volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral && `${pod.metadata.name}-${name}`);
      result.push({
        ...whole,
        ...(usage === undefined ? {} : { usedBytes: usage.usedBytes, inodesUsed: usage.inodesUsed }),
        name,
        ...(claim === undefined ? {} : { pvcRef: { name: claim, namespace: pod.metadata.namespace ?? "" } }),
        ephemeral,
      });
    }
  }
  return result;
}

export async function filesystemOf(path: string, time: string): Promise<FsStats> {
  const fs = await statfs(path);
  return {
    time,
    availableBytes: fs.bavail * fs.bsize,
    capacityBytes: fs.blocks * fs.bsize,
    usedBytes: (fs.blocks - fs.bfree) * fs.bsize,
    inodesFree: fs.ffree,
    inodes: fs.files,
    inodesUsed: fs.files - fs.ffree,
  };
}
