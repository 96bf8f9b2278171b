/**
 * The cluster as a scheduling cycle sees it, kept current from watch events: nodes with the sums over their pods, and the
 * pods grouped by what selectors and affinity terms look at.
 *
 * Pods that were placed but whose binding the API has not shown yet are "assumed": they count on their node until the
 * informer shows them bound, until forgotten, or until the assumption is too old.
 *
 *   assume(pod, node) --binding--> finishBinding --informer shows pod on node--> confirmed
 *                        |              +--nothing shown for assumeExpiryMs--> expired, gone
 *                        +--failed: forget(pod)--> gone
 *
 * There is no copy for the cycle: a cycle is synchronous, so nothing changes under it. It must not await.
 * Source: pkg/scheduler/backend/cache
 */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { AffinityTerm } from "./affinity-term.ts";
import { NodeInfo } from "./node-info.ts";
import { isTerminal, type PodInfo, podId, podInfoOf } from "./pod-info.ts";
import { TopologyCounts } from "./topology-counts.ts";
import { interleaveZones, zoneOf } from "./zones.ts";

/** Pods that every label selector judges alike. */
export interface PodGroup {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly terminating: boolean;
  readonly counts: TopologyCounts;
}
/** Pods that carry the same affinity term. */
export interface TermGroup {
  readonly term: AffinityTerm;
  /** 1 for required terms. */
  readonly weight: number;
  readonly counts: TopologyCounts;
}
export const TermKind = {
  RequiredAffinity: "requiredAffinity",
  RequiredAntiAffinity: "requiredAntiAffinity",
  PreferredAffinity: "preferredAffinity",
  PreferredAntiAffinity: "preferredAntiAffinity",
} as const;
export type TermKind = (typeof TermKind)[keyof typeof TermKind];

/** What a cycle is judged on. Valid until the cache changes, so a cycle must not await. */
export interface Snapshot {
  /** Nodes in an order that changes zone at every step. */
  readonly nodes: readonly NodeInfo[];
  get(name: string): NodeInfo | undefined;
  readonly podGroups: ReadonlyMap<string, PodGroup>;
  terms(kind: TermKind): ReadonlyMap<string, TermGroup>;
  /** On how many nodes an image is. */
  nodesWithImage(image: string): number;
}

interface Assumption {
  readonly info: PodInfo;
  /** Undefined while the binding is under way. */
  expiresAtMs: number | undefined;
}

