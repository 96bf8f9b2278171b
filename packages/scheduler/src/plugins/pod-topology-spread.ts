/**
 * PodTopologySpread: pods of a kind evenly over zones, hosts or any other topology, as a must (DoNotSchedule) or a wish.
 *
 * Worked example, maxSkew 1 over zones with a: 2, b: 1, c: 1 pods: the smallest is 1, so one more pod makes a skew of 2 in
 * zone a (refused) and of 1 in b and c.
 * Source: plugins/podtopologyspread/{filtering,scoring}.go
 */
import type { TopologySpreadConstraint } from "@knarr/api/generated/types/core-v1.ts";
import type { PodGroup, Snapshot } from "../core/cache.ts";
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
import type { PluginFactory } from "./plugin-handle.ts";
import {
  constraintsOf,
  countsNode,
  hasOwnConstraints,
  type SpreadConstraint,
  SYSTEM_DEFAULT_CONSTRAINTS,
} from "./spread-constraints.ts";

const name = "PodTopologySpread";
const scoreKey = `${name}/score`;
const refusal = unschedulable(name, "node(s) didn't match pod topology spread constraints");
const noLabel = unresolvable(name, "node(s) didn't match pod topology spread constraints (missing required label)");
const HOSTNAME = "kubernetes.io/hostname";

class FilterState implements CloneableState {
  readonly constraints: readonly SpreadConstraint[];
  /** Per constraint, topology value to the number of pods. */
  readonly counts: readonly Map<string, number>[];
  #minima: number[] | undefined;

  constructor(constraints: readonly SpreadConstraint[], counts: readonly Map<string, number>[]) {
    this.constraints = constraints;
    this.counts = counts;
  }
  minimum(index: number): number {
    this.#minima ??= this.constraints.map(({ minDomains }, i) => {
      const counts = this.counts[i] as Map<string, number>;
      if (counts.size < minDomains) return 0;
      let min = Number.POSITIVE_INFINITY;
      for (const count of counts.values()) if (count < min) min = count;
      return min;
    });
    return this.#minima[index] as number;
  }
  change(index: number, value: string, by: number): void {
    const counts = this.counts[index] as Map<string, number>;
    counts.set(value, (counts.get(value) ?? 0) + by);
    this.#minima = undefined;
  }
  cloneState(): FilterState {
    return new FilterState(
      this.constraints,
      this.counts.map((counts) => new Map(counts)),
    );
  }
}

interface ScoreState {
  readonly constraints: readonly SpreadConstraint[];
  readonly groups: readonly (readonly PodGroup[])[];
  /** Per constraint; undefined for hostnames, which are counted on the spot. */
  readonly counts: readonly (Map<string, number> | undefined)[];
  readonly weights: readonly number[];
  readonly ignored: ReadonlySet<NodeInfo>;
}

export const podTopologySpread: PluginFactory = (args, handle): Plugin => {
  const isSystemDefault = args.defaultingType !== "List";
  const defaults = isSystemDefault
    ? SYSTEM_DEFAULT_CONSTRAINTS
    : ((args.defaultConstraints ?? []) as readonly TopologySpreadConstraint[]);

  const change = (state: CycleState, pod: PodInfo, other: PodInfo, node: NodeInfo, by: 1 | -1) => {
    const known = state.find<FilterState>(name);
    if (known === undefined || node.node === undefined || other.terminating || other.namespace !== pod.namespace)
      return;
    if (!hasAllKeys(node, known.constraints)) return;
    for (const [i, constraint] of known.constraints.entries()) {
      if (!constraint.selector.matches(other.labels) || !countsNode(constraint, pod.pod, node.node)) continue;
      known.change(i, node.labels[constraint.topologyKey] as string, by);
    }
  };

  return {
    name,
    events: [
      "AssignedPod/Add",
      "AssignedPod/Update",
      "AssignedPod/Delete",
      "Node/Add",
      "Node/Update",
      "Node/Delete",
      "TargetPod/Update",
    ],
    preFilter(state, pod, snapshot) {
      const constraints = constraintsOf(pod.pod, "DoNotSchedule", defaults, handle.listers);
      if (constraints.length === 0) return { status: skip(name) };
      const counts = constraints.map(() => new Map<string, number>());
      const groups = constraints.map((constraint) => groupsOf(constraint, pod, snapshot));
      const isSingle = constraints.length === 1;
      for (const node of snapshot.nodes) {
        if (node.node === undefined || (!isSingle && !hasAllKeys(node, constraints))) continue;
        for (let c = 0; c < constraints.length; c++) {
          const constraint = constraints[c] as SpreadConstraint;
          const value = node.labels[constraint.topologyKey];
          if (value === undefined || !countsNode(constraint, pod.pod, node.node)) continue;
          const sums = counts[c] as Map<string, number>;
          sums.set(value, (sums.get(value) ?? 0) + countOn(groups[c] as PodGroup[], node));
        }
      }
      state.write(name, new FilterState(constraints, counts));
      return undefined;
    },
    addPod: (state, pod, other, node) => change(state, pod, other, node, 1),
    removePod: (state, pod, other, node) => change(state, pod, other, node, -1),
    filter(state, pod, node) {
      const known = state.read<FilterState>(name);
      for (let i = 0; i < known.constraints.length; i++) {
        const { topologyKey, selector, maxSkew } = known.constraints[i] as SpreadConstraint;
        const value = node.labels[topologyKey];
        if (value === undefined) return noLabel;
        const self = selector.matches(pod.labels) ? 1 : 0;
        const skew = (known.counts[i]?.get(value) ?? 0) + self - known.minimum(i);
        if (skew > maxSkew) return refusal;
      }
      return undefined;
    },
    preScore(state, pod, nodes, snapshot) {
      const constraints = constraintsOf(pod.pod, "ScheduleAnyway", defaults, handle.listers);
      if (constraints.length === 0) return skip(name);
      // Nodes that lack a key of the pod's own constraints score nothing; those of the system's defaults are only hints.
      const requireAll = hasOwnConstraints(pod.pod) || !isSystemDefault;
      state.write(scoreKey, scoreState(pod, constraints, { nodes, snapshot, requireAll }));
      return undefined;
    },
    score(state, _pod, node) {
      const { constraints, counts, weights, groups, ignored } = state.read<ScoreState>(scoreKey);
      if (ignored.has(node)) return 0;
      let score = 0;
      for (let i = 0; i < constraints.length; i++) {
        const { topologyKey, maxSkew } = constraints[i] as SpreadConstraint;
        const value = node.labels[topologyKey];
        if (value === undefined) continue;
        const sums = counts[i];
        const count = sums === undefined ? countOn(groups[i] as PodGroup[], node) : (sums.get(value) ?? 0);
        score += count * (weights[i] as number) + (maxSkew - 1);
      }
      return Math.round(score);
    },
    normalize(scores, state, nodes) {
      normalize(scores, state.read<ScoreState>(scoreKey).ignored, nodes);
    },
    worthRetry(pod, event) {
      if (event.resource === "TargetPod") return true;
      const constraints = constraintsOf(pod.pod, "DoNotSchedule", defaults, handle.listers);
      if (event.resource === "AssignedPod") {
        const concerns = (other: PodInfo) =>
          other.namespace === pod.namespace && constraints.some(({ selector }) => selector.matches(other.labels));
        return concerns(podInfoOf(event.pod)) || (event.action === "Update" && concerns(podInfoOf(event.old)));
      }
      if (event.resource !== "Node") return false;
      const labels = event.node.metadata.labels ?? {};
      const hasKeys = constraints.every(({ topologyKey }) => labels[topologyKey] !== undefined);
      if (event.action !== "Update") return hasKeys;
      const before = event.old.metadata.labels ?? {};
      const hadKeys = constraints.every(({ topologyKey }) => before[topologyKey] !== undefined);
      if (hasKeys !== hadKeys) return true;
      const moved = constraints.some(({ topologyKey }) => labels[topologyKey] !== before[topologyKey]);
      const taintsCount = constraints.some(({ honorNodeTaints }) => honorNodeTaints);
      return hasKeys && (moved || (taintsCount && event.old.spec?.taints !== event.node.spec?.taints));
    },
  };
};

