/**
 * InterPodAffinity: required terms, the pod's own and those of the pods that are there already, refuse; preferred ones score.
 *
 * What is counted, per topology value (zone a, host n1, ...):
 *   existing   placed pods whose required anti-affinity means this pod
 *   affinity   placed pods that every required affinity term of this pod means
 *   anti       placed pods that a required anti-affinity term of this pod means
 * The cache keeps placed pods grouped by labels and by term, so that a cycle asks each group once and not each pod.
 * Source: plugins/interpodaffinity
 */
import type { Labels } from "@knarr/apimachinery/label-selector.ts";
import { type AffinityTerm, termMatches } from "../core/affinity-term.ts";
import { type PodGroup, type Snapshot, TermKind } from "../core/cache.ts";
import {
  type CloneableState,
  type CycleState,
  MAX_NODE_SCORE,
  type Plugin,
  skip,
  unresolvable,
  unschedulable,
} from "../core/framework.ts";
import type { NodeInfo } from "../core/node-info.ts";
import { type PodInfo, podInfoOf } from "../core/pod-info.ts";
import { namespaceLabels, type PluginFactory } from "./plugin-handle.ts";
import { TopologySums } from "./topology-sums.ts";

const name = "InterPodAffinity";
const byExisting = unschedulable(name, "node(s) didn't satisfy existing pods anti-affinity rules");
const byAffinity = unresolvable(name, "node(s) didn't match pod affinity rules");
const byAntiAffinity = unschedulable(name, "node(s) didn't match pod anti-affinity rules");

type NamespaceLabels = (namespace: string) => Labels | undefined;

class FilterState implements CloneableState {
  readonly existing: TopologySums;
  readonly affinity: TopologySums;
  readonly anti: TopologySums;

  constructor(existing: TopologySums, affinity: TopologySums, anti: TopologySums) {
    this.existing = existing;
    this.affinity = affinity;
    this.anti = anti;
  }
  cloneState(): FilterState {
    return new FilterState(this.existing.clone(), this.affinity.clone(), this.anti.clone());
  }
}

