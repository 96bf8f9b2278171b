/**
 * The scheduling framework: what a plugin may do at each extension point and how it answers.
 *
 *   PreEnqueue -> queue -> PreFilter -> Filter -> (PostFilter) -> PreScore -> Score -> Normalize -> Reserve -> Permit
 *                                                                            -> PreBind -> Bind -> PostBind
 *
 * Plugins are stateless: what they keep for one cycle lies in the CycleState, the cluster is a snapshot passed in.
 * Up to Score everything is synchronous and pure; only Permit, PreBind, Bind and PostBind act.
 * Source: KEP-624, kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework
 */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { NodeInfo, Snapshot } from "./snapshot.ts";

export const Code = {
  Success: "Success",
  /** A bug or an outage: the pod is retried with back-off. */
  Error: "Error",
  /** Not here now; preemption might help. */
  Unschedulable: "Unschedulable",
  /** Not here, and removing pods would not change that. */
  UnschedulableAndUnresolvable: "UnschedulableAndUnresolvable",
  /** Permit only: wait for someone's approval. */
  Wait: "Wait",
  /** The plugin has nothing to say for this pod; the calls that would follow are left out. */
  Skip: "Skip",
  /** Waiting for something outside the scheduler. */
  Pending: "Pending",
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** `undefined` in a plugin's answer means success. */
export interface PluginStatus {
  readonly code: Code;
  /** For people, counted in FailedScheduling messages: "Insufficient cpu". */
  readonly reasons: readonly string[];
  readonly plugin: string;
}

/** One pod's way through the plugins; thrown away afterwards. */
export class CycleState {
  readonly #data = new Map<string, unknown>();
  /** Plugins that answered Skip in PreFilter or PreScore. */
  readonly skipFilter = new Set<string>();
  readonly skipScore = new Set<string>();

  write(key: string, value: unknown): void {
    this.#data.set(key, value);
  }

  /** The value that the same plugin wrote earlier in this cycle. */
  read<T>(key: string): T {
    if (!this.#data.has(key)) throw new Error(`no cycle state ${key}: its PreFilter or PreScore did not run`);
    return this.#data.get(key) as T;
  }
}

export const MAX_NODE_SCORE = 100;

/** A change in the cluster that may make a pod schedulable. Names are those of upstream's metrics. */
export type ClusterEvent =
  | { readonly resource: "Node"; readonly action: "Add" | "Delete"; readonly node: Node }
  | { readonly resource: "Node"; readonly action: "Update"; readonly old: Node; readonly node: Node }
  | { readonly resource: "AssignedPod"; readonly action: "Add" | "Delete"; readonly pod: Pod }
  | { readonly resource: "AssignedPod"; readonly action: "Update"; readonly old: Pod; readonly pod: Pod }
  | { readonly resource: "TargetPod"; readonly action: "Update"; readonly old: Pod; readonly pod: Pod };

export interface Plugin {
  readonly name: string;
  /** Whether `event` may turn this plugin's refusal of `pod`; every event may when absent. */
  worthRetry?(pod: Pod, event: ClusterEvent): boolean;
}

export interface PreEnqueuePlugin extends Plugin {
  preEnqueue(pod: Pod): PluginStatus | undefined;
}
export interface QueueSortPlugin extends Plugin {
  /** Negative when `a` goes first. */
  compare(a: QueueOrder, b: QueueOrder): number;
}
/** What queue sorting looks at. */
export interface QueueOrder {
  readonly pod: Pod;
  /** When the pod entered the active queue, in milliseconds. */
  readonly queuedAtMs: number;
}
export interface PreFilterResult {
  readonly status?: PluginStatus;
  /** Only these nodes can be candidates; all when absent. */
  readonly nodeNames?: ReadonlySet<string>;
}
export interface PreFilterPlugin extends Plugin {
  preFilter(state: CycleState, pod: Pod, snapshot: Snapshot): PreFilterResult | undefined;
}
export interface FilterPlugin extends Plugin {
  filter(state: CycleState, pod: Pod, node: NodeInfo): PluginStatus | undefined;
}
export interface PostFilterResult {
  readonly nominatedNodeName?: string;
  readonly message: string;
}
export interface PostFilterPlugin extends Plugin {
  postFilter(
    state: CycleState,
    pod: Pod,
    snapshot: Snapshot,
    refusals: ReadonlyMap<string, PluginStatus>,
  ): PostFilterResult;
}
export interface PreScorePlugin extends Plugin {
  preScore(state: CycleState, pod: Pod, nodes: readonly NodeInfo[]): PluginStatus | undefined;
}
export interface ScorePlugin extends Plugin {
  score(state: CycleState, pod: Pod, node: NodeInfo): number;
  /** Brings raw scores to 0..MAX_NODE_SCORE, in place. */
  normalize?(scores: number[]): void;
}
export interface ReservePlugin extends Plugin {
  reserve(state: CycleState, pod: Pod, nodeName: string): PluginStatus | undefined;
  /** Undoes `reserve`; must not fail and may be called without it. */
  unreserve(state: CycleState, pod: Pod, nodeName: string): void;
}
export interface PermitPlugin extends Plugin {
  permit(state: CycleState, pod: Pod, nodeName: string, signal: AbortSignal): Promise<PluginStatus | undefined>;
}
export interface PreBindPlugin extends Plugin {
  preBind(state: CycleState, pod: Pod, nodeName: string, signal: AbortSignal): Promise<PluginStatus | undefined>;
}
export interface BindPlugin extends Plugin {
  bind(pod: Pod, nodeName: string, signal: AbortSignal): Promise<PluginStatus | undefined>;
}
export interface PostBindPlugin extends Plugin {
  postBind(pod: Pod, nodeName: string): void;
}

/** A profile's plugins, each list in execution order. */
export interface Framework {
  readonly profileName: string;
  readonly preEnqueue: readonly PreEnqueuePlugin[];
  readonly queueSort: QueueSortPlugin;
  readonly preFilter: readonly PreFilterPlugin[];
  readonly filter: readonly FilterPlugin[];
  readonly postFilter: readonly PostFilterPlugin[];
  readonly preScore: readonly PreScorePlugin[];
  readonly score: readonly { readonly plugin: ScorePlugin; readonly weight: number }[];
  readonly reserve: readonly ReservePlugin[];
  readonly permit: readonly PermitPlugin[];
  readonly preBind: readonly PreBindPlugin[];
  readonly bind: readonly BindPlugin[];
  readonly postBind: readonly PostBindPlugin[];
}

/** Scales scores so that the largest becomes 100; `reverse` turns high into low. Source: plugins/helper/normalize_score.go */
export function normalizeByMaximum(scores: number[], reverse: boolean): void {
  const max = Math.max(0, ...scores);
  for (let i = 0; i < scores.length; i++) {
    if (max === 0) scores[i] = reverse ? MAX_NODE_SCORE : 0;
    else {
      const scaled = Math.floor((MAX_NODE_SCORE * (scores[i] ?? 0)) / max);
      scores[i] = reverse ? MAX_NODE_SCORE - scaled : scaled;
    }
  }
}
