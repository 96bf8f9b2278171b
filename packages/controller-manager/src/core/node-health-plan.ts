/**
 * Judging nodes by their heartbeats, and what follows from it: conditions, taints, and how fast nodes may be emptied. Pure.
 *
 * A heartbeat is a change of the node's Lease or of its Ready condition; only the time at which *we* saw the change counts,
 * so that nobody's clock matters. Source: kubernetes/pkg/controller/nodelifecycle, KEP-589
 */

import type { Lease } from "@knarr/api/generated/types/coordination-v1.ts";
import type { Node, NodeCondition, Taint } from "@knarr/api/generated/types/core-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";

export const TAINT_NOT_READY = "node.kubernetes.io/not-ready";
export const TAINT_UNREACHABLE = "node.kubernetes.io/unreachable";

/** What is remembered of a node between two looks. */
export interface NodeHealth {
  /** Identifies the last heartbeat. */
  readonly stamp: string;
  /** When (monotonic ms) that heartbeat was first seen. */
  readonly probedAtMs: number;
}

export interface JudgeInput {
  readonly node: Node;
  readonly lease: Lease | undefined;
  readonly health: NodeHealth | undefined;
  readonly nowMs: number;
  readonly monotonicMs: number;
  readonly gracePeriodMs: number;
  readonly startupGracePeriodMs: number;
}

export interface Judgement {
  readonly health: NodeHealth;
  /** All conditions, where some must become Unknown. */
  readonly conditions?: readonly NodeCondition[];
  readonly ready: "True" | "False" | "Unknown";
}

/** Conditions that a silent kubelet no longer vouches for. */
const KUBELET_CONDITIONS = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] as const;

export function conditionOf(node: Node, type: string): NodeCondition | undefined {
  return node.status?.conditions?.find((condition) => condition.type === type);
}

export function judgeNode(input: JudgeInput): Judgement {
  const { node, lease, nowMs, monotonicMs } = input;
  const ready = conditionOf(node, "Ready");
  const heartbeat = ready === undefined ? "never" : `${ready.lastHeartbeatTime ?? ""} ${ready.status}`;
  const stamp = `${heartbeat} ${lease?.spec?.renewTime ?? ""}`;
  // Our own writing of Unknown is no sign of life.
  const isNews =
    input.health?.stamp !== stamp && (ready?.status !== "Unknown" || leaseOf(input.health) !== leaseText(stamp));
  const health = input.health === undefined || isNews ? { stamp, probedAtMs: monotonicMs } : { ...input.health, stamp };
  const graceMs = ready === undefined ? input.startupGracePeriodMs : input.gracePeriodMs;
  const current = (ready?.status ?? "Unknown") as Judgement["ready"];
  if (monotonicMs - health.probedAtMs <= graceMs) return { health, ready: current };
  const conditions = silentConditions(node, nowMs);
  return { health, ready: "Unknown", ...(conditions === undefined ? {} : { conditions }) };
}

const leaseText = (stamp: string) => stamp.slice(stamp.lastIndexOf(" ") + 1);
const leaseOf = (health: NodeHealth | undefined) => leaseText(health?.stamp ?? "");

/** The conditions with the kubelet's set to Unknown; undefined when they are. */
function silentConditions(node: Node, nowMs: number): readonly NodeCondition[] | undefined {
  const now = rfc3339Seconds(nowMs);
  const current = node.status?.conditions ?? [];
  const next = [...current];
  let changed = false;
  for (const type of KUBELET_CONDITIONS) {
    const index = next.findIndex((condition) => condition.type === type);
    const old = next[index];
    if (old?.status === "Unknown") continue;
    changed = true;
    if (old === undefined) {
      next.push({
        type,
        status: "Unknown",
        reason: "NodeStatusNeverUpdated",
        message: "Kubelet never posted node status.",
        lastHeartbeatTime: node.metadata.creationTimestamp,
        lastTransitionTime: now,
      });
    } else {
      next[index] = {
        ...old,
        status: "Unknown",
        reason: "NodeStatusUnknown",
        message: "Kubelet stopped posting node status.",
        lastTransitionTime: now,
      };
    }
  }
  return changed ? next : undefined;
}

/** Which condition with which status puts on which taint. */
const NO_SCHEDULE_TAINTS: readonly (readonly [type: string, status: string, taint: string])[] = [
  ["Ready", "False", TAINT_NOT_READY],
  ["Ready", "Unknown", TAINT_UNREACHABLE],
  ["MemoryPressure", "True", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "True", "node.kubernetes.io/disk-pressure"],
  ["NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"],
  ["PIDPressure", "True", "node.kubernetes.io/pid-pressure"],
];
const UNSCHEDULABLE = "node.kubernetes.io/unschedulable";
const OWN_NO_SCHEDULE: ReadonlySet<string> = new Set([...NO_SCHEDULE_TAINTS.map(([, , key]) => key), UNSCHEDULABLE]);

