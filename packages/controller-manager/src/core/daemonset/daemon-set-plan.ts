/**
 * A DaemonSet's next step: first every node gets the one pod it should have, and ended pods go (with back-off, because a
 * kubelet may refuse the next one as well); then, with RollingUpdate, old pods give way. Pure.
 *
 *   maxUnavailable: an old pod goes, its node gets a new one.   maxSurge: a new pod comes, then the old one goes.
 *
 * Laws (property-tested): no node has two pods of one revision; an update takes away no more available pods than
 * maxUnavailable, and adds no more than maxSurge.
 * Source: kubernetes/pkg/controller/daemon/{daemon_controller,update}.go, KEP-1591
 */
import type { DaemonSet, DaemonSetStatus } from "@knarr/api/generated/types/apps-v1.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { IntOrString } from "@knarr/apimachinery/generated/meta-v1.ts";
import { resolveIntOrPercent } from "@knarr/apimachinery/int-or-string.ts";
import { isPodAvailable, isPodReady, isPodTerminal, readySinceMs } from "../pod-state.ts";
import { byAge, isUpdated, judgeNode, type NodeVerdict, targetNode } from "./daemon-pod.ts";

export interface DaemonSetView {
  readonly set: DaemonSet;
  readonly nodes: readonly Node[];
  /** Those that the set controls. */
  readonly pods: readonly Pod[];
  /** Of the present template's revision. */
  readonly hash: string;
  /** How long the node's ended pod is still to be left alone. */
  readonly backoffMs: (nodeName: string) => number;
  readonly nowMs: number;
}

export interface DaemonSetPlan {
  /** Nodes that get a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Of `remove`, those that ended, to be told and to be backed off from. */
  readonly ended: readonly { readonly pod: Pod; readonly node: string }[];
  readonly requeueAfterMs?: number;
}

interface NodeState {
  readonly name: string;
  readonly verdict: NodeVerdict;
  /** Without ended ones that are being deleted: they hold nothing up. */
  readonly pods: readonly Pod[];
}

export function planDaemonSet(view: DaemonSetView): DaemonSetPlan {
  const states = nodeStates(view);
  const placed = place(view, states);
  const waits = [...placed.waits, ...availabilityWaits(view)];
  const plan = {
    create: placed.create,
    remove: placed.remove,
    ended: placed.ended,
    ...(waits.length === 0 ? {} : { requeueAfterMs: Math.min(...waits) }),
  };
  // The update is judged on what was placed: it begins where nothing else is to be done.
  if ((view.set.spec?.updateStrategy?.type ?? "RollingUpdate") !== "RollingUpdate") return plan;
  if (plan.create.length > 0 || plan.remove.length > 0) return plan;
  const limits = updateLimits(view.set, states.filter(({ verdict }) => verdict.shouldRun).length);
  const update =
    limits.surge > 0 ? surgeUpdate(view, states, limits.surge) : replaceUpdate(view, states, limits.unavailable);
  return { ...plan, ...update };
}

function nodeStates({ set, nodes, pods }: DaemonSetView): readonly NodeState[] {
  const byNode = podsByNode(pods);
  return nodes.map((node) => {
    const name = node.metadata.name ?? "";
    return { name, verdict: judgeNode(set, node), pods: byNode.get(name) ?? [] };
  });
}

const isGoing = (pod: Pod) => pod.metadata.deletionTimestamp !== undefined;

function podsByNode(pods: readonly Pod[]): ReadonlyMap<string | undefined, readonly Pod[]> {
  return Map.groupBy(
    pods.filter((pod) => !(isPodTerminal(pod) && isGoing(pod))),
    targetNode,
  );
}

function place(
  view: DaemonSetView,
  states: readonly NodeState[],
): { create: string[]; remove: Pod[]; ended: { pod: Pod; node: string }[]; waits: number[] } {
  const out = {
    create: [] as string[],
    remove: [] as Pod[],
    ended: [] as { pod: Pod; node: string }[],
    waits: [] as number[],
  };
  const known = new Set(states.map(({ name }) => name));
  for (const { name, verdict, pods } of states) {
    if (verdict.shouldRun && pods.length === 0) out.create.push(name);
    else if (verdict.mayStay) keepOne(view, { name, verdict, pods }, out);
    else out.remove.push(...pods.filter((pod) => !isGoing(pod)));
  }
  // Made for a node that went away before they were bound; those that were bound are the pod garbage collector's.
  for (const pod of view.pods) {
    const target = targetNode(pod);
    const homeless = (pod.spec?.nodeName ?? "") === "" && target !== undefined && !known.has(target);
    if (homeless && !isGoing(pod)) out.remove.push(pod);
  }
  return out;
}

function keepOne(
  { set, hash, backoffMs, nowMs }: DaemonSetView,
  { name, verdict, pods }: NodeState,
  out: { create: string[]; remove: Pod[]; ended: { pod: Pod; node: string }[]; waits: number[] },
): void {
  const running: Pod[] = [];
  for (const pod of pods.filter((p) => !isGoing(p))) {
    if (!isPodTerminal(pod)) running.push(pod);
    else if (pod.status?.phase === "Failed" && backoffMs(name) > 0) out.waits.push(backoffMs(name));
    else {
      out.ended.push({ pod, node: name });
      out.remove.push(pod);
    }
  }
  running.sort(byAge);
  if (!allowsSurge(set)) {
    out.remove.push(...running.slice(1));
    return;
  }
  if (running.length === 0 && verdict.shouldRun && !pods.some((pod) => isPodTerminal(pod))) {
    // Only going ones: with surge the next need not wait for them.
    out.create.push(name);
    return;
  }
  const [fresh, old] = [
    running.filter((p) => isUpdated(set, p, hash)),
    running.filter((p) => !isUpdated(set, p, hash)),
  ];
  out.remove.push(...fresh.slice(1), ...old.slice(1));
  const [newest, oldest] = [fresh[0], old[0]];
  if (newest === undefined || oldest === undefined) return;
  const minReadySeconds = set.spec?.minReadySeconds ?? 0;
  if (!isPodReady(oldest) || isPodAvailable(newest, minReadySeconds, nowMs)) out.remove.push(oldest);
}

