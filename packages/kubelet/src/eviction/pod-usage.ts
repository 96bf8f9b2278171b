/** What a pod uses of the node, as eviction weighs it: measured elsewhere, added up here. Pure. */
import type { Container, Pod, Volume } from "@knarr/api/generated/types/core-v1.ts";

export interface DiskUse {
  readonly bytes: number;
  readonly inodes: number;
}

export interface ContainerUsage {
  readonly name: string;
  readonly memoryBytes: number | undefined;
  /** Its writable layer. */
  readonly rootfs: DiskUse | undefined;
  readonly logs: DiskUse | undefined;
}

export interface PodUsage {
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
  readonly containers: readonly ContainerUsage[];
  /** By volume name; only what lies on the node's own disk or memory. */
  readonly volumes: ReadonlyMap<string, DiskUse>;
}

/** Which parts of a pod lie on the filesystem that is short. */
export type DiskPart = "rootfs" | "logs" | "volumes";

export const EVERY_PART: readonly DiskPart[] = ["rootfs", "logs", "volumes"];

/** Volumes that count against a pod's ephemeral storage. Source: pkg/kubelet/eviction/helpers.go, localVolumeNames */
export function isLocalVolume(volume: Volume): boolean {
  if (volume.emptyDir !== undefined) return volume.emptyDir.medium !== "Memory";
  return volume.configMap !== undefined || volume.downwardAPI !== undefined || volume.gitRepo !== undefined;
}

export function diskUse(pod: Pod, usage: PodUsage, parts: readonly DiskPart[]): DiskUse {
  const found: (DiskUse | undefined)[] = [];
  for (const container of usage.containers) {
    if (parts.includes("rootfs")) found.push(container.rootfs);
    if (parts.includes("logs")) found.push(container.logs);
  }
  if (parts.includes("volumes")) {
    for (const volume of pod.spec?.volumes ?? []) if (isLocalVolume(volume)) found.push(usage.volumes.get(volume.name));
  }
  return {
    bytes: found.reduce((sum, use) => sum + (use?.bytes ?? 0), 0),
    inodes: found.reduce((sum, use) => sum + (use?.inodes ?? 0), 0),
  };
}

/** The containers that last: the pod's own and its sidecars. */
export function lastingContainers(pod: Pod): Container[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  return [...(pod.spec?.containers ?? []), ...sidecars];
}
