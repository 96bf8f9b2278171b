/**
 * Which nodes a pod asks for: spec.nodeSelector and required node affinity.
 * Source: k8s.io/component-helpers/scheduling/corev1/nodeaffinity
 */
import type {
  Node,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
} from "@knarr/api/generated/types/core-v1.ts";

function matchesRequirement(requirement: NodeSelectorRequirement, value: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
    case "Lt":
      return comparesTo(requirement.operator, value, values[0]);
    default:
      return false;
  }
}

function comparesTo(operator: "Gt" | "Lt", value: string | undefined, bound: string | undefined): boolean {
  const integer = /^[+-]?\d+$/;
  if (value === undefined || bound === undefined || !integer.test(value) || !integer.test(bound)) return false;
  return operator === "Gt" ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
}

/** A term without requirements matches nothing. */
export function matchesNodeSelectorTerm(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  return (
    expressions.every((requirement) => matchesRequirement(requirement, node.metadata.labels?.[requirement.key])) &&
    fields.every(
      (requirement) => requirement.key === "metadata.name" && matchesRequirement(requirement, node.metadata.name ?? ""),
    )
  );
}

/** Terms are alternatives; a selector without terms matches nothing. */
export function matchesNodeSelector(selector: NodeSelector, node: Node): boolean {
  return selector.nodeSelectorTerms.some((term) => matchesNodeSelectorTerm(term, node));
}

/** Whether `node` satisfies both the pod's nodeSelector and its required node affinity. */
export function matchesRequiredNodeAffinity(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) {
    if (labels[key] !== value) return false;
  }
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || matchesNodeSelector(required, node);
}

/** Sum of the weights of the preferred terms that `node` matches; an empty preferred term matches every node. */
export function preferredNodeAffinityWeight(pod: Pod, node: Node): number {
  let sum = 0;
  for (const { preference, weight } of pod.spec?.affinity?.nodeAffinity
    ?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
    const isEmpty = (preference.matchExpressions ?? []).length + (preference.matchFields ?? []).length === 0;
    if (isEmpty || matchesNodeSelectorTerm(preference, node)) sum += weight;
  }
  return sum;
}
