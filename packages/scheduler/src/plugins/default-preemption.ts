/**
 * DefaultPreemption: makes room for a pod by removing pods of lower priority, as few and as unimportant ones as will do.
 *
 *   candidates   nodes whose refusal removing pods could turn, from a random one on, up to a tenth of them (at least 100)
 *   per node     all lower pods away: fits? then put back one by one, those guarded by a PodDisruptionBudget first, then by
 *                importance; who can't come back is a victim
 *   best node    fewest budgets violated; lowest highest priority; lowest sum of priorities; fewest victims; the most
 *                important victims started latest; the first
 * Pure: answers a plan. The scheduler carries it out without waiting for it.
 * Source: pkg/scheduler/framework/preemption, plugins/defaultpreemption, KEP-268, KEP-4832
 */
import type { PodDisruptionBudget } from "@knarr/api/generated/types/policy-v1.ts";
import { selectorOf } from "@knarr/apimachinery/label-selector.ts";
import { renderFitError } from "../core/fit-error.ts";
import {
  Code,
  type Framework,
  type Plugin,
  type PluginStatus,
  type PostFilterInput,
  type PostFilterResult,
  unresolvable,
  unschedulable,
} from "../core/framework.ts";
import type { NodeInfo } from "../core/node-info.ts";
import type { PodInfo } from "../core/pod-info.ts";
import { type FilterRun, filtersFor, firstRefusal } from "../core/run-filters.ts";
import type { PluginHandle } from "./plugin-handle.ts";

const name = "DefaultPreemption";
const NOT_HELPFUL = unresolvable(name, "Preemption is not helpful for scheduling");
const NO_VICTIMS = unresolvable(name, "No preemption victims found for incoming pod");
const WAITING = unresolvable(name, "waiting for the preemption for this pod to be finished");

interface Args {
  readonly minCandidateNodesPercentage: number;
  readonly minCandidateNodesAbsolute: number;
}
interface Candidate {
  readonly nodeName: string;
  readonly victims: readonly PodInfo[];
  readonly violations: number;
}

/** `framework` is the profile that the plugin is part of. */
export function defaultPreemption(
  given: Readonly<Record<string, unknown>>,
  handle: PluginHandle,
  framework: () => Framework,
): Plugin {
  const args = given as unknown as Args;
  return {
    name,
    events: ["AssignedPod/Delete"],
    // Pods that wait here have other refusals too, and those decide when to try again.
    worthRetry: () => false,
    preEnqueue: (pod) => (handle.isPreempting(pod.metadata.uid ?? "") ? WAITING : undefined),
    postFilter(input) {
      const refusedBy = (message: string): PostFilterResult => ({
        status: unschedulable(name, `preemption: ${message}`),
      });
      const notEligible = whyNotEligible(input, handle);
      if (notEligible !== undefined) return refusedBy(notEligible);
      const { candidates, refusals } = findCandidates(input, { args, handle, framework: framework() });
      const best = pickBest(candidates);
      if (best !== undefined) return { status: undefined, plan: { nodeName: best.nodeName, victims: best.victims } };
      const message = renderFitError({
        totalNodes: input.snapshot.nodes.length,
        refusals,
        absent: NOT_HELPFUL,
        preFilterMessage: "",
        postFilterMessage: "",
      });
      return { ...refusedBy(message), clearNomination: true };
    },
  };
}

function whyNotEligible(
  { pod, snapshot, refusals, absent }: PostFilterInput,
  handle: PluginHandle,
): string | undefined {
  if (pod.pod.spec?.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
  const nominated = handle.nominations.nodeOf(pod.id) ?? pod.pod.status?.nominatedNodeName ?? "";
  if (nominated === "") return undefined;
  if ((refusals.get(nominated) ?? absent)?.code === Code.UnschedulableAndUnresolvable) return undefined;
  for (const other of snapshot.get(nominated)?.pods.values() ?? []) {
    if (other.priority < pod.priority && isLeavingForPreemption(other)) {
      return "not eligible due to a terminating pod on the nominated node.";
    }
  }
  return undefined;
}

function isLeavingForPreemption({ pod, terminating }: PodInfo): boolean {
  if (!terminating) return false;
  const condition = pod.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  return condition?.status === "True" && condition.reason === "PreemptionByScheduler";
}

interface Search {
  readonly args: Args;
  readonly handle: PluginHandle;
  readonly framework: Framework;
}

function findCandidates(
  input: PostFilterInput,
  { args, handle, framework }: Search,
): { candidates: Candidate[]; refusals: Map<string, PluginStatus> } {
  const refusals = new Map<string, PluginStatus>();
  const candidates: Candidate[] = [];
  const nodes = input.snapshot.nodes.filter(
    (node) => (input.refusals.get(node.name) ?? input.absent)?.code === Code.Unschedulable,
  );
  if (nodes.length === 0) return { candidates, refusals };
  const budgets = handle.listers.podDisruptionBudgets.list();
  const share = Math.floor((nodes.length * args.minCandidateNodesPercentage) / 100);
  const wanted = Math.min(nodes.length, Math.max(share, args.minCandidateNodesAbsolute));
  const offset = Math.floor(handle.random() * nodes.length);
  const run: FilterRun = {
    framework,
    filters: filtersFor(framework, input.state),
    nominations: handle.nominations,
  };
  let violating = 0;
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[(offset + i) % nodes.length] as NodeInfo;
    const found = selectVictims(input, node, { run, budgets });
    if ("code" in found) refusals.set(node.name, found);
    else {
      candidates.push(found);
      if (found.violations > 0) violating++;
    }
    // Enough to choose from, one of them without violating a budget.
    if (candidates.length >= wanted && candidates.length > violating) break;
  }
  return { candidates, refusals };
}

