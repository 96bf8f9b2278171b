/**
 * Why no node took a pod, in upstream's words. Source: pkg/scheduler/framework/types.go (FitError)
 *
 * Example: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."
 */
import { Code, type PluginStatus } from "./framework.ts";

export interface Diagnosis {
  readonly totalNodes: number;
  /** Node name to the first refusal on it. */
  readonly refusals: ReadonlyMap<string, PluginStatus>;
  /** A PreFilter refusal for the pod as a whole. */
  readonly preFilterMessage: string;
  readonly postFilterMessage: string;
}

/** Reasons are counted over nodes and sorted by their text, count in front. */
export function renderFitError(diagnosis: Diagnosis): string {
  const counts = new Map<string, number>();
  for (const status of diagnosis.refusals.values()) {
    for (const reason of status.reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const reasons = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  const head = `0/${diagnosis.totalNodes} nodes are available`;
  let text = diagnosis.totalNodes === 0 && diagnosis.refusals.size === 0 ? "no nodes available to schedule pods" : head;
  if (diagnosis.preFilterMessage !== "") text += `: ${diagnosis.preFilterMessage}.`;
  else if (reasons.length > 0) text += `: ${reasons.join(", ")}.`;
  if (diagnosis.postFilterMessage !== "") text += ` ${diagnosis.postFilterMessage}`;
  return text;
}

/** The plugins whose refusals decided, for the queue's retry hints. */
export function refusingPlugins(diagnosis: Diagnosis): ReadonlySet<string> {
  const plugins = new Set<string>();
  for (const status of diagnosis.refusals.values()) {
    if (status.code !== Code.Error) plugins.add(status.plugin);
  }
  return plugins;
}
