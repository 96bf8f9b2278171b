/**
 * The cluster as one scheduling cycle sees it, and the cache that keeps it current.
 *
 * The cache holds, per node, the node and the sums over its pods. Pods that were placed but whose binding the API has
 * not shown yet are "assumed": they count on their node until the informer shows them bound, or until forgotten.
 *
 *   assume(pod, node) -> [binding] -> informer shows pod on node    -> confirmed
 *                                  -> binding failed: forget(pod)   -> gone
 */

import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import { type HostPort, hostPortsOf } from "@knarr/scheduling/host-ports.ts";
import { podNonZeroRequests, podRequests } from "@knarr/scheduling/pod-requests.ts";
import { addAmounts, amountsOf, type ResourceAmounts, subtractAmounts } from "@knarr/scheduling/resource-list.ts";

interface PodEntry {
  readonly pod: Pod;
  readonly requests: ResourceAmounts;
  readonly nonZero: { readonly cpuMillis: number; readonly memoryBytes: number };
  readonly hostPorts: readonly HostPort[];
}

/** One node with the sums over its pods. Plugins read it; only the cache changes it. */
export class NodeInfo {
  readonly name: string;
  #node: Node | undefined;
  #allocatable: ResourceAmounts = new Map();
  #images: ReadonlyMap<string, number> = new Map();
  readonly #pods = new Map<string, PodEntry>();
  readonly #requested = new Map<string, number>();
  #nonZeroCpuMillis = 0;
  #nonZeroMemoryBytes = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Undefined while only pods name the node. */
  get node(): Node | undefined {
    return this.#node;
  }
  /** status.allocatable as amounts, "pods" included. */
  get allocatable(): ResourceAmounts {
    return this.#allocatable;
  }
  /** Sum of the pods' requests. */
  get requested(): ResourceAmounts {
    return this.#requested;
  }
  get nonZeroRequested(): { readonly cpuMillis: number; readonly memoryBytes: number } {
    return { cpuMillis: this.#nonZeroCpuMillis, memoryBytes: this.#nonZeroMemoryBytes };
  }
  get podCount(): number {
    return this.#pods.size;
  }
  /** Image name to bytes. */
  get images(): ReadonlyMap<string, number> {
    return this.#images;
  }

  *pods(): Iterable<Pod> {
    for (const entry of this.#pods.values()) yield entry.pod;
  }
  *hostPorts(): Iterable<HostPort> {
    for (const entry of this.#pods.values()) yield* entry.hostPorts;
  }

  setNode(node: Node | undefined): void {
    this.#node = node;
    this.#allocatable = amountsOf(node?.status?.allocatable);
    this.#images = new Map(
      (node?.status?.images ?? []).flatMap((image) =>
        (image.names ?? []).map((name): [string, number] => [name, image.sizeBytes ?? 0]),
      ),
    );
  }

  addPod(pod: Pod): void {
    this.removePod(pod);
    const entry: PodEntry = {
      pod,
      requests: podRequests(pod),
      nonZero: podNonZeroRequests(pod),
      hostPorts: hostPortsOf(pod),
    };
    this.#pods.set(podId(pod), entry);
    addAmounts(this.#requested, entry.requests);
    this.#nonZeroCpuMillis += entry.nonZero.cpuMillis;
    this.#nonZeroMemoryBytes += entry.nonZero.memoryBytes;
  }

  removePod(pod: Pod): void {
    const entry = this.#pods.get(podId(pod));
    if (entry === undefined) return;
    this.#pods.delete(podId(pod));
    subtractAmounts(this.#requested, entry.requests);
    this.#nonZeroCpuMillis -= entry.nonZero.cpuMillis;
    this.#nonZeroMemoryBytes -= entry.nonZero.memoryBytes;
  }
}

/** A pod of the same name may be another pod: the uid is its identity. */
export function podId(pod: Pod): string {
  return pod.metadata.uid ?? keyString(keyOf(pod));
}

/** What a cycle is judged on. Valid until the cache changes, so a cycle must not await. */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[];
  get(name: string): NodeInfo | undefined;
}

/** Pods that have ended hold nothing on their node. */
export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export class SchedulerCache {
  readonly #nodes = new Map<string, NodeInfo>();
  /** Pod id to the node it counts on. */
  readonly #placed = new Map<string, string>();
  readonly #assumed = new Map<string, Pod>();
  #list: readonly NodeInfo[] | undefined;

  snapshot(): Snapshot {
    this.#list ??= [...this.#nodes.values()].filter((info) => info.node !== undefined);
    return { nodes: this.#list, get: (name) => this.#nodes.get(name) };
  }

  setNode(node: Node): void {
    this.#info(node.metadata.name ?? "").setNode(node);
    this.#list = undefined;
  }

  /** Pods may be reported gone after their node; the entry lives until the last is. */
  removeNode(name: string): void {
    this.#nodes.get(name)?.setNode(undefined);
    this.#dropIfEmpty(name);
    this.#list = undefined;
  }

  /** A bound pod as the API shows it: confirms an assumption, moves it if it was bound elsewhere. */
  setPod(pod: Pod): void {
    this.#remove(pod);
    this.#assumed.delete(podId(pod));
    if (isTerminal(pod)) return;
    this.#place(pod, pod.spec?.nodeName ?? "");
  }

  removePod(pod: Pod): void {
    this.#assumed.delete(podId(pod));
    this.#remove(pod);
  }

  /** Counts `pod` on `nodeName` before the API knows. */
  assume(pod: Pod, nodeName: string): void {
    this.#remove(pod);
    this.#assumed.set(podId(pod), pod);
    this.#place(pod, nodeName);
  }

  /** Takes an assumption back; a pod that was confirmed meanwhile stays. */
  forget(pod: Pod): void {
    if (this.#assumed.delete(podId(pod))) this.#remove(pod);
  }

  isAssumed(pod: Pod): boolean {
    return this.#assumed.has(podId(pod));
  }
  get assumedCount(): number {
    return this.#assumed.size;
  }

  #place(pod: Pod, nodeName: string): void {
    this.#info(nodeName).addPod(pod);
    this.#placed.set(podId(pod), nodeName);
  }
  #remove(pod: Pod): void {
    const name = this.#placed.get(podId(pod));
    if (name === undefined) return;
    this.#placed.delete(podId(pod));
    this.#nodes.get(name)?.removePod(pod);
    this.#dropIfEmpty(name);
  }
  #info(name: string): NodeInfo {
    let info = this.#nodes.get(name);
    if (info === undefined) {
      info = new NodeInfo(name);
      this.#nodes.set(name, info);
    }
    return info;
  }
  #dropIfEmpty(name: string): void {
    const info = this.#nodes.get(name);
    if (info !== undefined && info.node === undefined && info.podCount === 0) this.#nodes.delete(name);
  }
}
