/**
 * The last decision about each pod, kept for people who ask why.
 *
 * Bounded: full detail (each node's refusal, each plugin's scores) for the youngest decisions within `maxNodeEntries` node
 * entries in all; older ones keep counts and the best nodes. At most `maxPods` decisions; deleted pods' are dropped.
 * A decision is kept as the cycle left it and made readable only when somebody asks.
 */
import type { Placed, PluginScores, Unschedulable } from "./cycle.ts";
import { renderFitError } from "./fit-error.ts";
import type { PluginStatus } from "./framework.ts";

export interface NodeScore {
  readonly plugin: string;
  readonly weight: number;
  readonly raw: number;
  readonly normalized: number;
  readonly weighted: number;
}
export interface NodeVerdict {
  readonly node: string;
  readonly refusedBy?: { readonly plugin: string; readonly code: string; readonly reasons: readonly string[] };
  readonly scores?: readonly NodeScore[];
  readonly total?: number;
}
export interface Decision {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly profile: string;
  readonly result: "Scheduled" | "Unschedulable" | "Error";
  /** RFC 3339. */
  readonly at: string;
  readonly attempt: number;
  readonly chosenNode?: string;
  /** The node that is being made free for the pod. */
  readonly nominatedNode?: string;
  readonly victims?: readonly string[];
  readonly message?: string;
  readonly totalNodes: number;
  readonly evaluatedNodes: number;
  readonly feasibleNodes: number;
  /** Reason to the number of nodes. */
  readonly refusals: Readonly<Record<string, number>>;
  /** Every node that was looked at, or the best ones when the decision is an old one. */
  readonly nodes: readonly NodeVerdict[];
  /** Whether `nodes` leaves any out. */
  readonly truncated: boolean;
}

export interface DecisionHead {
  readonly id: string;
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly profile: string;
  readonly atMs: number;
  readonly attempt: number;
}
export type Outcome =
  | { readonly kind: "placed"; readonly placed: Placed; readonly totalNodes: number; readonly error?: string }
  | { readonly kind: "unschedulable"; readonly refused: Unschedulable }
  | { readonly kind: "error"; readonly message: string };

/**
 * An old decision: of the nodes the best ones, of the rest the numbers. As text, because there are many, nobody asks for most
 * of them, and a text is a tenth of the objects in it.
 */
interface OldDecision {
  readonly kind: "old";
  readonly uid: string;
  /** JSON of a PackedDecision. */
  readonly packed: string;
  /** What the scores are of; one array for all decisions of a profile. */
  readonly plugins: readonly PluginWeight[];
}
interface PluginWeight {
  readonly plugin: string;
  readonly weight: number;
}
interface FullDecision {
  readonly kind: "full";
  readonly head: DecisionHead;
  readonly outcome: Outcome;
  readonly entries: number;
}

export interface DecisionLimits {
  readonly maxPods: number;
  readonly maxNodeEntries: number;
}
const DEFAULT_LIMITS: DecisionLimits = { maxPods: 20_000, maxNodeEntries: 100_000 };
/** Nodes that an old decision keeps. */
const SHORT_NODES = 3;

export class DecisionLog {
  readonly #limits: DecisionLimits;
  readonly #byKey = new Map<string, FullDecision | OldDecision>();
  /** Those with full detail, oldest first. */
  readonly #full = new Map<string, FullDecision>();
  #entries = 0;

  constructor(limits: DecisionLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byKey.size;
  }

  record(head: DecisionHead, outcome: Outcome): void {
    const key = keyFor(head.namespace, head.pod);
    this.#remove(key);
    const full: FullDecision = { kind: "full", head, outcome, entries: entriesOf(outcome) };
    this.#byKey.set(key, full);
    this.#full.set(key, full);
    this.#entries += full.entries;
    while (this.#entries > this.#limits.maxNodeEntries) this.#shorten();
    if (this.#byKey.size > this.#limits.maxPods) {
      const [oldest] = this.#byKey.keys();
      if (oldest !== undefined) this.#remove(oldest);
    }
  }

  /** The pod is gone; a newer one of the same name keeps its decision. */
  forget(namespace: string, pod: string, uid: string): void {
    const key = keyFor(namespace, pod);
    const kept = this.#byKey.get(key);
    if (kept !== undefined && (kept.kind === "full" ? kept.head.uid : kept.uid) === uid) this.#remove(key);
  }

