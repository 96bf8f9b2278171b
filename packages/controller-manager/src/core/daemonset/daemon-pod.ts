/**
 * A DaemonSet's pods, and which nodes are to have one. Pure.
 * Source: kubernetes/pkg/controller/daemon/{daemon_controller.go,util/daemonset_util.go}
 */
import type { DaemonSet } from "@knarr/api/generated/types/apps-v1.ts";
import type {
  Affinity,
  Node,
  NodeSelectorTerm,
  Pod,
  PodTemplateSpec,
  Toleration,
} from "@knarr/api/generated/types/core-v1.ts";
import { matchesRequiredNodeAffinity } from "@knarr/scheduling/node-affinity.ts";
import { findUntoleratedTaint, TaintEffect } from "@knarr/scheduling/taints.ts";
import { podOf } from "../pod-template.ts";
import { REVISION_HASH_LABEL } from "../revision-plan.ts";

const GENERATION_ANNOTATION = "deprecated.daemonset.template.generation";
const GENERATION_LABEL = "pod-template-generation";
const NODE_NAME_FIELD = "metadata.name";

/** A daemon stays where others have to leave: on nodes in trouble, and on those that take no new pods. */
const TOLERATED: readonly Toleration[] = [
  ["node.kubernetes.io/not-ready", TaintEffect.NoExecute],
  ["node.kubernetes.io/unreachable", TaintEffect.NoExecute],
  ["node.kubernetes.io/disk-pressure", TaintEffect.NoSchedule],
  ["node.kubernetes.io/memory-pressure", TaintEffect.NoSchedule],
  ["node.kubernetes.io/pid-pressure", TaintEffect.NoSchedule],
  ["node.kubernetes.io/unschedulable", TaintEffect.NoSchedule],
].map(([key, effect]) => ({ key: key as string, operator: "Exists", effect: effect as string }));
const TOLERATED_ON_HOST_NETWORK: Toleration = {
  key: "node.kubernetes.io/network-unavailable",
  operator: "Exists",
  effect: TaintEffect.NoSchedule,
};

/** The pod for this node at the revision of this hash; the scheduler binds it, to no other node. */
export function daemonPod(set: DaemonSet, nodeName: string, hash: string): Pod {
  const template = set.spec?.template as PodTemplateSpec;
  const generation = templateGeneration(set);
  const labels = {
    ...template.metadata?.labels,
    ...(generation === undefined ? {} : { [GENERATION_LABEL]: generation }),
    [REVISION_HASH_LABEL]: hash,
  };
  const { spec } = template;
  return podOf(set, {
    metadata: { ...template.metadata, labels },
    spec: {
      containers: [],
      ...spec,
      affinity: pinned(spec?.affinity, nodeName),
      tolerations: tolerationsOf(spec?.tolerations, spec?.hostNetwork === true),
    },
  });
}

function templateGeneration(set: DaemonSet): string | undefined {
  const text = set.metadata.annotations?.[GENERATION_ANNOTATION];
  return text !== undefined && /^\d+$/.test(text) ? text : undefined;
}

function tolerationsOf(own: readonly Toleration[] = [], hostNetwork: boolean): Toleration[] {
  const tolerations = [...own];
  for (const added of hostNetwork ? [...TOLERATED, TOLERATED_ON_HOST_NETWORK] : TOLERATED) {
    const same = (t: Toleration) =>
      t.key === added.key && t.effect === added.effect && t.operator === added.operator && (t.value ?? "") === "";
    const index = tolerations.findIndex(same);
    if (index < 0) tolerations.push(added);
    else tolerations[index] = added;
  }
  return tolerations;
}

/** The node's name in every required term, in place of what else these say about fields. */
function pinned(affinity: Affinity | undefined, nodeName: string): Affinity {
  const matchFields = [{ key: NODE_NAME_FIELD, operator: "In", values: [nodeName] }];
  const nodeAffinity = affinity?.nodeAffinity;
  const terms = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const nodeSelectorTerms: NodeSelectorTerm[] =
    terms.length === 0 ? [{ matchFields }] : terms.map((term) => ({ ...term, matchFields }));
  return {
    ...affinity,
    nodeAffinity: { ...nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  };
}

/** The node that the pod is on, or is made for. */
export function targetNode(pod: Pod): string | undefined {
  if ((pod.spec?.nodeName ?? "") !== "") return pod.spec?.nodeName;
  const terms =
    pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const { matchFields = [] } of terms) {
    const field = matchFields.find(({ key, operator }) => key === NODE_NAME_FIELD && operator === "In");
    if (field?.values?.length === 1) return field.values[0];
  }
  return undefined;
}

export interface NodeVerdict {
  readonly shouldRun: boolean;
  /** What runs there already may stay. */
  readonly mayStay: boolean;
}

export function judgeNode(set: DaemonSet, node: Node): NodeVerdict {
  const { name = "" } = node.metadata;
  const wanted = set.spec?.template?.spec?.nodeName ?? "";
  const pod = daemonPod(set, name, "");
  if ((wanted !== "" && wanted !== name) || !matchesRequiredNodeAffinity(pod, node)) {
    return { shouldRun: false, mayStay: false };
  }
  const { taints } = node.spec ?? {};
  const tolerations = pod.spec?.tolerations;
  if (findUntoleratedTaint(taints, tolerations, [TaintEffect.NoSchedule, TaintEffect.NoExecute]) === undefined) {
    return { shouldRun: true, mayStay: true };
  }
  const mayStay = findUntoleratedTaint(taints, tolerations, [TaintEffect.NoExecute]) === undefined;
  return { shouldRun: false, mayStay };
}

/** Made from the present template, by its hash or by the older number. */
export function isUpdated(set: DaemonSet, pod: Pod, hash: string): boolean {
  const { labels = {} } = pod.metadata;
  const generation = templateGeneration(set);
  return labels[REVISION_HASH_LABEL] === hash || (generation !== undefined && labels[GENERATION_LABEL] === generation);
}

/** Scheduled ones first, then the oldest. */
export function byAge(a: Pod, b: Pod): number {
  const [nodeA, nodeB] = [a, b].map((pod) => (pod.spec?.nodeName ?? "") !== "");
  if (nodeA !== nodeB) return nodeA === true ? -1 : 1;
  const age = ({ metadata }: Pod) => `${metadata.creationTimestamp ?? ""} ${metadata.name}`;
  return age(a) < age(b) ? -1 : 1;
}
