/**
 * Topology spread constraints of a pod, parsed; and the default ones of pods that have none.
 * Source: plugins/podtopologyspread/common.go, KEP-895, KEP-3022 (minDomains), KEP-3094 (inclusion policies), KEP-3243
 */
import type { Node, Pod, TopologySpreadConstraint } from "@knarr/api/generated/types/core-v1.ts";
import { type Requirement, Selector, selectorOf } from "@knarr/apimachinery/label-selector.ts";
import { matchesRequiredNodeAffinity } from "@knarr/scheduling/node-affinity.ts";
import { findUntoleratedTaint, TaintEffect } from "@knarr/scheduling/taints.ts";
import { NOTHING, withLabelKeys } from "../core/affinity-term.ts";
import type { Listers } from "../core/listers.ts";

export interface SpreadConstraint {
  readonly maxSkew: number;
  readonly topologyKey: string;
  readonly selector: Selector;
  readonly minDomains: number;
  readonly honorNodeAffinity: boolean;
  readonly honorNodeTaints: boolean;
}
export type Unsatisfiable = "DoNotSchedule" | "ScheduleAnyway";

/** Source: kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints#internal-default-constraints */
export const SYSTEM_DEFAULT_CONSTRAINTS: readonly TopologySpreadConstraint[] = [
  { topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway", maxSkew: 3 },
  { topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway", maxSkew: 5 },
];

export function hasOwnConstraints(pod: Pod): boolean {
  return (pod.spec?.topologySpreadConstraints ?? []).length > 0;
}

/** The pod's constraints of one kind; `defaults` where it has none at all and something selects it. */
export function constraintsOf(
  pod: Pod,
  kind: Unsatisfiable,
  defaults: readonly TopologySpreadConstraint[],
  listers: Listers,
): SpreadConstraint[] {
  if (hasOwnConstraints(pod)) {
    const own = pod.spec?.topologySpreadConstraints ?? [];
    return own
      .filter(({ whenUnsatisfiable }) => whenUnsatisfiable === kind)
      .map((constraint) => parse(pod, constraint));
  }
  const wanted = defaults.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === kind);
  if (wanted.length === 0) return [];
  const selector = defaultSelector(pod, listers);
  return selector.isEmpty ? [] : wanted.map((constraint) => ({ ...parse(pod, constraint), selector }));
}

function parse(pod: Pod, constraint: TopologySpreadConstraint): SpreadConstraint {
  const selector = selectorOf(constraint.labelSelector);
  return {
    maxSkew: constraint.maxSkew,
    topologyKey: constraint.topologyKey,
    selector: selector === undefined ? NOTHING : withLabelKeys(selector, pod, { match: constraint.matchLabelKeys }),
    minDomains: constraint.minDomains ?? 1,
    honorNodeAffinity: (constraint.nodeAffinityPolicy ?? "Honor") === "Honor",
    honorNodeTaints: (constraint.nodeTaintsPolicy ?? "Ignore") === "Honor",
  };
}

/** What the Services and the controller of the pod select by, together. Source: plugins/helper/spread.go (DefaultSelector) */
function defaultSelector(pod: Pod, listers: Listers): Selector {
  const namespace = pod.metadata.namespace ?? "";
  const labels = pod.metadata.labels ?? {};
  const exact = new Map<string, string>();
  for (const service of listers.services.list(namespace)) {
    const selector = Object.entries(service.spec?.selector ?? {});
    if (selector.length === 0 || !selector.every(([key, value]) => labels[key] === value)) continue;
    for (const [key, value] of selector) exact.set(key, value);
  }
  const requirements: Requirement[] = [];
  const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner?.kind === "ReplicationController" && owner.apiVersion === "v1") {
    const controller = listers.replicationControllers.get(namespace, owner.name);
    for (const [key, value] of Object.entries(controller?.spec?.selector ?? {})) exact.set(key, value);
  } else if (owner !== undefined && owner.apiVersion === "apps/v1") {
    const kinds = { ReplicaSet: listers.replicaSets, StatefulSet: listers.statefulSets } as const;
    const lister = kinds[owner.kind as keyof typeof kinds];
    const selector = selectorOf(lister?.get(namespace, owner.name)?.spec?.selector);
    requirements.push(...(selector?.requirements ?? []));
  }
  for (const [key, value] of exact) requirements.push({ key, operator: "=", values: [value] });
  return new Selector(requirements);
}

const HARD_EFFECTS = [TaintEffect.NoSchedule, TaintEffect.NoExecute];

/** Whether the node's pods count, as the constraint's inclusion policies say. */
export function countsNode(constraint: SpreadConstraint, pod: Pod, node: Node): boolean {
  const { spec } = pod;
  const choosesNodes = spec?.nodeSelector !== undefined || spec?.affinity?.nodeAffinity !== undefined;
  if (constraint.honorNodeAffinity && choosesNodes && !matchesRequiredNodeAffinity(pod, node)) return false;
  if (!constraint.honorNodeTaints) return true;
  return findUntoleratedTaint(node.spec?.taints, spec?.tolerations, HARD_EFFECTS) === undefined;
}
