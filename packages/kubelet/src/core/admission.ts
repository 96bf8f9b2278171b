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
import { isStaticPod } from "./critical-pod.ts";

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** How much of a resource is missing for a pod. */
export interface Shortage {
  readonly resource: string;
  readonly requested: number;
  readonly used: number;
  readonly capacity: number;
}

export interface Judgement {
  readonly shortages: readonly Shortage[];
  /** What no other pod's going would change. */
  readonly refusals: readonly Refusal[];
}

/** `others`: the pods that this node has admitted and that are not over. */
export function refusePod(pod: Pod, node: Node, others: readonly Pod[]): Refusal | undefined {
  const { shortages, refusals } = judgePod(pod, node, others);
  const [first] = shortages;
  return first === undefined ? refusals[0] : outOf(first);
}

/** Everything that speaks against the pod. */
export function judgePod(pod: Pod, node: Node, others: readonly Pod[]): Judgement {
  const never = refuseForGood(pod);
  if (never !== undefined) return { shortages: [], refusals: [never] };
  return { shortages: shortagesOf(pod, node, others), refusals: refuseByPlacement(pod, node, others) };
}

/** What making room can't help. Source: pkg/kubelet/lifecycle/predicate.go */
function refuseForGood(pod: Pod): Refusal | undefined {
  const wanted = pod.metadata.labels?.["kubernetes.io/os"];
  if (wanted !== undefined && wanted !== "linux") {
    return {
      reason: "PodOSSelectorNodeLabelDoesNotMatch",
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    };
  }
  if (pod.spec?.os !== undefined && pod.spec.os.name !== "linux") {
    return { reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS" };
  }
  return undefined;
}

const FIRST_RESOURCES = ["cpu", "memory", "ephemeral-storage"];

function rankOf(resource: string): number {
  const index = FIRST_RESOURCES.indexOf(resource);
  return index < 0 ? FIRST_RESOURCES.length : index;
}

/** Not the node's own: "example.com/gpu". Source: v1helper.IsExtendedResourceName */
function isExtended(resource: string): boolean {
  return resource.includes("/") && !resource.includes("kubernetes.io/") && !resource.startsWith("requests.");
}

function shortagesOf(pod: Pod, node: Node, others: readonly Pod[]): Shortage[] {
  const allocatable = amountsOf(node.status?.allocatable);
  const maxPods = allocatable.get("pods") ?? Number.POSITIVE_INFINITY;
  const used = new Map<string, number>();
  for (const other of others) addAmounts(used, podRequests(other));
  const list: Shortage[] = [];
  if (others.length + 1 > maxPods) {
    list.push({ resource: "pods", requested: 1, used: others.length, capacity: maxPods });
  }
  const requests = [...podRequests(pod)].toSorted(([a], [b]) => rankOf(a) - rankOf(b));
  for (const [resource, requested] of requests) {
    // Resources of the cluster as a whole are unknown to nodes.
    if (isExtended(resource) && !allocatable.has(resource)) continue;
    const capacity = allocatable.get(resource) ?? 0;
    const inUse = used.get(resource) ?? 0;
    if (requested > 0 && requested + inUse > capacity) list.push({ resource, requested, used: inUse, capacity });
  }
  return list;
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
  const [shortage] = shortagesOf(wanted, node, others);
  return shortage === undefined ? undefined : { reason: "Deferred", message: outOf(shortage).message };
}

function outOf({ resource, requested, used, capacity }: Shortage): Refusal {
  const numbers = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return { reason: `OutOf${resource}`, message: `Node didn't have enough resource: ${resource}, ${numbers}` };
}

function predicate(name: string, why: string): Refusal {
  return { reason: name, message: `Predicate ${name} failed: ${why}` };
}

function refuseByPlacement(pod: Pod, node: Node, others: readonly Pod[]): Refusal[] {
  const list: Refusal[] = [];
  if (!matchesRequiredNodeAffinity(pod, node)) {
    list.push(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
  }
  const wanted = hostPortsOf(pod);
  const taken = others.flatMap((other) => hostPortsOf(other));
  if (wanted.some((port) => taken.some((other) => hostPortsConflict(port, other)))) {
    list.push(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
  }
  const taint = findUntoleratedTaint(node.spec?.taints ?? [], pod.spec?.tolerations ?? [], ["NoExecute"]);
  if (taint !== undefined && !isStaticPod(pod)) {
    list.push(predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"));
  }
  return list;
}
