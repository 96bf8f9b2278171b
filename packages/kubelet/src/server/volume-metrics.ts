/**
 * kubelet_volume_stats_*: how full the volumes of claims are, for the alerts that everybody has.
 * Source: k8s.io/kubernetes/pkg/kubelet/metrics/collectors/volume_stats.go
 */
import type { DiskUsages } from "./disk-usage.ts";
import { MetricFamily, renderFamilies } from "./prometheus-text.ts";
import type { Serving } from "./serving.ts";
import { type FsStats, filesystemOf, volumeStats } from "./volume-stats.ts";

const READINGS = [
  ["capacity_bytes", "Capacity in bytes of the volume", "capacityBytes"],
  ["available_bytes", "Number of available bytes in the volume", "availableBytes"],
  ["used_bytes", "Number of used bytes in the volume", "usedBytes"],
  ["inodes", "Maximum number of inodes in the volume", "inodes"],
  ["inodes_free", "Number of free inodes in the volume", "inodesFree"],
  ["inodes_used", "Number of used inodes in the volume", "inodesUsed"],
] as const satisfies readonly (readonly [string, string, keyof FsStats])[];

export async function volumeMetrics({ config, context, pods }: Serving, disks: DiskUsages): Promise<string> {
  const withClaims = pods
    .list()
    .map(({ pod }) => pod)
    .filter(({ spec }) => (spec?.volumes ?? []).some((one) => one.persistentVolumeClaim ?? one.ephemeral));
  if (withClaims.length === 0) return "";
  const nodeFs = await filesystemOf(config.rootDir, new Date(context.clock.now()).toISOString());
  const families = READINGS.map(([name, help]) => {
    return new MetricFamily(`kubelet_volume_stats_${name}`, "gauge", `[ALPHA] ${help}`);
  });
  // One claim may be used by several pods of the node.
  const seen = new Set<string>();
  for (const pod of withClaims) {
    for (const { pvcRef, ...volume } of await volumeStats({ config, disks, nodeFs }, pod)) {
      if (pvcRef === undefined || seen.has(`${pvcRef.namespace}/${pvcRef.name}`)) continue;
      seen.add(`${pvcRef.namespace}/${pvcRef.name}`);
      const labels = { namespace: pvcRef.namespace, persistentvolumeclaim: pvcRef.name };
      for (const [index, [, , field]] of READINGS.entries()) families[index]?.add(labels, volume[field]);
    }
  }
  return renderFamilies(families);
}
