/**
 * One scheduling cycle: (pod, snapshot) -> a node, or why none. Acts on nothing, asks no clock but for metrics.
 * Source: pkg/scheduler/schedule_one.go
 */
import type { Snapshot } from "./cache.ts";
import type { Diagnosis } from "./fit-error.ts";
import {
  Code,
  CycleState,
  type Framework,
  isRefusal,
  type PluginStatus,
  type PostFilterResult,
  unresolvable,
} from "./framework.ts";
import type { NodeInfo } from "./node-info.ts";
import type { Nominations } from "./nominations.ts";
import type { PodInfo } from "./pod-info.ts";
import { type FilterRun, filtersFor, firstRefusal } from "./run-filters.ts";

/** What one plugin thought of the nodes, in the order of Placed.feasible. */
export interface PluginScores {
  readonly plugin: string;
  readonly weight: number;
  readonly raw: readonly number[];
  readonly normalized: readonly number[];
}
export interface Placed {
  readonly kind: "placed";
  readonly nodeName: string;
  readonly state: CycleState;
  readonly evaluated: number;
  readonly feasible: readonly NodeInfo[];
  readonly refusals: ReadonlyMap<string, PluginStatus>;
  /** Empty when there was only one node to choose from. */
  readonly scores: readonly PluginScores[];
}
export interface Unschedulable {
  readonly kind: "unschedulable";
  readonly diagnosis: Diagnosis;
  readonly postFilter: PostFilterResult | undefined;
}
export type CycleResult = Placed | Unschedulable | { readonly kind: "error"; readonly status: PluginStatus };

/** Told what took how long: by extension point, and for some cycles by plugin. */
export interface CycleObserver {
  readonly monotonicMs: () => number;
  extensionPoint(point: string, status: Code, seconds: number): void;
  readonly plugin: ((name: string, point: string, status: Code, seconds: number) => void) | undefined;
}

export interface CycleOptions {
  /** Uniform in [0, 1): breaks ties between equally good nodes. */
  readonly random: () => number;
  /** Index of the node to look at first, so that all nodes get their turn. */
  readonly startIndex: number;
  /** 0 adapts to the cluster's size. Source: KubeSchedulerConfiguration.percentageOfNodesToScore */
  readonly percentageOfNodesToScore: number;
  readonly nominations: Nominations;
  readonly observer?: CycleObserver | undefined;
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

export function runCycle(framework: Framework, pod: PodInfo, snapshot: Snapshot, options: CycleOptions): CycleResult {
  const cycle = new Cycle(framework, pod, snapshot, options);
  return cycle.run();
}

class Cycle {
  readonly #framework: Framework;
  readonly #pod: PodInfo;
  readonly #snapshot: Snapshot;
  readonly #options: CycleOptions;
  readonly #state = new CycleState();
  readonly #refusals = new Map<string, PluginStatus>();
  readonly #unschedulablePlugins = new Set<string>();
  #absent: PluginStatus | undefined;

  constructor(framework: Framework, pod: PodInfo, snapshot: Snapshot, options: CycleOptions) {
    this.#framework = framework;
    this.#pod = pod;
    this.#snapshot = snapshot;
    this.#options = options;
  }

