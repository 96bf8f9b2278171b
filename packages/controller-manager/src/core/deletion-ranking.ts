/**
 * Which pods go first when there are too many: those that would be missed least.
 * Source: kubernetes/pkg/controller/controller_utils.go ActivePodsWithRanks, KEP-2255, KEP-2185
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isPodActive, isPodReady, readySinceMs } from "./pod-state.ts";

const COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost";
const PHASE_ORDER: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

export interface RankingView {
  readonly pods: readonly Pod[];
  /** Pods that serve the same purpose (of the same Deployment), to find crowded nodes. */
  readonly related: readonly Pod[];
  readonly nowMs: number;
}

/** The pods in the order in which they should be deleted. */
export function rankForDeletion({ pods, related, nowMs }: RankingView): readonly Pod[] {
  const perNode = new Map<string, number>();
  for (const pod of related.filter(isPodActive)) {
    const node = pod.spec?.nodeName ?? "";
    if (node !== "") perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  const crowd = (pod: Pod) => perNode.get(pod.spec?.nodeName ?? "") ?? 0;
  return pods.toSorted(
    (a, b) =>
      compare(isAssigned(a), isAssigned(b)) ||
      compare(PHASE_ORDER[a.status?.phase ?? ""] ?? 1, PHASE_ORDER[b.status?.phase ?? ""] ?? 1) ||
      compare(Number(isPodReady(a)), Number(isPodReady(b))) ||
      compare(deletionCost(a), deletionCost(b)) ||
      compare(crowd(b), crowd(a)) ||
      youngerFirst([readyTime(a), a], [readyTime(b), b], nowMs) ||
      compare(restarts(b), restarts(a)) ||
      youngerFirst([createdTime(a), a], [createdTime(b), b], nowMs),
  );
}

const compare = (a: number, b: number) => a - b;
const isAssigned = (pod: Pod) => Number((pod.spec?.nodeName ?? "") !== "");
const readyTime = (pod: Pod) => (isPodReady(pod) ? readySinceMs(pod) : undefined);
const createdTime = (pod: Pod) => Date.parse(pod.metadata.creationTimestamp ?? "");
const restarts = (pod: Pod) =>
  Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount ?? 0));

/** A 32-bit integer; anything else counts as 0. */
function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.[COST_ANNOTATION] ?? "0";
  if (!/^(0|[+-]?[1-9]\d*)$/.test(text)) return 0;
  const value = Number(text);
  return Math.abs(value) <= 2 ** 31 - 1 ? value : 0;
}

/**
 * The younger first, but by powers of two of their ages: pods of about the same age are equal, and then their uids decide,
 * so that the oldest generation isn't always the one that stays.
 */
function youngerFirst(
  [a, podA]: [number | undefined, Pod],
  [b, podB]: [number | undefined, Pod],
  nowMs: number,
): number {
  if (a === undefined || b === undefined || a === b) return 0;
  const [rankA, rankB] = [a, b].map((ms) => (ms > nowMs ? 0 : Math.floor(Math.log2(Math.max(1, (nowMs - ms) * 1e6)))));
  if (rankA !== rankB) return (rankA as number) - (rankB as number);
  return (podA.metadata.uid ?? "") < (podB.metadata.uid ?? "") ? -1 : 1;
}
