/**
 * The scheduling framework: what a plugin may do at each extension point and how it answers.
 *
 *   PreEnqueue -> queue (QueueSort) -> PreFilter -> Filter -> (PostFilter) -> PreScore -> Score -> NormalizeScore
 *                                   -> Reserve -> Permit -> PreBind -> Bind -> PostBind
 *
 * Plugins are stateless: what they keep for one cycle lies in the CycleState, the cluster is a snapshot passed in.
 * Up to Reserve everything is synchronous and acts on nothing outside; Permit, PreBind, Bind and PostBind act.
 * Source: KEP-624, kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Snapshot } from "./cache.ts";
import type { ClusterEvent, EventKind } from "./cluster-event.ts";
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";

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

export function skip(plugin: string): PluginStatus {
  return { code: Code.Skip, reasons: [], plugin };
}
export function unschedulable(plugin: string, ...reasons: string[]): PluginStatus {
  return { code: Code.Unschedulable, reasons, plugin };
}
export function unresolvable(plugin: string, ...reasons: string[]): PluginStatus {
  return { code: Code.UnschedulableAndUnresolvable, reasons, plugin };
}
export function failure(plugin: string, error: unknown): PluginStatus {
  return { code: Code.Error, reasons: [error instanceof Error ? error.message : String(error)], plugin };
}
export function isRefusal(status: PluginStatus): boolean {
  return (
    status.code === Code.Unschedulable ||
    status.code === Code.UnschedulableAndUnresolvable ||
    status.code === Code.Pending
  );
}

/** A value of the CycleState that changes when preemption plays with pods; others are shared by copies of the state. */
export interface CloneableState {
  cloneState(): CloneableState;
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
    const value = this.#data.get(key);
    if (value === undefined) throw new Error(`no cycle state ${key}: its PreFilter or PreScore did not run`);
    return value as T;
  }

  find<T>(key: string): T | undefined {
    return this.#data.get(key) as T | undefined;
  }

  clone(): CycleState {
    const copy = new CycleState();
    for (const [key, value] of this.#data) {
      copy.#data.set(key, isCloneable(value) ? value.cloneState() : value);
    }
    for (const name of this.skipFilter) copy.skipFilter.add(name);
    for (const name of this.skipScore) copy.skipScore.add(name);
    return copy;
  }
}

function isCloneable(value: unknown): value is CloneableState {
  return typeof value === "object" && value !== null && "cloneState" in value;
}

export const MAX_NODE_SCORE = 100;

/** What queue sorting looks at. */
export interface QueueOrder {
  readonly pod: Pod;
  readonly priority: number;
  /** When the pod entered the queue, in milliseconds. */
  readonly queuedAtMs: number;
}
export interface PreFilterResult {
  readonly status?: PluginStatus;
  /** Only these nodes can be candidates; all when absent. */
  readonly nodeNames?: ReadonlySet<string>;
}
export interface PostFilterInput {
  readonly pod: PodInfo;
  readonly state: CycleState;
  readonly snapshot: Snapshot;
  /** Node name to its refusal; a node that is absent was refused by `absent`. */
  readonly refusals: ReadonlyMap<string, PluginStatus>;
  readonly absent: PluginStatus | undefined;
}
/** Pods that must go so that the pod fits on a node. */
export interface PreemptionPlan {
  readonly nodeName: string;
  readonly victims: readonly PodInfo[];
}
export interface PostFilterResult {
  /** Success or the reason why nothing could be done. */
  readonly status: PluginStatus | undefined;
  /** Carried out by the scheduler; the pod is nominated for the plan's node. */
  readonly plan?: PreemptionPlan;
  /** The pod's nomination is of no use any more. */
  readonly clearNomination?: boolean;
}

/**
 * A plugin takes part in each extension point whose method it has.
 *
 * `events` are the kinds of change that may turn its refusals, and `worthRetry` looks closer: whether `event` may help
 * `pod`. A plugin without `events` is asked at every change; one without `worthRetry` says yes.
 */