export const interPodAffinity: PluginFactory = (args, handle): Plugin => {
  const labelsOf = namespaceLabels(handle);
  const hardWeight = args.hardPodAffinityWeight as number;
  const ignoreExisting = args.ignorePreferredTermsOfExistingPods === true;
  const scoreKey = `${name}/score`;

  const preFilterState = (pod: PodInfo, snapshot: Snapshot): FilterState | undefined => {
    const existing = new TopologySums();
    for (const { term, counts } of snapshot.terms(TermKind.RequiredAntiAffinity).values()) {
      if (means(term, pod, labelsOf)) existing.include(term.topologyKey, counts.byValue(term.topologyKey));
    }
    if (existing.isEmpty && pod.requiredAffinity.length === 0 && pod.requiredAntiAffinity.length === 0)
      return undefined;
    const affinity = new TopologySums();
    const anti = new TopologySums();
    if (pod.requiredAffinity.length + pod.requiredAntiAffinity.length > 0) {
      for (const group of snapshot.podGroups.values()) {
        if (
          pod.requiredAffinity.length > 0 &&
          pod.requiredAffinity.every((term) => meansGroup(term, group, labelsOf))
        ) {
          for (const { topologyKey } of pod.requiredAffinity) {
            affinity.include(topologyKey, group.counts.byValue(topologyKey));
          }
        }
        for (const term of pod.requiredAntiAffinity) {
          if (meansGroup(term, group, labelsOf)) anti.include(term.topologyKey, group.counts.byValue(term.topologyKey));
        }
      }
    }
    return new FilterState(existing, affinity, anti);
  };

  const update = (state: CycleState, pod: PodInfo, other: PodInfo, node: NodeInfo, sign: 1 | -1) => {
    const sums = state.find<FilterState>(name);
    if (sums === undefined) return;
    const change = (into: TopologySums, { topologyKey }: AffinityTerm) => {
      const value = node.labels[topologyKey];
      if (value !== undefined) into.change(topologyKey, value, sign);
    };
    for (const term of other.requiredAntiAffinity) if (means(term, pod, labelsOf)) change(sums.existing, term);
    if (pod.requiredAffinity.length > 0 && pod.requiredAffinity.every((term) => means(term, other, labelsOf))) {
      for (const term of pod.requiredAffinity) change(sums.affinity, term);
    }
    for (const term of pod.requiredAntiAffinity) if (means(term, other, labelsOf)) change(sums.anti, term);
  };

  return {
    name,
    events: [
      "AssignedPod/Add",
      "AssignedPod/Update",
      "AssignedPod/Delete",
      "Node/Add",
      "Node/Update",
      "TargetPod/Update",
    ],
    preFilter(state, pod, snapshot) {
      const sums = preFilterState(pod, snapshot);
      if (sums === undefined) return { status: skip(name) };
      state.write(name, sums);
      return undefined;
    },
    addPod: (state, pod, other, node) => update(state, pod, other, node, 1),
    removePod: (state, pod, other, node) => update(state, pod, other, node, -1),
    filter(state, pod, node) {
      const { affinity, anti, existing } = state.read<FilterState>(name);
      if (!satisfiesAffinity(pod, node, affinity, labelsOf)) return byAffinity;
      if (pod.requiredAntiAffinity.length > 0 && anti.holdsOn(node)) return byAntiAffinity;
      return existing.holdsOn(node) ? byExisting : undefined;
    },
    preScore(state, pod, _nodes, snapshot) {
      const sums = new TopologySums();
      for (const [terms, sign] of [
        [pod.preferredAffinity, 1],
        [pod.preferredAntiAffinity, -1],
      ] as const) {
        for (const { term, weight } of terms) {
          for (const group of snapshot.podGroups.values()) {
            if (!meansGroup(term, group, labelsOf)) continue;
            sums.include(term.topologyKey, group.counts.byValue(term.topologyKey), sign * weight);
          }
        }
      }
      const hasOwn = pod.preferredAffinity.length + pod.preferredAntiAffinity.length > 0;
      if (!ignoreExisting || hasOwn) {
        const scoring = [
          [TermKind.RequiredAffinity, hardWeight],
          [TermKind.PreferredAffinity, 1],
          [TermKind.PreferredAntiAffinity, -1],
        ] as const;
        for (const [kind, factor] of scoring) {
          if (factor === 0 || (ignoreExisting && kind !== TermKind.RequiredAffinity)) continue;
          for (const { term, weight, counts } of snapshot.terms(kind).values()) {
            if (!means(term, pod, labelsOf)) continue;
            sums.include(term.topologyKey, counts.byValue(term.topologyKey), factor * weight);
          }
        }
      }
      if (sums.isEmpty) return skip(name);
      state.write(scoreKey, sums);
      return undefined;
    },
    score: (state, _pod, node) => state.read<TopologySums>(scoreKey).sumOn(node),
    normalize(scores) {
      let min = Number.POSITIVE_INFINITY;
      let max = Number.NEGATIVE_INFINITY;
      for (const score of scores) {
        if (score < min) min = score;
        if (score > max) max = score;
      }
      const range = max - min;
      for (let i = 0; i < scores.length; i++) {
        scores[i] = range > 0 ? Math.trunc((MAX_NODE_SCORE * ((scores[i] as number) - min)) / range) : 0;
      }
    },
    worthRetry(pod, event) {
      if (event.resource === "TargetPod") return true;
      if (event.resource === "AssignedPod") {
        const other = podInfoOf(event.pod);
        if (event.action === "Delete") return frees(pod, other, labelsOf);
        if (event.action === "Add") return attracts(pod, other, labelsOf);
        return attracts(pod, other, labelsOf) || frees(pod, podInfoOf(event.old), labelsOf);
      }
      if (event.resource !== "Node" || event.action === "Delete") return false;
      const labels = event.node.metadata.labels ?? {};
      const before = event.action === "Update" ? (event.old.metadata.labels ?? {}) : undefined;
      const gains = ({ topologyKey }: AffinityTerm) =>
        labels[topologyKey] !== undefined && labels[topologyKey] !== before?.[topologyKey];
      if (pod.requiredAffinity.some(gains)) return true;
      // A node that leaves its topology domain, or is new, may be free of what the pod must avoid.
      return before === undefined || Object.keys({ ...before, ...labels }).some((key) => before[key] !== labels[key]);
    },
  };
};

/** Whether `term`, of some other pod, means `pod`. */
function means(term: AffinityTerm, pod: PodInfo, labelsOf: NamespaceLabels): boolean {
  return termMatches(term, pod.namespace, pod.labels, labelsOf);
}
function meansGroup(term: AffinityTerm, group: PodGroup, labelsOf: NamespaceLabels): boolean {
  return termMatches(term, group.namespace, group.labels, labelsOf);
}

function satisfiesAffinity(pod: PodInfo, node: NodeInfo, sums: TopologySums, labelsOf: NamespaceLabels): boolean {
  if (pod.requiredAffinity.length === 0) return true;
  let present = true;
  for (const { topologyKey } of pod.requiredAffinity) {
    const value = node.labels[topologyKey];
    if (value === undefined) return false;
    if (sums.of(topologyKey, value) <= 0) present = false;
  }
  if (present) return true;
  // The first of a group of pods that want to be together has nobody to be with yet.
  return sums.isEmpty && pod.requiredAffinity.every((term) => means(term, pod, labelsOf));
}

/** Whether the going of `other` removes something that kept `pod` away. */
function frees(pod: PodInfo, other: PodInfo, labelsOf: NamespaceLabels): boolean {
  if (pod.requiredAntiAffinity.some((term) => means(term, other, labelsOf))) return true;
  return other.requiredAntiAffinity.some((term) => means(term, pod, labelsOf));
}
function attracts(pod: PodInfo, other: PodInfo, labelsOf: NamespaceLabels): boolean {
  return pod.requiredAffinity.length > 0 && pod.requiredAffinity.every((term) => means(term, other, labelsOf));
}