/** The NoExecute taint that the node's state asks for. */
export function evictionTaint(node: Node): string | undefined {
  const ready = conditionOf(node, "Ready")?.status ?? "Unknown";
  if (ready === "True") return undefined;
  return ready === "False" ? TAINT_NOT_READY : TAINT_UNREACHABLE;
}

export function hasEvictionTaint(node: Node): boolean {
  return (node.spec?.taints ?? []).some(isEvictionTaint);
}

function isEvictionTaint({ key, effect }: Taint): boolean {
  return effect === "NoExecute" && (key === TAINT_NOT_READY || key === TAINT_UNREACHABLE);
}

/**
 * The node's taints as its conditions ask for; undefined when they are. `evict` says whether a NoExecute taint may be put
 * on a node that has none (nodes are emptied one after the other), "never" takes off even those there are.
 */
export function planTaints(node: Node, evict: boolean | "never", nowMs: number): readonly Taint[] | undefined {
  const current = node.spec?.taints ?? [];
  const wanted = new Set(
    NO_SCHEDULE_TAINTS.filter(([type, status]) => conditionOf(node, type)?.status === status).map(([, , key]) => key),
  );
  if (conditionOf(node, "Ready") === undefined) wanted.add(TAINT_NOT_READY);
  if (node.spec?.unschedulable === true) wanted.add(UNSCHEDULABLE);
  const execute = evict === "never" ? undefined : evictionTaint(node);
  const mayExecute = evict === true || hasEvictionTaint(node);
  const timeAdded = rfc3339Seconds(nowMs);
  const next: Taint[] = current.filter((taint) => {
    if (isEvictionTaint(taint)) return taint.key === execute;
    return taint.effect !== "NoSchedule" || !OWN_NO_SCHEDULE.has(taint.key) || wanted.has(taint.key);
  });
  const has = (key: string, effect: string) => next.some((taint) => taint.key === key && taint.effect === effect);
  for (const key of wanted) if (!has(key, "NoSchedule")) next.push({ key, effect: "NoSchedule", timeAdded });
  if (execute !== undefined && mayExecute && !has(execute, "NoExecute")) {
    next.push({ key: execute, effect: "NoExecute", timeAdded });
  }
  const same = next.length === current.length && next.every((taint) => current.includes(taint));
  return same ? undefined : next;
}

/** Older names of labels, kept equal to those that are sure to be right. Source: labelReconcileInfo */
const OLD_LABELS: readonly (readonly [label: string, old: string])[] = [
  ["kubernetes.io/os", "beta.kubernetes.io/os"],
  ["kubernetes.io/arch", "beta.kubernetes.io/arch"],
];

/** Labels to be set; undefined when there are none. */
export function planLabels(labels: Readonly<Record<string, string>> = {}): Record<string, string> | undefined {
  const wrong = OLD_LABELS.flatMap(([label, old]) => {
    const value = labels[label];
    return value === undefined || labels[old] === value ? [] : [[old, value] as const];
  });
  return wrong.length === 0 ? undefined : Object.fromEntries(wrong);
}

export type ZoneState = "Normal" | "PartialDisruption" | "FullDisruption";

export interface ZoneOptions {
  readonly unhealthyZoneThreshold: number;
  readonly largeClusterSizeThreshold: number;
  readonly nodeEvictionRate: number;
  readonly secondaryNodeEvictionRate: number;
}

/** "region:\0:zone", upstream's key of a failure domain. */
export function zoneOf({ metadata }: Node): string {
  return `${metadata.labels?.["topology.kubernetes.io/region"] ?? ""}:\0:${metadata.labels?.["topology.kubernetes.io/zone"] ?? ""}`;
}

export function zoneState(ready: number, notReady: number, threshold: number): ZoneState {
  if (ready === 0 && notReady > 0) return "FullDisruption";
  return notReady > 2 && notReady / (ready + notReady) >= threshold ? "PartialDisruption" : "Normal";
}

/** Nodes per second that may be emptied in each zone; "never" for all of them when every zone is down: then it is us. */
export function evictionRates(
  nodes: readonly { readonly zone: string; readonly ready: boolean }[],
  options: ZoneOptions,
): ReadonlyMap<string, number> | "never" {
  const zones = new Map<string, { ready: number; notReady: number }>();
  for (const { zone, ready } of nodes) {
    const counts = zones.get(zone) ?? { ready: 0, notReady: 0 };
    counts[ready ? "ready" : "notReady"]++;
    zones.set(zone, counts);
  }
  const states = [...zones].map(([zone, { ready, notReady }]) => ({
    zone,
    size: ready + notReady,
    state: zoneState(ready, notReady, options.unhealthyZoneThreshold),
  }));
  if (states.length > 0 && states.every(({ state }) => state === "FullDisruption")) return "never";
  return new Map(states.map(({ zone, size, state }): [string, number] => [zone, rateOf(state, size, options)]));
}

function rateOf(state: ZoneState, size: number, options: ZoneOptions): number {
  if (state !== "PartialDisruption") return options.nodeEvictionRate;
  return size > options.largeClusterSizeThreshold ? options.secondaryNodeEvictionRate : 0;
}
