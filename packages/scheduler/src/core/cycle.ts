/**
 * One scheduling cycle: (pod, snapshot) -> a node, or why none. Pure: acts on nothing, asks no clock.
 * Source: pkg/scheduler/schedule_one.go
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Diagnosis } from "./fit-error.ts";
import { Code, CycleState, type Framework, type PluginStatus } from "./framework.ts";
import type { NodeInfo, Snapshot } from "./snapshot.ts";

export type CycleResult =
  | { readonly kind: "placed"; readonly nodeName: string; readonly state: CycleState; readonly evaluated: number }
  | { readonly kind: "unschedulable"; readonly diagnosis: Diagnosis; readonly nominatedNodeName?: string }
  | { readonly kind: "error"; readonly status: PluginStatus };

export interface CycleOptions {
  /** Uniform in [0, 1): breaks ties between equally good nodes. */
  readonly random: () => number;
  /** Index of the node to look at first, so that all nodes get their turn. */
  readonly startIndex: number;
  /** 0 adapts to the cluster's size. Source: KubeSchedulerConfiguration.percentageOfNodesToScore */
  readonly percentageOfNodesToScore: number;
}

const MIN_FEASIBLE_NODES = 100;
const MIN_PERCENTAGE = 5;

/** How many feasible nodes suffice. Small clusters look at every node; large ones at a shrinking share. */
export function feasibleNodesWanted(totalNodes: number, percentage: number): number {
  if (totalNodes < MIN_FEASIBLE_NODES) return totalNodes;
  const share = percentage > 0 ? percentage : Math.max(MIN_PERCENTAGE, 50 - Math.floor(totalNodes / 125));
  if (share >= 100) return totalNodes;
  return Math.max(MIN_FEASIBLE_NODES, Math.floor((totalNodes * share) / 100));
}

export function runCycle(framework: Framework, pod: Pod, snapshot: Snapshot, options: CycleOptions): CycleResult {
  const state = new CycleState();
  const total = snapshot.nodes.length;
  const unschedulable = (refusals: ReadonlyMap<string, PluginStatus>, preFilterMessage = ""): CycleResult => {
    const diagnosis = { totalNodes: total, refusals, preFilterMessage, postFilterMessage: "" };
    for (const plugin of framework.postFilter) {
      const result = plugin.postFilter(state, pod, snapshot, refusals);
      if (result.message !== "" || result.nominatedNodeName !== undefined) {
        const nominated = result.nominatedNodeName;
        return {
          kind: "unschedulable",
          diagnosis: { ...diagnosis, postFilterMessage: result.message },
          ...(nominated === undefined ? {} : { nominatedNodeName: nominated }),
        };
      }
    }
    return { kind: "unschedulable", diagnosis };
  };
  if (total === 0) return unschedulable(new Map());

  const preFiltered = runPreFilters(framework, state, pod, snapshot);
  if (preFiltered.status !== undefined) {
    const { status } = preFiltered;
    if (status.code === Code.Error) return { kind: "error", status };
    const refusals = new Map(snapshot.nodes.map((node): [string, PluginStatus] => [node.name, status]));
    return unschedulable(refusals, status.reasons.join(", "));
  }
  const found = findFeasible(framework, state, pod, snapshot, { ...options, only: preFiltered.nodeNames });
  if (found.error !== undefined) return { kind: "error", status: found.error };
  const [first] = found.feasible;
  if (first === undefined) return unschedulable(found.refusals);
  const evaluated = found.feasible.length + found.refusals.size;
  if (found.feasible.length === 1) return { kind: "placed", nodeName: first.name, state, evaluated };
  const scores = scoreNodes(framework, state, pod, found.feasible);
  if (!Array.isArray(scores)) return { kind: "error", status: scores };
  return { kind: "placed", nodeName: pickBest(found.feasible, scores, options.random).name, state, evaluated };
}

