/**
 * Pods that use more of the node's disk than they were given: a volume's sizeLimit, the limits of a pod and of a container.
 * Pure. Source: pkg/kubelet/eviction/eviction_manager.go (localStorageEviction)
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { canonicalQuantity, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { binaryQuantity } from "./messages.ts";
import { diskUse, EVERY_PART, lastingContainers, type PodUsage } from "./pod-usage.ts";

const LIMIT = "ephemeral-storage";

const limitOf = (limits: Readonly<Record<string, string | number>> | undefined): number | undefined =>
  limits?.[LIMIT] === undefined ? undefined : quantityValue(String(limits[LIMIT]));

/** Whether anything of the pod is limited: only such pods are measured in between. */
export function hasStorageLimit(pod: Pod): boolean {
  if (pod.spec?.volumes?.some((v) => v.emptyDir?.sizeLimit !== undefined) === true) return true;
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return all.some((c) => c.resources?.limits?.[LIMIT] !== undefined);
}

/**
 * The message to evict the pod with, or undefined while it keeps within its limits. On a filesystem of the images' own,
 * writable layers do not count against a container.
 */
export function storageExcess(pod: Pod, usage: PodUsage, dedicatedImageFs: boolean): string | undefined {
  return emptyDirExcess(pod, usage) ?? podExcess(pod, usage) ?? containerExcess(pod, usage, dedicatedImageFs);
}

function emptyDirExcess(pod: Pod, usage: PodUsage): string | undefined {
  for (const volume of pod.spec?.volumes ?? []) {
    const size = volume.emptyDir?.sizeLimit;
    const used = usage.volumes.get(volume.name);
    if (size === undefined || used === undefined) continue;
    const limit = quantityValue(String(size));
    if (limit > 0 && used.bytes > limit) {
      return `Usage of EmptyDir volume "${volume.name}" exceeds the limit "${canonicalQuantity(size)}". `;
    }
  }
  return undefined;
}

/** The pod's limit is the sum of its containers', and there is one as soon as one of them has one. */
function podExcess(pod: Pod, usage: PodUsage): string | undefined {
  const lasting = lastingContainers(pod).map((c) => limitOf(c.resources?.limits));
  const passing = (pod.spec?.initContainers ?? []).map((c) => limitOf(c.resources?.limits) ?? 0);
  const sum = lasting.reduce<number>((total, limit) => total + (limit ?? 0), 0);
  const limit = Math.max(sum, ...passing);
  if (limit === 0) return undefined;
  if (diskUse(pod, usage, EVERY_PART).bytes <= limit) return undefined;
  return `Pod ephemeral local storage usage exceeds the total limit of containers ${binaryQuantity(limit)}. `;
}

function containerExcess(pod: Pod, usage: PodUsage, dedicatedImageFs: boolean): string | undefined {
  for (const container of pod.spec?.containers ?? []) {
    const limit = limitOf(container.resources?.limits);
    const used = usage.containers.find((c) => c.name === container.name);
    if (limit === undefined || used === undefined) continue;
    const layer = dedicatedImageFs ? 0 : (used.rootfs?.bytes ?? 0);
    if (limit > 0 && layer + (used.logs?.bytes ?? 0) > limit) {
      const text = canonicalQuantity(container.resources?.limits?.[LIMIT] ?? "0");
      return `Container ${container.name} exceeded its local ephemeral storage limit "${text}". `;
    }
  }
  return undefined;
}
