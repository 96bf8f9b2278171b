/**
 * Whether and when a pod must leave a node that has NoExecute taints. Pure.
 * Source: kubernetes/pkg/controller/tainteviction
 */
import type { Pod, Taint } from "@knarr/api/generated/types/core-v1.ts";
import { toleratesTaint } from "@knarr/scheduling/taints.ts";

export type EvictionPlan =
  /** It may stay. */
  | { readonly kind: "stay" }
  /** It must go at this time, perhaps past. */
  | { readonly kind: "evict"; readonly atMs: number };

/**
 * `firstSeenMs` is when the pod was first seen on the tainted node: it stands in for what the objects don't say.
 *
 * Differs from upstream: tolerationSeconds count from the taint's timeAdded (or the pod's start, if later) and not from
 * when this process first saw both, because otherwise a restart would give every pod its time again.
 */
export function planEviction(pod: Pod, taints: readonly Taint[], firstSeenMs: number): EvictionPlan {
  const effective = taints.filter(({ effect }) => effect === "NoExecute");
  if (effective.length === 0) return { kind: "stay" };
  const tolerations = pod.spec?.tolerations ?? [];
  let atMs = Number.POSITIVE_INFINITY;
  for (const taint of effective) {
    // Source: GetMatchingTolerations in component-helpers: the first that fits counts, not the shortest.
    const matching = tolerations.find((toleration) => toleratesTaint(toleration, taint));
    if (matching === undefined) return { kind: "evict", atMs: firstSeenMs };
    const seconds = matching.tolerationSeconds ?? Number.POSITIVE_INFINITY;
    atMs = Math.min(atMs, startMs(pod, taint, firstSeenMs) + Math.max(0, seconds) * 1000);
  }
  return atMs === Number.POSITIVE_INFINITY ? { kind: "stay" } : { kind: "evict", atMs };
}

function startMs(pod: Pod, taint: Taint, firstSeenMs: number): number {
  const added = Date.parse(taint.timeAdded ?? "");
  const started = Date.parse(pod.status?.startTime ?? "");
  if (Number.isNaN(added)) return firstSeenMs;
  return Math.max(added, Number.isNaN(started) ? firstSeenMs : started);
}