function runPreFilters(
  framework: Framework,
  state: CycleState,
  pod: Pod,
  snapshot: Snapshot,
): { status?: PluginStatus; nodeNames?: ReadonlySet<string> } {
  let nodeNames: ReadonlySet<string> | undefined;
  for (const plugin of framework.preFilter) {
    const result = plugin.preFilter(state, pod, snapshot);
    if (result?.status?.code === Code.Skip) state.skipFilter.add(plugin.name);
    else if (result?.status !== undefined) return { status: result.status };
    if (result?.nodeNames !== undefined) {
      nodeNames = nodeNames === undefined ? result.nodeNames : nodeNames.intersection(result.nodeNames);
    }
  }
  return nodeNames === undefined ? {} : { nodeNames };
}

function findFeasible(
  framework: Framework,
  state: CycleState,
  pod: Pod,
  snapshot: Snapshot,
  options: CycleOptions & { readonly only: ReadonlySet<string> | undefined },
): { feasible: NodeInfo[]; refusals: Map<string, PluginStatus>; error?: PluginStatus } {
  const { nodes } = snapshot;
  const feasible: NodeInfo[] = [];
  const refusals = new Map<string, PluginStatus>();
  const wanted = feasibleNodesWanted(nodes.length, options.percentageOfNodesToScore);
  const filters = framework.filter.filter((plugin) => !state.skipFilter.has(plugin.name));
  const excluded: PluginStatus = {
    code: Code.UnschedulableAndUnresolvable,
    reasons: ["node(s) didn't satisfy plugin(s) [NodeAffinity]"],
    plugin: "NodeAffinity",
  };
  for (let i = 0; i < nodes.length && feasible.length < wanted; i++) {
    const node = nodes[(options.startIndex + i) % nodes.length];
    if (node === undefined) continue;
    if (options.only !== undefined && !options.only.has(node.name)) {
      refusals.set(node.name, excluded);
      continue;
    }
    const status = firstRefusal(filters, state, pod, node);
    if (status === undefined) feasible.push(node);
    else if (status.code === Code.Error) return { feasible, refusals, error: status };
    else refusals.set(node.name, status);
  }
  return { feasible, refusals };
}

function firstRefusal(
  filters: Framework["filter"],
  state: CycleState,
  pod: Pod,
  node: NodeInfo,
): PluginStatus | undefined {
  for (const plugin of filters) {
    const status = plugin.filter(state, pod, node);
    if (status !== undefined) return status;
  }
  return undefined;
}

/** Weighted sums, in the order of `nodes`; or the status of a PreScore that failed. */
function scoreNodes(
  framework: Framework,
  state: CycleState,
  pod: Pod,
  nodes: readonly NodeInfo[],
): number[] | PluginStatus {
  for (const plugin of framework.preScore) {
    const status = plugin.preScore(state, pod, nodes);
    if (status?.code === Code.Skip) state.skipScore.add(plugin.name);
    else if (status !== undefined) return status;
  }
  const totals = new Array<number>(nodes.length).fill(0);
  for (const { plugin, weight } of framework.score) {
    if (state.skipScore.has(plugin.name)) continue;
    const scores = nodes.map((node) => plugin.score(state, pod, node));
    plugin.normalize?.(scores);
    for (let i = 0; i < totals.length; i++) totals[i] = (totals[i] ?? 0) + weight * (scores[i] ?? 0);
  }
  return totals;
}

/** The best node, each of several equally good ones with the same chance (reservoir sampling). */
function pickBest(nodes: readonly NodeInfo[], scores: readonly number[], random: () => number): NodeInfo {
  let best = 0;
  let ties = 1;
  for (let i = 1; i < nodes.length; i++) {
    const difference = (scores[i] ?? 0) - (scores[best] ?? 0);
    if (difference > 0) {
      best = i;
      ties = 1;
    } else if (difference === 0) {
      ties++;
      if (random() < 1 / ties) best = i;
    }
  }
  return nodes[best] as NodeInfo;
}
