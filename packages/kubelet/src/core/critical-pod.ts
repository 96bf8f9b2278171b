/** Pods that the node must not do without. Pure. Source: pkg/kubelet/types/pod_update.go (IsCriticalPod, Preemptable) */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

/** scheduling.SystemCriticalPriority */
export const SYSTEM_CRITICAL_PRIORITY = 2_000_000_000;

export function isStaticPod(pod: Pod): boolean {
  const { annotations } = pod.metadata;
  const source = annotations?.["kubernetes.io/config.source"];
  return (source !== undefined && source !== "api") || annotations?.["kubernetes.io/config.mirror"] !== undefined;
}

/** Never evicted, and admitted under pressure. */
export function isCriticalPod(pod: Pod): boolean {
  return isStaticPod(pod) || (pod.spec?.priority ?? 0) >= SYSTEM_CRITICAL_PRIORITY;
}

/** Whether `preemptor` may take the place of `victim` on this node. */
export function mayPreempt(preemptor: Pod, victim: Pod): boolean {
  if (isCriticalPod(preemptor) && !isCriticalPod(victim)) return true;
  const [mine, theirs] = [preemptor.spec?.priority, victim.spec?.priority];
  return mine !== undefined && theirs !== undefined && mine > theirs;
}