  get(namespace: string, pod: string): Decision | undefined {
    const kept = this.#byKey.get(keyFor(namespace, pod));
    if (kept === undefined) return undefined;
    return kept.kind === "old" ? unpacked(kept, namespace, pod) : readable(kept.head, kept.outcome);
  }

  #shorten(): void {
    for (const [key, full] of this.#full) {
      this.#drop(key, full);
      this.#byKey.set(key, packed(full));
      return;
    }
  }

  #drop(key: string, full: FullDecision): void {
    this.#full.delete(key);
    this.#entries -= full.entries;
  }

  #remove(key: string): void {
    const kept = this.#byKey.get(key);
    if (kept?.kind === "full") this.#drop(key, kept);
    this.#byKey.delete(key);
  }
}

function keyFor(namespace: string, pod: string): string {
  return `${namespace}/${pod}`;
}

/** Roughly what the outcome weighs, in numbers and references. */
function entriesOf(outcome: Outcome): number {
  if (outcome.kind === "error") return 1;
  if (outcome.kind === "unschedulable") return 1 + outcome.refused.diagnosis.refusals.size;
  const { feasible, scores, refusals } = outcome.placed;
  return 1 + feasible.length * (1 + scores.length) + refusals.size;
}

/** `limit` nodes at most. */
function readable(head: DecisionHead, outcome: Outcome, limit = Number.POSITIVE_INFINITY): Decision {
  const { namespace, pod, uid, profile, attempt } = head;
  const common = { namespace, pod, uid, profile, attempt, at: new Date(head.atMs).toISOString() };
  const nothing = { totalNodes: 0, evaluatedNodes: 0, feasibleNodes: 0, refusals: {}, nodes: [], truncated: false };
  switch (outcome.kind) {
    case "error":
      return { ...common, ...nothing, result: "Error", message: outcome.message };
    case "unschedulable": {
      const { diagnosis, postFilter } = outcome.refused;
      const { refusals, absent, totalNodes } = diagnosis;
      const counts = { ...countReasons(refusals) };
      const rest = totalNodes - refusals.size;
      if (rest > 0) for (const reason of absent?.reasons ?? []) counts[reason] = (counts[reason] ?? 0) + rest;
      const plan = postFilter?.plan;
      return {
        ...common,
        result: "Unschedulable",
        message: renderFitError(diagnosis),
        ...(plan === undefined
          ? {}
          : {
              nominatedNode: plan.nodeName,
              victims: plan.victims.map((v) => `${v.namespace}/${v.pod.metadata.name}`),
            }),
        totalNodes,
        evaluatedNodes: refusals.size,
        feasibleNodes: 0,
        refusals: counts,
        nodes: refusedNodes(refusals, limit),
        truncated: refusals.size > limit,
      };
    }
    case "placed": {
      const { placed, totalNodes, error } = outcome;
      return {
        ...common,
        result: error === undefined ? "Scheduled" : "Error",
        ...(error === undefined ? {} : { message: error }),
        chosenNode: placed.nodeName,
        totalNodes,
        evaluatedNodes: placed.evaluated,
        feasibleNodes: placed.feasible.length,
        refusals: countReasons(placed.refusals),
        nodes: [...scoredNodes(placed, limit), ...refusedNodes(placed.refusals, limit)].slice(0, limit),
        truncated: placed.feasible.length + placed.refusals.size > limit,
      };
    }
    default:
      return outcome satisfies never;
  }
}

const NO_PLUGINS: readonly PluginWeight[] = [];
/** By names and weights: profiles have few. */
const pluginLists = new Map<string, readonly PluginWeight[]>();

type PackedVerdict = readonly [string, readonly number[] | NonNullable<NodeVerdict["refusedBy"]>];
/** Scores are numbers, raw and normalized in turn, in the order of the plugins. */
type PackedDecision = readonly [Omit<Decision, "namespace" | "pod" | "uid" | "nodes">, readonly PackedVerdict[]];

