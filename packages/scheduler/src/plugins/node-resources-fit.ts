/**
 * NodeResourcesFit: a pod fits where its requests are free; emptier nodes score higher (LeastAllocated).
 * Source: plugins/noderesources/fit.go, least_allocated.go
 */
import { podNonZeroRequests, podRequests } from "@knarr/scheduling/pod-requests.ts";
import { amountsOf, type ResourceAmounts } from "@knarr/scheduling/resource-list.ts";
import { Code, type FilterPlugin, MAX_NODE_SCORE, type PreFilterPlugin, type ScorePlugin } from "../core/framework.ts";
import type { NodeInfo } from "../core/snapshot.ts";

const name = "NodeResourcesFit";

interface Insufficient {
  readonly reason: string;
  /** Even the empty node would be too small. */
  readonly unresolvable: boolean;
}

/** Everything that `node` lacks for `requests`, pods first, then by name as requested. */
export function insufficientResources(requests: ResourceAmounts, node: NodeInfo): Insufficient[] {
  const lacks: Insufficient[] = [];
  const podsAllowed = node.allocatable.get("pods") ?? 0;
  if (node.podCount + 1 > podsAllowed) lacks.push({ reason: "Too many pods", unresolvable: podsAllowed === 0 });
  for (const [resource, amount] of requests) {
    if (amount === 0) continue;
    const allocatable = node.allocatable.get(resource) ?? 0;
    if (amount <= allocatable - (node.requested.get(resource) ?? 0)) continue;
    lacks.push({ reason: `Insufficient ${resource}`, unresolvable: amount > allocatable });
  }
  return lacks;
}

export const nodeResourcesFit: PreFilterPlugin & FilterPlugin & ScorePlugin = {
  name,
  preFilter(state, pod) {
    state.write(name, podRequests(pod));
    return undefined;
  },
  filter(state, _pod, node) {
    const lacks = insufficientResources(state.read<ResourceAmounts>(name), node);
    if (lacks.length === 0) return undefined;
    const code = lacks.some((lack) => lack.unresolvable) ? Code.UnschedulableAndUnresolvable : Code.Unschedulable;
    return { code, reasons: lacks.map((lack) => lack.reason), plugin: name };
  },
  score(_state, pod, node) {
    const wanted = podNonZeroRequests(pod);
    const used = node.nonZeroRequested;
    const cpu = leastAllocated(used.cpuMillis + wanted.cpuMillis, node.allocatable.get("cpu"));
    const memory = leastAllocated(used.memoryBytes + wanted.memoryBytes, node.allocatable.get("memory"));
    const known = [cpu, memory].filter((score) => score !== undefined);
    return known.length === 0 ? 0 : Math.floor(known.reduce((a, b) => a + b, 0) / known.length);
  },
  worthRetry(pod, event) {
    if (event.resource === "TargetPod") return true;
    if (event.resource === "AssignedPod") return event.action !== "Add";
    if (event.action === "Delete") return false;
    const allocatable = amountsOf(event.node.status?.allocatable);
    for (const [resource, amount] of podRequests(pod)) {
      if (amount > (allocatable.get(resource) ?? 0)) return false;
    }
    return true;
  },
};

function leastAllocated(requested: number, capacity: number | undefined): number | undefined {
  if (capacity === undefined || capacity === 0) return undefined;
  return requested > capacity ? 0 : Math.floor(((capacity - requested) * MAX_NODE_SCORE) / capacity);
}