export class SchedulerCache {
  readonly #nodes = new Map<string, NodeInfo>();
  /** Pod id to the pod and the node it counts on. */
  readonly #placed = new Map<string, { readonly info: PodInfo; readonly node: NodeInfo }>();
  readonly #assumed = new Map<string, Assumption>();
  readonly #groups = new Map<string, PodGroup>();
  readonly #terms: Readonly<Record<TermKind, Map<string, TermGroup>>> = {
    requiredAffinity: new Map(),
    requiredAntiAffinity: new Map(),
    preferredAffinity: new Map(),
    preferredAntiAffinity: new Map(),
  };
  readonly #imageNodes = new Map<string, number>();
  #list: readonly NodeInfo[] | undefined;
  readonly #snapshot: Snapshot;

  constructor() {
    const nodeList = () => this.#nodeList();
    this.#snapshot = {
      get nodes() {
        return nodeList();
      },
      get: (name) => {
        const info = this.#nodes.get(name);
        return info?.node === undefined ? undefined : info;
      },
      podGroups: this.#groups,
      terms: (kind) => this.#terms[kind],
      nodesWithImage: (image) => this.#imageNodes.get(image) ?? 0,
    };
  }

  snapshot(): Snapshot {
    return this.#snapshot;
  }

  get sizes(): { readonly nodes: number; readonly pods: number; readonly assumed: number } {
    return { nodes: this.#nodeList().length, pods: this.#placed.size, assumed: this.#assumed.size };
  }

  setNode(node: Node): void {
    const info = this.#info(node.metadata.name ?? "");
    const isNew = info.node === undefined;
    const zone = zoneOf(info.labels);
    const labelsChanged = !isNew && !sameLabels(info.labels, node.metadata.labels ?? {});
    this.#countImages(info, -1);
    // Sums by topology value would not find what they added under the old labels.
    if (isNew || labelsChanged) this.#forgetSums(info);
    info.setNode(node);
    this.#countImages(info, 1);
    if (isNew || zone !== zoneOf(info.labels)) this.#list = undefined;
  }

  /** Pods may be reported gone after their node; the entry lives until the last is. */
  removeNode(name: string): void {
    const info = this.#nodes.get(name);
    if (info === undefined) return;
    this.#countImages(info, -1);
    this.#forgetSums(info);
    info.setNode(undefined);
    this.#dropIfEmpty(info);
    this.#list = undefined;
  }

  /** A bound pod as the API shows it: confirms an assumption, moves it if it was bound elsewhere. */
  setPod(pod: Pod): void {
    const id = podId(pod);
    this.#assumed.delete(id);
    this.#remove(id);
    if (!isTerminal(pod)) this.#place(podInfoOf(pod), pod.spec?.nodeName ?? "");
  }

  removePod(pod: Pod): void {
    this.#assumed.delete(podId(pod));
    this.#remove(podId(pod));
  }

  /** Counts `pod` on `nodeName` before the API knows. */
  assume(pod: Pod, nodeName: string): void {
    const info = podInfoOf(pod);
    this.#remove(info.id);
    this.#assumed.set(info.id, { info, expiresAtMs: undefined });
    this.#place(info, nodeName);
  }

  /** The API took the binding: the informer must show it before `expiresAtMs`. */
  finishBinding(pod: Pod, expiresAtMs: number): void {
    const assumption = this.#assumed.get(podId(pod));
    if (assumption !== undefined) assumption.expiresAtMs = expiresAtMs;
  }

  /** Takes an assumption back; a pod that was confirmed meanwhile stays. */
  forget(pod: Pod): void {
    if (this.#assumed.delete(podId(pod))) this.#remove(podId(pod));
  }

  /** Forgets bound pods that no watch event ever confirmed; returns them. */
  expire(nowMs: number): Pod[] {
    const expired: Pod[] = [];
    for (const { info, expiresAtMs } of this.#assumed.values()) {
      if (expiresAtMs !== undefined && expiresAtMs <= nowMs) expired.push(info.pod);
    }
    for (const pod of expired) this.forget(pod);
    return expired;
  }

  isAssumed(pod: Pod): boolean {
    return this.#assumed.has(podId(pod));
  }

  #nodeList(): readonly NodeInfo[] {
    this.#list ??= interleaveZones([...this.#nodes.values()].filter((info) => info.node !== undefined));
    return this.#list;
  }

  #place(info: PodInfo, nodeName: string): void {
    const node = this.#info(nodeName);
    node.addPod(info);
    this.#placed.set(info.id, { info, node });
    this.#index(info, node, 1);
  }

  #remove(id: string): void {
    const placed = this.#placed.get(id);
    if (placed === undefined) return;
    this.#placed.delete(id);
    this.#index(placed.info, placed.node, -1);
    placed.node.removePod(placed.info);
    this.#dropIfEmpty(placed.node);
  }

  #index(info: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    const { groupKey } = info;
    let group = this.#groups.get(groupKey);
    if (group === undefined) {
      const { namespace, labels, terminating } = info;
      group = { namespace, labels, terminating, counts: new TopologyCounts() };
      this.#groups.set(groupKey, group);
    }
    group.counts.add(node, sign);
    if (group.counts.isEmpty) this.#groups.delete(groupKey);
    if (!info.hasAffinity) return;
    for (const term of info.requiredAffinity) countTerm(this.#terms.requiredAffinity, { term, weight: 1 }, node, sign);
    for (const term of info.requiredAntiAffinity)
      countTerm(this.#terms.requiredAntiAffinity, { term, weight: 1 }, node, sign);
    for (const weighted of info.preferredAffinity) countTerm(this.#terms.preferredAffinity, weighted, node, sign);
    for (const weighted of info.preferredAntiAffinity)
      countTerm(this.#terms.preferredAntiAffinity, weighted, node, sign);
  }

  #forgetSums(info: NodeInfo): void {
    if (info.pods.size === 0) return;
    for (const group of this.#groups.values()) group.counts.forgetSums();
    for (const groups of Object.values(this.#terms)) {
      for (const group of groups.values()) group.counts.forgetSums();
    }
  }

  #countImages(info: NodeInfo, sign: 1 | -1): void {
    for (const name of info.images.keys()) {
      const count = (this.#imageNodes.get(name) ?? 0) + sign;
      if (count > 0) this.#imageNodes.set(name, count);
      else this.#imageNodes.delete(name);
    }
  }

  #info(name: string): NodeInfo {
    let info = this.#nodes.get(name);
    if (info === undefined) {
      info = new NodeInfo(name);
      this.#nodes.set(name, info);
    }
    return info;
  }

  #dropIfEmpty(info: NodeInfo): void {
    if (info.node === undefined && info.pods.size === 0) this.#nodes.delete(info.name);
  }
}

function countTerm(
  groups: Map<string, TermGroup>,
  { term, weight }: { readonly term: AffinityTerm; readonly weight: number },
  node: NodeInfo,
  sign: 1 | -1,
): void {
  const key = `${weight} ${term.key}`;
  let group = groups.get(key);
  if (group === undefined) {
    group = { term, weight, counts: new TopologyCounts() };
    groups.set(key, group);
  }
  group.counts.add(node, sign);
  if (group.counts.isEmpty) groups.delete(key);
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