function packed({ head, outcome }: FullDecision): OldDecision {
  const { namespace: _namespace, pod: _pod, uid, nodes, ...rest } = readable(head, outcome, SHORT_NODES);
  const verdicts = nodes.map(
    ({ node, refusedBy, scores = [] }): PackedVerdict => [
      node,
      refusedBy ?? scores.flatMap(({ raw, normalized }) => [raw, normalized]),
    ],
  );
  const plugins = pluginsOf(outcome.kind === "placed" ? outcome.placed.scores : []);
  return { kind: "old", uid, packed: JSON.stringify([rest, verdicts] satisfies PackedDecision), plugins };
}

function unpacked({ uid, packed: text, plugins }: OldDecision, namespace: string, pod: string): Decision {
  const [rest, verdicts] = JSON.parse(text) as PackedDecision;
  const nodes = verdicts.map(([node, known]): NodeVerdict => {
    if ("plugin" in known) return { node, refusedBy: known };
    const scores = plugins.map((of, i) => scoreOf(of, known[2 * i] ?? 0, known[2 * i + 1] ?? 0));
    return { node, scores, total: scores.reduce((sum, { weighted }) => sum + weighted, 0) };
  });
  return { ...rest, namespace, pod, uid, nodes };
}

function pluginsOf(scores: readonly PluginScores[]): readonly PluginWeight[] {
  if (scores.length === 0) return NO_PLUGINS;
  const key = scores.map(({ plugin, weight }) => `${plugin}=${weight}`).join();
  let plugins = pluginLists.get(key);
  if (plugins === undefined) {
    plugins = scores.map(({ plugin, weight }) => ({ plugin, weight }));
    pluginLists.set(key, plugins);
  }
  return plugins;
}

/** Pods that are alike share one refusal: its reasons are counted once. */
const counted = new WeakMap<ReadonlyMap<string, PluginStatus>, Readonly<Record<string, number>>>();

function countReasons(refusals: ReadonlyMap<string, PluginStatus>): Readonly<Record<string, number>> {
  let counts = counted.get(refusals) as Record<string, number> | undefined;
  if (counts !== undefined) return counts;
  counts = {};
  for (const { reasons } of refusals.values()) for (const reason of reasons) counts[reason] = (counts[reason] ?? 0) + 1;
  counted.set(refusals, counts);
  return counts;
}

function refusedNodes(refusals: ReadonlyMap<string, PluginStatus>, limit: number): NodeVerdict[] {
  const verdicts: NodeVerdict[] = [];
  for (const [node, { plugin, code, reasons }] of refusals) {
    if (verdicts.length >= limit) break;
    verdicts.push({ node, refusedBy: { plugin, code, reasons } });
  }
  return verdicts;
}

/** The chosen node first, then by total. */
function scoredNodes(placed: Placed, limit: number): NodeVerdict[] {
  return bestNodes(placed, limit).map((i) => verdictOf(placed.feasible[i]?.name ?? "", placed.scores, i));
}

/** Indices of the feasible nodes, the chosen one first, then by total; `limit` at most. */
function bestNodes({ feasible, scores, nodeName }: Placed, limit: number): number[] {
  const totals = feasible.map((_, i) => scores.reduce((sum, s) => sum + s.weight * (s.normalized[i] ?? 0), 0));
  const rank = (a: number, b: number) =>
    Number(feasible[b]?.name === nodeName) - Number(feasible[a]?.name === nodeName) ||
    (totals[b] ?? 0) - (totals[a] ?? 0);
  return bestOf(feasible.length, limit, rank);
}

function verdictOf(node: string, scores: readonly PluginScores[], i: number): NodeVerdict {
  const own = scores.map((score) => scoreOf(score, score.raw[i] ?? 0, score.normalized[i] ?? 0));
  return { node, scores: own, total: own.reduce((sum, { weighted }) => sum + weighted, 0) };
}

/** The first `limit` of 0..size-1 in order; without sorting all of them when few are wanted. */
function bestOf(size: number, limit: number, rank: (a: number, b: number) => number): number[] {
  const indices = Array.from({ length: size }, (_, i) => i);
  if (limit >= size) return indices.sort(rank);
  const best: number[] = [];
  for (const i of indices) {
    if (best.length >= limit && rank(i, best.at(-1) as number) >= 0) continue;
    best.push(i);
    best.sort(rank);
    if (best.length > limit) best.pop();
  }
  return best;
}

function scoreOf({ plugin, weight }: PluginWeight, raw: number, normalized: number): NodeScore {
  return { plugin, weight, raw, normalized, weighted: weight * normalized };
}
