/** Measures what pods use: memory and tasks from their cgroups, layers from the runtime, folders by walking them. */
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { ContainerStats } from "@knarr/cri/types.ts";
import type { Cgroups } from "../adapters/cgroups.ts";
import { diskUsage } from "../adapters/disk-usage.ts";
import type { Config } from "../config.ts";
import { Labels } from "../core/observed-pod.ts";
import { podLogDirectory } from "../pods/pod-files.ts";
import { podDirectory } from "../volumes/pod-volumes.ts";
import type { ContainerUsage, DiskUse, PodUsage } from "./pod-usage.ts";

export interface MeasureOptions {
  readonly config: Pick<Config, "rootDir" | "podLogDir">;
  readonly runtime: Pick<Runtime, "listContainerStats">;
  readonly cgroups: Cgroups | undefined;
}

/** Folders of the volume kinds that fill the node's disk, as the volume code lays them out. */
const VOLUME_FOLDERS = {
  emptyDir: "kubernetes.io~empty-dir",
  configMap: "kubernetes.io~configmap",
  downwardAPI: "kubernetes.io~downward-api",
} as const;

/** Usage by UID. `disk`: folders too. A pod whose folders are going away meanwhile counts with what is left. */
export async function measurePods(
  options: MeasureOptions,
  pods: readonly Pod[],
  disk: boolean,
): Promise<Map<string, PodUsage>> {
  const stats = await options.runtime.listContainerStats();
  const byPod = Map.groupBy(stats, (s) => s.labels[Labels.podUid] ?? "");
  const result = new Map<string, PodUsage>();
  for (const pod of pods) {
    const uid = pod.metadata.uid ?? "";
    result.set(uid, await measurePod(options, pod, byPod.get(uid) ?? [], disk));
  }
  return result;
}

async function measurePod(
  { config, cgroups }: MeasureOptions,
  pod: Pod,
  stats: readonly ContainerStats[],
  disk: boolean,
): Promise<PodUsage> {
  const path = cgroups?.podPath(pod);
  const group = path === undefined ? undefined : await cgroups?.memoryOf(path);
  const sum = stats.reduce((total, s) => total + (s.memoryWorkingSetBytes ?? 0), 0);
  return {
    memoryBytes: group?.workingSetBytes ?? (stats.length === 0 ? undefined : sum),
    processes: path === undefined ? undefined : await cgroups?.pidsOf(path),
    containers: await Promise.all(stats.map((s) => measureContainer(config, pod, s, disk))),
    volumes: disk ? await measureVolumes(config, pod) : new Map(),
  };
}

async function measureContainer(
  config: MeasureOptions["config"],
  pod: Pod,
  stats: ContainerStats,
  disk: boolean,
): Promise<ContainerUsage> {
  const { writableLayerBytes: bytes, writableLayerInodes: inodes = 0 } = stats;
  return {
    name: stats.name,
    memoryBytes: stats.memoryWorkingSetBytes,
    rootfs: bytes === undefined ? undefined : { bytes, inodes },
    logs: disk ? await diskUsage(join(podLogDirectory(config, pod), stats.name)) : undefined,
  };
}

async function measureVolumes(config: MeasureOptions["config"], pod: Pod): Promise<Map<string, DiskUse>> {
  const result = new Map<string, DiskUse>();
  const base = join(podDirectory(config.rootDir, pod.metadata.uid ?? ""), "volumes");
  for (const volume of pod.spec?.volumes ?? []) {
    for (const [kind, folder] of Object.entries(VOLUME_FOLDERS)) {
      if (volume[kind as keyof typeof VOLUME_FOLDERS] === undefined) continue;
      result.set(volume.name, await diskUsage(join(base, folder, volume.name)));
    }
  }
  return result;
}