function limit(value: IntOrString | undefined, total: number, byDefault: number): number {
  return resolveIntOrPercent(value ?? byDefault, total, true);
}

function updateLimits({ spec }: DaemonSet, nodes: number): { surge: number; unavailable: number } {
  const { maxSurge, maxUnavailable } = spec?.updateStrategy?.rollingUpdate ?? {};
  const surge = limit(maxSurge, nodes, 0);
  const unavailable = limit(maxUnavailable, nodes, 1);
  // Neither would never move.
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

function allowsSurge({ spec }: DaemonSet): boolean {
  const value = spec?.updateStrategy?.rollingUpdate?.maxSurge ?? 0;
  return (spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate" && limit(value, 100, 0) > 0;
}

/** The node's pods by revision; undefined while it has several of one. Going ones don't count. */
function revisionsOn(view: DaemonSetView, pods: readonly Pod[]): { fresh?: Pod; old?: Pod } | undefined {
  const alive = pods.filter((pod) => !isGoing(pod));
  const [fresh, ...moreFresh] = alive.filter((pod) => isUpdated(view.set, pod, view.hash));
  const [old, ...moreOld] = alive.filter((pod) => !isUpdated(view.set, pod, view.hash));
  if (moreFresh.length + moreOld.length > 0) return undefined;
  return { ...(fresh === undefined ? {} : { fresh }), ...(old === undefined ? {} : { old }) };
}

type Update = Partial<Pick<DaemonSetPlan, "create" | "remove">>;

function replaceUpdate(view: DaemonSetView, states: readonly NodeState[], maxUnavailable: number): Update {
  const isUp = (pod: Pod) => isPodAvailable(pod, view.set.spec?.minReadySeconds ?? 0, view.nowMs);
  let unavailable = 0;
  const broken: Pod[] = [];
  const candidates: Pod[] = [];
  for (const { verdict, pods } of states) {
    if (!verdict.shouldRun && pods.length === 0) continue;
    const { fresh, old } = revisionsOn(view, pods) ?? {};
    if (fresh !== undefined && old === undefined) unavailable += isUp(fresh) ? 0 : 1;
    else if (old !== undefined && fresh === undefined) {
      if (isUp(old)) candidates.push(old);
      else {
        broken.push(old);
        unavailable++;
      }
    } else unavailable++;
  }
  const room = Math.max(0, maxUnavailable - unavailable);
  return { remove: [...broken, ...candidates.slice(0, room)] };
}

function surgeUpdate(view: DaemonSetView, states: readonly NodeState[], maxSurge: number): Update {
  const isUp = (pod: Pod) => isPodAvailable(pod, view.set.spec?.minReadySeconds ?? 0, view.nowMs);
  let surging = 0;
  const remove: Pod[] = [];
  const replace: string[] = [];
  const candidates: string[] = [];
  for (const { name, verdict, pods } of states) {
    if (!verdict.shouldRun) continue;
    const revisions = revisionsOn(view, pods);
    if (revisions === undefined) {
      surging++;
      continue;
    }
    const { fresh, old } = revisions;
    if (old === undefined) continue;
    if (fresh === undefined) (isUp(old) ? candidates : replace).push(name);
    else if (isUp(fresh)) remove.push(old);
    else surging++;
  }
  const room = Math.max(0, maxSurge - surging);
  return { remove, create: [...replace, ...candidates.slice(0, room)] };
}

function availabilityWaits({ set, pods, nowMs }: DaemonSetView): number[] {
  const minReadyMs = (set.spec?.minReadySeconds ?? 0) * 1000;
  return pods.map((pod) => (readySinceMs(pod) ?? Number.NaN) + minReadyMs - nowMs).filter((ms) => ms > 0);
}

export function daemonSetStatus(view: DaemonSetView, collisionCount: number | undefined): DaemonSetStatus {
  const { set, hash, nowMs } = view;
  const count = { desired: 0, current: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  for (const { verdict, pods } of nodeStates(view)) {
    const [pod] = pods.toSorted(byAge);
    if (!verdict.shouldRun) {
      count.misscheduled += pod === undefined ? 0 : 1;
      continue;
    }
    count.desired++;
    if (pod === undefined) continue;
    count.current++;
    count.ready += isPodReady(pod) ? 1 : 0;
    count.available += isPodAvailable(pod, set.spec?.minReadySeconds ?? 0, nowMs) ? 1 : 0;
    count.updated += isUpdated(set, pod, hash) ? 1 : 0;
  }
  const unavailable = count.desired - count.available;
  return {
    currentNumberScheduled: count.current,
    numberMisscheduled: count.misscheduled,
    desiredNumberScheduled: count.desired,
    numberReady: count.ready,
    ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
    ...(count.updated === 0 ? {} : { updatedNumberScheduled: count.updated }),
    ...(count.available === 0 ? {} : { numberAvailable: count.available }),
    ...(unavailable === 0 ? {} : { numberUnavailable: unavailable }),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
  };
}