/** Plays through, on copies, which pods of `node` must go. */
function selectVictims(
  { pod, state: given }: PostFilterInput,
  original: NodeInfo,
  { run, budgets }: { readonly run: FilterRun; readonly budgets: readonly PodDisruptionBudget[] },
): Candidate | PluginStatus {
  const lower = [...original.pods.values()].filter(({ priority }) => priority < pod.priority);
  if (lower.length === 0) return NO_VICTIMS;
  const node = original.clone();
  const state = given.clone();
  const plugins = run.framework.preFilter.filter((plugin) => !state.skipFilter.has(plugin.name));
  const remove = (other: PodInfo) => {
    node.removePod(other);
    for (const plugin of plugins) plugin.removePod?.(state, pod, other, node);
  };
  const add = (other: PodInfo) => {
    node.addPod(other);
    for (const plugin of plugins) plugin.addPod?.(state, pod, other, node);
  };
  for (const other of lower) remove(other);
  const refusal = firstRefusal(run, state, pod, node);
  if (refusal !== undefined) return refusal;
  lower.sort(moreImportantFirst);
  const { violating, others } = byBudget(lower, budgets);
  const victims: PodInfo[] = [];
  let violations = 0;
  const reprieve = (other: PodInfo): boolean => {
    add(other);
    if (firstRefusal(run, state, pod, node) === undefined) return true;
    remove(other);
    victims.push(other);
    return false;
  };
  for (const other of violating) if (!reprieve(other)) violations++;
  for (const other of others) reprieve(other);
  // It fits with everybody there: what refused the pod was something else.
  if (victims.length === 0) return NO_VICTIMS;
  victims.sort(moreImportantFirst);
  return { nodeName: original.name, victims, violations };
}

/** Higher priority first, then those that run longer. Source: pkg/scheduler/util (MoreImportantPod) */
export function moreImportantFirst(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startMs(a) - startMs(b);
}

function startMs({ pod }: PodInfo): number {
  const start = pod.status?.startTime;
  // Not started yet counts as started now.
  return start === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(start);
}

/** Who of `pods` could not go without violating a PodDisruptionBudget, each budget being used up in the given order. */
export function byBudget(
  pods: readonly PodInfo[],
  budgets: readonly PodDisruptionBudget[],
): { violating: PodInfo[]; others: PodInfo[] } {
  const left = budgets.map((budget) => budget.status?.disruptionsAllowed ?? 0);
  const selectors = budgets.map((budget) => selectorOf(budget.spec?.selector));
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const info of pods) {
    let violates = false;
    for (const [i, budget] of budgets.entries()) {
      const selector = selectors[i];
      if (budget.metadata.namespace !== info.namespace || selector === undefined || selector.isEmpty) continue;
      if (Object.keys(info.labels).length === 0 || !selector.matches(info.labels)) continue;
      // Already let go by the API server, and counted there.
      if (budget.status?.disruptedPods?.[info.pod.metadata.name ?? ""] !== undefined) continue;
      left[i] = (left[i] as number) - 1;
      if ((left[i] as number) < 0) violates = true;
    }
    (violates ? violating : others).push(info);
  }
  return { violating, others };
}

const PRIORITY_OFFSET = 2 ** 31;
/** Each criterion: the smallest wins; the next one decides between equals. */
const criteria: readonly ((candidate: Candidate) => number)[] = [
  ({ violations }) => violations,
  ({ victims }) => victims[0]?.priority ?? Number.NEGATIVE_INFINITY,
  // Shifted to be positive, so that few victims with negative priorities beat many.
  ({ victims }) => victims.reduce((sum, { priority }) => sum + priority + PRIORITY_OFFSET, 0),
  ({ victims }) => victims.length,
  ({ victims }) => -earliestStartOfMostImportant(victims),
];

function earliestStartOfMostImportant(victims: readonly PodInfo[]): number {
  const highest = victims[0]?.priority;
  return Math.min(...victims.filter(({ priority }) => priority === highest).map(startMs));
}

function pickBest(candidates: readonly Candidate[]): Candidate | undefined {
  let left = candidates;
  for (const criterion of criteria) {
    if (left.length <= 1) break;
    const values = left.map(criterion);
    const best = values.reduce((a, b) => Math.min(a, b));
    left = left.filter((_, i) => values[i] === best);
  }
  return left[0];
}
