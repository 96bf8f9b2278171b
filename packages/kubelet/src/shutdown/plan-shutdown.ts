/**
 * In which order pods end when the machine shuts down, and how long each may take. Pure.
 *
 *   --config: shutdownGracePeriod 30s, shutdownGracePeriodCriticalPods 10s   ->  20 s for all others, then 10 s for critical ones
 *   --config: shutdownGracePeriodByPodPriority                               ->  as listed, the lowest priority first
 *
 * Source: KEP-2000, KEP-2712, pkg/kubelet/nodeshutdown
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { SYSTEM_CRITICAL_PRIORITY } from "../core/critical-pod.ts";

export interface PriorityPeriod {
  readonly priority: number;
  readonly shutdownGracePeriodSeconds: number;
}

/** The periods of a configuration, the lowest priority first; empty: no graceful shutdown. */
export function shutdownPeriods(
  totalMs: number,
  criticalMs: number,
  byPriority: readonly PriorityPeriod[],
): PriorityPeriod[] {
  if (byPriority.length > 0) return byPriority.toSorted((a, b) => a.priority - b.priority);
  if (totalMs === 0) return [];
  return [
    { priority: 0, shutdownGracePeriodSeconds: Math.floor((totalMs - criticalMs) / 1000) },
    { priority: SYSTEM_CRITICAL_PRIORITY, shutdownGracePeriodSeconds: Math.floor(criticalMs / 1000) },
  ];
}

export interface ShutdownStep {
  readonly seconds: number;
  readonly pods: readonly { readonly pod: Pod; readonly graceSeconds: number }[];
}

/** Who ends together. A pod belongs to the highest period that is not above its priority. */
export function planShutdown(pods: readonly Pod[], periods: readonly PriorityPeriod[]): ShutdownStep[] {
  const indexOf = (pod: Pod) =>
    Math.max(
      0,
      periods.findLastIndex(({ priority }) => priority <= (pod.spec?.priority ?? 0)),
    );
  return periods.flatMap(({ shutdownGracePeriodSeconds: seconds }, index) => {
    const members = pods.filter((pod) => indexOf(pod) === index);
    if (members.length === 0) return [];
    const graceOf = (pod: Pod) => Math.min(seconds, pod.spec?.terminationGracePeriodSeconds ?? seconds);
    return [{ seconds, pods: members.map((pod) => ({ pod, graceSeconds: graceOf(pod) })) }];
  });
}

export function totalSeconds(periods: readonly PriorityPeriod[]): number {
  return periods.reduce((sum, period) => sum + period.shutdownGracePeriodSeconds, 0);
}