export interface Plugin {
  readonly name: string;
  readonly events?: readonly EventKind[];
  worthRetry?(pod: PodInfo, event: ClusterEvent): boolean;

  preEnqueue?(pod: Pod): PluginStatus | undefined;
  /** QueueSort: negative when `a` goes first. */
  compare?(a: QueueOrder, b: QueueOrder): number;
  preFilter?(state: CycleState, pod: PodInfo, snapshot: Snapshot): PreFilterResult | undefined;
  /** PreFilter's extensions: `other` comes to or goes from `node` in thought. */
  addPod?(state: CycleState, pod: PodInfo, other: PodInfo, node: NodeInfo): void;
  removePod?(state: CycleState, pod: PodInfo, other: PodInfo, node: NodeInfo): void;
  filter?(state: CycleState, pod: PodInfo, node: NodeInfo): PluginStatus | undefined;
  postFilter?(input: PostFilterInput): PostFilterResult;
  preScore?(state: CycleState, pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot): PluginStatus | undefined;
  score?(state: CycleState, pod: PodInfo, node: NodeInfo): number;
  /** Brings raw scores to 0..MAX_NODE_SCORE, in place; `nodes` are the ones scored. */
  normalize?(scores: number[], state: CycleState, nodes: readonly NodeInfo[]): void;
  reserve?(state: CycleState, pod: PodInfo, nodeName: string): PluginStatus | undefined;
  /** Undoes `reserve`; must not fail and may be called without it. */
  unreserve?(state: CycleState, pod: PodInfo, nodeName: string): void;
  permit?(state: CycleState, pod: PodInfo, nodeName: string, signal: AbortSignal): Promise<PluginStatus | undefined>;
  /** Whether preBind has anything to do; yes when absent. */
  needsPreBind?(state: CycleState, pod: PodInfo): boolean;
  preBind?(state: CycleState, pod: PodInfo, nodeName: string, signal: AbortSignal): Promise<PluginStatus | undefined>;
  bind?(pod: Pod, nodeName: string, signal: AbortSignal): Promise<PluginStatus | undefined>;
  postBind?(pod: Pod, nodeName: string): void;
}

/** `plugin` with the methods K for certain. */
export type With<K extends keyof Plugin> = Plugin & Required<Pick<Plugin, K>>;

/** A profile's plugins, each list in execution order. */
export interface Framework {
  readonly profileName: string;
  /** Of this profile; undefined takes the scheduler's. */
  readonly percentageOfNodesToScore: number | undefined;
  readonly preEnqueue: readonly With<"preEnqueue">[];
  readonly queueSort: With<"compare">;
  readonly preFilter: readonly With<"preFilter">[];
  readonly filter: readonly With<"filter">[];
  readonly postFilter: readonly With<"postFilter">[];
  readonly preScore: readonly With<"preScore">[];
  readonly score: readonly { readonly plugin: With<"score">; readonly weight: number }[];
  readonly reserve: readonly Plugin[];
  readonly permit: readonly With<"permit">[];
  readonly preBind: readonly With<"preBind">[];
  readonly bind: readonly With<"bind">[];
  readonly postBind: readonly With<"postBind">[];
  /** Every plugin of the profile, by name. */
  readonly plugins: ReadonlyMap<string, Plugin>;
}

/** Scales scores so that the largest becomes 100; `reverse` turns high into low. Source: plugins/helper/normalize_score.go */
export function normalizeByMaximum(scores: number[], reverse: boolean): void {
  let max = 0;
  for (const score of scores) if (score > max) max = score;
  for (let i = 0; i < scores.length; i++) {
    if (max === 0) scores[i] = reverse ? MAX_NODE_SCORE : 0;
    else {
      const scaled = Math.floor((MAX_NODE_SCORE * (scores[i] ?? 0)) / max);
      scores[i] = reverse ? MAX_NODE_SCORE - scaled : scaled;
    }
  }
}
