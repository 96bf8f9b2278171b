/**
 * Why no node took a pod, in upstream's words. Source: pkg/scheduler/framework/types.go (FitError)
 *
 * Example: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. no new claims to deallocate,
 * preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
 */
import type { PluginStatus } from "./framework.ts";

export interface Diagnosis {
  readonly totalNodes: number;
  /** Node name to the first refusal on it. */
  readonly refusals: ReadonlyMap<string, PluginStatus>;
  /** What holds for the nodes that are not in `refusals`. */
  readonly absent: PluginStatus | undefined;
  /** The plugins whose refusals decided, for the queue's retry hints. */
  readonly plugins: ReadonlySet<string>;
  /** A PreFilter refusal for the pod as a whole. */
  readonly preFilterMessage: string;
  readonly postFilterMessage: string;
}

/** Reasons are counted over nodes and sorted by their text, count in front. */
export function renderFitError(diagnosis: Omit<Diagnosis, "plugins">): string {
  const { totalNodes, refusals, absent, preFilterMessage, postFilterMessage } = diagnosis;
  if (totalNodes === 0) return "no nodes available to schedule pods";
  let text = `0/${totalNodes} nodes are available:`;
  if (preFilterMessage !== "") text += ` ${preFilterMessage}.`;
  else {
    const counts = new Map<string, number>();
    const count = (reason: string, by: number) => counts.set(reason, (counts.get(reason) ?? 0) + by);
    for (const status of refusals.values()) for (const reason of status.reasons) count(reason, 1);
    const rest = totalNodes - refusals.size;
    if (rest > 0) for (const reason of absent?.reasons ?? []) count(reason, rest);
    const reasons = [...counts].map(([reason, times]) => `${times} ${reason}`).sort();
    if (reasons.length > 0) text += ` ${reasons.join(", ")}.`;
  }
  return postFilterMessage === "" ? text : `${text} ${postFilterMessage}`;
}