  run(): CycleResult {
    if (this.#snapshot.nodes.length === 0) return this.#unschedulable("", false);
    const { status, nodeNames } = this.#timed("PreFilter", () => this.#preFilter());
    if (status !== undefined) {
      if (!isRefusal(status)) return { kind: "error", status };
      this.#absent = status;
      this.#unschedulablePlugins.add(status.plugin);
      return this.#unschedulable(status.reasons.join(", "), true);
    }
    const found = this.#find(nodeNames);
    if (!Array.isArray(found)) return { kind: "error", status: found };
    const [first] = found;
    if (first === undefined) return this.#unschedulable("", true);
    if (found.length === 1) return this.#placed(first.name, found, []);
    const scores = this.#score(found);
    if (!Array.isArray(scores)) return { kind: "error", status: scores };
    return this.#placed(pickBest(found, scores, this.#options.random).name, found, scores);
  }

  #placed(nodeName: string, feasible: readonly NodeInfo[], scores: readonly PluginScores[]): Placed {
    const evaluated = feasible.length + this.#refusals.size;
    return { kind: "placed", nodeName, state: this.#state, evaluated, feasible, refusals: this.#refusals, scores };
  }

  #unschedulable(preFilterMessage: string, ask: boolean): CycleResult {
    const diagnosis = {
      totalNodes: this.#snapshot.nodes.length,
      refusals: this.#refusals,
      absent: this.#absent,
      plugins: this.#unschedulablePlugins,
      preFilterMessage,
      postFilterMessage: "",
    };
    if (!ask) return { kind: "unschedulable", diagnosis, postFilter: undefined };
    const reasons: string[] = [];
    let result: PostFilterResult | undefined;
    const { snapshot, pod, state } = { snapshot: this.#snapshot, pod: this.#pod, state: this.#state };
    for (const plugin of this.#framework.postFilter) {
      const input = { pod, state, snapshot, refusals: this.#refusals, absent: this.#absent };
      const answer = this.#timed("PostFilter", () => plugin.postFilter(input));
      if (answer.status?.code === Code.Error) return { kind: "error", status: answer.status };
      reasons.push(...(answer.status?.reasons ?? []));
      if (answer.plan !== undefined || answer.clearNomination === true) result = answer;
      if (answer.status === undefined) break;
    }
    return {
      kind: "unschedulable",
      diagnosis: { ...diagnosis, postFilterMessage: reasons.join(", ") },
      postFilter: result,
    };
  }

  #preFilter(): { status?: PluginStatus; nodeNames?: ReadonlySet<string> } {
    let nodeNames: ReadonlySet<string> | undefined;
    const narrowing: string[] = [];
    const report = this.#options.observer;
    for (const plugin of this.#framework.preFilter) {
      const startedMs = report?.plugin === undefined ? 0 : report.monotonicMs();
      const result = plugin.preFilter(this.#state, this.#pod, this.#snapshot);
      const code = result?.status?.code ?? Code.Success;
      report?.plugin?.(plugin.name, "PreFilter", code, (report.monotonicMs() - startedMs) / 1000);
      if (code === Code.Skip) this.#state.skipFilter.add(plugin.name);
      else if (result?.status !== undefined) return { status: result.status };
      if (result?.nodeNames === undefined) continue;
      narrowing.push(plugin.name);
      nodeNames = nodeNames === undefined ? result.nodeNames : nodeNames.intersection(result.nodeNames);
    }
    if (nodeNames === undefined) return {};
    for (const name of narrowing) this.#unschedulablePlugins.add(name);
    narrowing.sort();
    const plugins = narrowing.join(" ");
    if (nodeNames.size === 0) {
      const reason = `node(s) didn't satisfy plugin(s) [${plugins}] simultaneously`;
      return { status: unresolvable(narrowing[0] ?? "", reason) };
    }
    this.#absent = unresolvable(narrowing[0] ?? "", `node(s) didn't satisfy plugin(s) [${plugins}]`);
    return { nodeNames };
  }

  /** Feasible nodes; refusals are noted. The nominated node is tried first, and taken if it will do. */
  #find(nodeNames: ReadonlySet<string> | undefined): NodeInfo[] | PluginStatus {
    const { nominations, observer } = this.#options;
    const started = observer?.monotonicMs() ?? 0;
    const byPlugin = observer?.plugin;
    const run: FilterRun = {
      framework: this.#framework,
      filters: filtersFor(this.#framework, this.#state),
      nominations,
      observe: byPlugin && ((name, seconds) => byPlugin(name, "Filter", Code.Success, seconds)),
      monotonicMs: observer?.monotonicMs,
    };
    const nominated = this.#nominated();
    const found =
      nominated !== undefined && firstRefusal(run, this.#state, this.#pod, nominated) === undefined
        ? [nominated]
        : this.#search(run, nodeNames);
    observer?.extensionPoint("Filter", Code.Success, (observer.monotonicMs() - started) / 1000);
    return found;
  }

  #nominated(): NodeInfo | undefined {
    const name = this.#options.nominations.nodeOf(this.#pod.id) ?? this.#pod.pod.status?.nominatedNodeName ?? "";
    return name === "" ? undefined : this.#snapshot.get(name);
  }

  #search(run: FilterRun, nodeNames: ReadonlySet<string> | undefined): NodeInfo[] | PluginStatus {
    const nodes =
      nodeNames === undefined ? this.#snapshot.nodes : [...nodeNames].flatMap((name) => this.#snapshot.get(name) ?? []);
    const feasible: NodeInfo[] = [];
    const percentage = this.#framework.percentageOfNodesToScore ?? this.#options.percentageOfNodesToScore;
    const wanted = this.#framework.score.length === 0 ? 1 : feasibleNodesWanted(nodes.length, percentage);
    const start = nodes.length === 0 ? 0 : this.#options.startIndex % nodes.length;
    for (let i = 0; i < nodes.length && feasible.length < wanted; i++) {
      const at = start + i;
      const node = nodes[at < nodes.length ? at : at - nodes.length] as NodeInfo;
      const status = firstRefusal(run, this.#state, this.#pod, node);
      if (status === undefined) feasible.push(node);
      else if (!isRefusal(status)) return status;
      else {
        this.#refusals.set(node.name, status);
        this.#unschedulablePlugins.add(status.plugin);
      }
    }
    return feasible;
  }

  /** What each plugin thinks of `nodes`; or the status of a PreScore that failed. */
  #score(nodes: readonly NodeInfo[]): PluginScores[] | PluginStatus {
    const state = this.#state;
    const report = this.#options.observer;
    for (const plugin of this.#framework.preScore) {
      const startedMs = report?.plugin === undefined ? 0 : report.monotonicMs();
      const status = plugin.preScore(state, this.#pod, nodes, this.#snapshot);
      const code = status?.code ?? Code.Success;
      report?.plugin?.(plugin.name, "PreScore", code, (report.monotonicMs() - startedMs) / 1000);
      if (code === Code.Skip) state.skipScore.add(plugin.name);
      else if (status !== undefined) return status;
    }
    return this.#timed("Score", () => {
      const all: PluginScores[] = [];
      for (const { plugin, weight } of this.#framework.score) {
        if (state.skipScore.has(plugin.name)) continue;
        const startedMs = report?.plugin === undefined ? 0 : report.monotonicMs();
        const raw = new Array<number>(nodes.length);
        for (let i = 0; i < nodes.length; i++) raw[i] = plugin.score(state, this.#pod, nodes[i] as NodeInfo);
        let normalized = raw;
        if (plugin.normalize !== undefined) {
          normalized = raw.slice();
          plugin.normalize(normalized, state, nodes);
        }
        report?.plugin?.(plugin.name, "Score", Code.Success, (report.monotonicMs() - startedMs) / 1000);
        all.push({ plugin: plugin.name, weight, raw, normalized });
      }
      return all;
    });
  }

  #timed<T>(point: string, work: () => T): T {
    const { observer } = this.#options;
    if (observer === undefined) return work();
    const startedMs = observer.monotonicMs();
    const result = work();
    observer.extensionPoint(point, Code.Success, (observer.monotonicMs() - startedMs) / 1000);
    return result;
  }
}

/** The best node, each of several equally good ones with the same chance (reservoir sampling). */
function pickBest(nodes: readonly NodeInfo[], scores: readonly PluginScores[], random: () => number): NodeInfo {
  let best = 0;
  let bestTotal = Number.NEGATIVE_INFINITY;
  let ties = 1;
  for (let i = 0; i < nodes.length; i++) {
    let total = 0;
    for (const { weight, normalized } of scores) total += weight * (normalized[i] as number);
    if (total > bestTotal) {
      best = i;
      bestTotal = total;
      ties = 1;
    } else if (total === bestTotal) {
      ties++;
      if (random() < 1 / ties) best = i;
    }
  }
  return nodes[best] as NodeInfo;
}
