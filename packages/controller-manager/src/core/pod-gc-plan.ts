/**
 * Pods that nobody else will remove. Pure. Source: kubernetes/pkg/controller/podgc
 */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isPodTerminal } from "./pod-state.ts";

/** A node must have been missing for so long before its pods are orphans: it may just be registering anew. */
export const QUARANTINE_MS = 40_000;
const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";

export interface PodGcView {
  readonly pods: readonly Pod[];
  readonly nodes: ReadonlyMap<string, Node>;
  /** Since when (ms) nodes that pods name have been missing. */
  readonly missingSinceMs: ReadonlyMap<string, number>;
  readonly terminatedThreshold: number;
  readonly nowMs: number;
}

export interface PodRemoval {
  readonly pod: Pod;
  /** Set where the pod is to be marked Failed with DisruptionTarget first. */
  readonly message?: string;
  readonly why: "terminated" | "orphaned" | "terminating-out-of-service" | "unscheduled-terminating";
}

export function planPodGc(view: PodGcView): readonly PodRemoval[] {
  return [...terminated(view), ...outOfService(view), ...orphaned(view), ...unscheduled(view)];
}

/** Ended pods beyond the threshold, the evicted and the oldest first. */
function terminated({ pods, terminatedThreshold }: PodGcView): readonly PodRemoval[] {
  if (terminatedThreshold <= 0) return [];
  const ended = pods.filter((pod) => isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined);
  const isEvicted = (pod: Pod) => Number(pod.status?.phase === "Failed" && pod.status.reason === "Evicted");
  const created = (pod: Pod) => pod.metadata.creationTimestamp ?? "";
  return ended
    .toSorted((a, b) => isEvicted(b) - isEvicted(a) || (created(a) < created(b) ? -1 : 1))
    .slice(0, Math.max(0, ended.length - terminatedThreshold))
    .map((pod) => ({ pod, why: "terminated" }));
}

/** Pods being deleted on a NotReady node that an operator declared out of service. Source: KEP-2268 */
function outOfService({ pods, nodes }: PodGcView): readonly PodRemoval[] {
  return pods
    .filter((pod) => {
      const node = nodes.get(pod.spec?.nodeName ?? "");
      if (pod.metadata.deletionTimestamp === undefined || node === undefined) return false;
      const ready = node.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
      return !ready && (node.spec?.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE);
    })
    .map((pod) => ({ pod, why: "terminating-out-of-service" }));
}

function orphaned({ pods, nodes, missingSinceMs, nowMs }: PodGcView): readonly PodRemoval[] {
  return pods
    .filter((pod) => {
      const node = pod.spec?.nodeName ?? "";
      if (node === "" || nodes.has(node)) return false;
      const sinceMs = missingSinceMs.get(node);
      return sinceMs !== undefined && nowMs - sinceMs >= QUARANTINE_MS;
    })
    .map((pod) => ({ pod, message: "PodGC: node no longer exists", why: "orphaned" }));
}

function unscheduled({ pods }: PodGcView): readonly PodRemoval[] {
  return pods
    .filter((pod) => pod.metadata.deletionTimestamp !== undefined && (pod.spec?.nodeName ?? "") === "")
    .map((pod) => ({ pod, why: "unscheduled-terminating" }));
}