function scoreState(
  pod: PodInfo,
  constraints: readonly SpreadConstraint[],
  of: { readonly nodes: readonly NodeInfo[]; readonly snapshot: Snapshot; readonly requireAll: boolean },
): ScoreState {
  const ignored = new Set<NodeInfo>();
  const counts = constraints.map(({ topologyKey }) =>
    topologyKey === HOSTNAME ? undefined : new Map<string, number>(),
  );
  for (const node of of.nodes) {
    if (of.requireAll && !hasAllKeys(node, constraints)) {
      ignored.add(node);
      continue;
    }
    for (const [i, { topologyKey }] of constraints.entries()) {
      const value = node.labels[topologyKey];
      if (value !== undefined) counts[i]?.set(value, 0);
    }
  }
  const weights = counts.map((sums) => Math.log((sums === undefined ? of.nodes.length - ignored.size : sums.size) + 2));
  const groups = constraints.map((constraint) => groupsOf(constraint, pod, of.snapshot));
  // Pods of a group are on fewer nodes than there are: walk the pods' nodes and not all nodes.
  for (const [i, constraint] of constraints.entries()) {
    const sums = counts[i];
    if (sums === undefined) continue;
    for (const group of groups[i] ?? []) {
      for (const [node, count] of group.counts.nodes()) {
        if (node.node === undefined || (of.requireAll && !hasAllKeys(node, constraints))) continue;
        const value = node.labels[constraint.topologyKey];
        if (value === undefined || !sums.has(value) || !countsNode(constraint, pod.pod, node.node)) continue;
        sums.set(value, (sums.get(value) ?? 0) + count);
      }
    }
  }
  return { constraints, groups, counts, weights, ignored };
}

/** Few pods are good: the lowest score becomes the highest. */
function normalize(scores: number[], ignored: ReadonlySet<NodeInfo>, nodes: readonly NodeInfo[]): void {
  let min = Number.POSITIVE_INFINITY;
  let max = 0;
  for (let i = 0; i < scores.length; i++) {
    if (ignored.has(nodes[i] as NodeInfo)) continue;
    const score = scores[i] as number;
    if (score < min) min = score;
    if (score > max) max = score;
  }
  for (let i = 0; i < scores.length; i++) {
    if (ignored.has(nodes[i] as NodeInfo)) scores[i] = 0;
    else if (max === 0) scores[i] = MAX_NODE_SCORE;
    else scores[i] = Math.floor((MAX_NODE_SCORE * (max + min - (scores[i] as number))) / max);
  }
}

function hasAllKeys(node: NodeInfo, constraints: readonly SpreadConstraint[]): boolean {
  for (const { topologyKey } of constraints) if (node.labels[topologyKey] === undefined) return false;
  return true;
}

/** The placed pods that the constraint counts; those on their way out don't. */
function groupsOf(constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot): PodGroup[] {
  const groups: PodGroup[] = [];
  for (const group of snapshot.podGroups.values()) {
    if (group.terminating || group.namespace !== pod.namespace) continue;
    if (constraint.selector.matches(group.labels)) groups.push(group);
  }
  return groups;
}

function countOn(groups: readonly PodGroup[], node: NodeInfo): number {
  let count = 0;
  for (const group of groups) count += group.counts.of(node);
  return count;
}
