/**
 * Whether this node takes a pod that was bound to it: the checks that hold whatever the scheduler saw. Pure.
 * Reasons and wording are upstream's, since people and tools read them in pod statuses.
 */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { hostPortsConflict, hostPortsOf } from "@knarr/scheduling/host-ports.ts";
import { matchesRequiredNodeAffinity } from "@knarr/scheduling/node-affinity.ts";
import { podRequests } from "@knarr/scheduling/pod-requests.ts";
import { addAmounts, amountsOf } from "@knarr/scheduling/resource-list.ts";
import { findUntoleratedTaint } from "@knarr/scheduling/taints.ts";

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** `others`: the pods that this node has admitted and that are not over. */
export function refusePod(pod: Pod, node: Node, others: readonly Pod[]): Refusal | undefined {
  return refuseByResources(pod, node, others) ?? refuseByPlacement(pod, node, others);
}

function refuseByResources(pod: Pod, node: Node, others: readonly Pod[]): Refusal | undefined {
  const allocatable = amountsOf(node.status?.allocatable);
  const maxPods = allocatable.get("pods") ?? Number.POSITIVE_INFINITY;
  if (others.length + 1 > maxPods) return outOf("pods", 1, others.length, maxPods);
  const used = new Map<string, number>();
  for (const other of others) addAmounts(used, podRequests(other));
  for (const [name, requested] of podRequests(pod)) {
    const capacity = allocatable.get(name) ?? 0;
    const inUse = used.get(name) ?? 0;
    if (requested > 0 && requested + inUse > capacity) return outOf(name, requested, inUse, capacity);
  }
  return undefined;
}

/** Why a running pod can't have the resources that it asks for now. Source: KEP-1287 */
export function refuseResize(
  pod: Pod,
  node: Node,
  others: readonly Pod[],
): { reason: "Infeasible" | "Deferred"; message: string } | undefined {
  // What its status says it has does not count: only what it asks for.
  const { status: _, ...wanted } = pod;
  const requests = podRequests(wanted);
  const allocatable = amountsOf(node.status?.allocatable);
  for (const name of ["memory", "cpu"]) {
    const [requested, capacity] = [requests.get(name) ?? 0, allocatable.get(name) ?? 0];
    if (requested <= capacity) continue;
    const message = `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`;
    return { reason: "Infeasible", message };
  }
  const refused = refuseByResources(wanted, node, others);
  return refused === undefined ? undefined : { reason: "Deferred", message: refused.message };
}

function outOf(resource: string, requested: number, used: number, capacity: number): Refusal {
  const numbers = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return { reason: `OutOf${resource}`, message: `Node didn't have enough resource: ${resource}, ${numbers}` };
}

function predicate(name: string, why: string): Refusal {
  return { reason: name, message: `Predicate ${name} failed: ${why}` };
}

function refuseByPlacement(pod: Pod, node: Node, others: readonly Pod[]): Refusal | undefined {
  if (!matchesRequiredNodeAffinity(pod, node)) {
    return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  }
  const wanted = hostPortsOf(pod);
  const taken = others.flatMap((other) => hostPortsOf(other));
  if (wanted.some((port) => taken.some((other) => hostPortsConflict(port, other)))) {
    return predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  }
  const taint = findUntoleratedTaint(node.spec?.taints ?? [], pod.spec?.tolerations ?? [], ["NoExecute"]);
  if (taint !== undefined) {
    return predicate("TaintToleration", `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`);
  }
  return undefined;
}
