/**
 * Terms of pod affinity and anti-affinity, parsed: who is meant, and within which topology.
 *
 * Worked example: {topologyKey: zone, labelSelector: app=web} of a pod in namespace "shop" means pods of "shop" with app=web;
 * with namespaceSelector {} it means such pods of every namespace.
 * Source: kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node#inter-pod-affinity-and-anti-affinity, KEP-2249, KEP-3633
 */
import type { Pod, PodAffinityTerm } from "@knarr/api/generated/types/core-v1.ts";
import { type Labels, type Requirement, Selector, selectorOf } from "@knarr/apimachinery/label-selector.ts";

export interface AffinityTerm {
  readonly namespaces: ReadonlySet<string>;
  /** Further namespaces, by their labels; none when undefined. */
  readonly namespaceSelector: Selector | undefined;
  readonly selector: Selector;
  readonly topologyKey: string;
  /** Equal for terms that mean the same. */
  readonly key: string;
}
export interface WeightedTerm {
  readonly term: AffinityTerm;
  readonly weight: number;
}

export interface PodTerms {
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly WeightedTerm[];
  readonly preferredAntiAffinity: readonly WeightedTerm[];
}

const NONE: PodTerms = {
  requiredAffinity: [],
  requiredAntiAffinity: [],
  preferredAffinity: [],
  preferredAntiAffinity: [],
};
/** A selector that is absent means nobody. */
export const NOTHING = new Selector([{ key: "", operator: "in", values: [] }]);

export function podAffinityTerms(pod: Pod): PodTerms {
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  if (podAffinity === undefined && podAntiAffinity === undefined) return NONE;
  const required = (terms: readonly PodAffinityTerm[] | undefined) => (terms ?? []).map((term) => parse(pod, term));
  const weighted = (
    terms: readonly { readonly weight: number; readonly podAffinityTerm: PodAffinityTerm }[] | undefined,
  ) => (terms ?? []).map(({ weight, podAffinityTerm }) => ({ weight, term: parse(pod, podAffinityTerm) }));
  return {
    requiredAffinity: required(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    requiredAntiAffinity: required(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    preferredAffinity: weighted(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
    preferredAntiAffinity: weighted(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
  };
}

function parse(pod: Pod, term: PodAffinityTerm): AffinityTerm {
  const named = term.namespaces ?? [];
  const namespaceSelector = term.namespaceSelector === undefined ? undefined : selectorOf(term.namespaceSelector);
  const own = named.length === 0 && namespaceSelector === undefined;
  const namespaces = new Set(own ? [pod.metadata.namespace ?? ""] : named);
  const base = selectorOf(term.labelSelector);
  const selector =
    base === undefined
      ? NOTHING
      : withLabelKeys(base, pod, { match: term.matchLabelKeys, mismatch: term.mismatchLabelKeys });
  return {
    namespaces,
    namespaceSelector,
    selector,
    topologyKey: term.topologyKey,
    key: JSON.stringify([
      [...namespaces].sort(),
      namespaceSelector?.requirements,
      selector.requirements,
      term.topologyKey,
    ]),
  };
}

/**
 * Adds the pod's own values of `match` (must be equal) and `mismatch` (must differ); keys that the pod lacks don't count.
 * Adding what is there already changes nothing, so it does not matter whether the API server has merged the keys before.
 */
export function withLabelKeys(
  selector: Selector,
  pod: Pod,
  keys: { readonly match?: readonly string[] | undefined; readonly mismatch?: readonly string[] | undefined },
): Selector {
  const labels = pod.metadata.labels ?? {};
  const more: Requirement[] = [];
  for (const [list, operator] of [
    [keys.match ?? [], "in"],
    [keys.mismatch ?? [], "notin"],
  ] as const) {
    for (const key of list) {
      const value = labels[key];
      if (value !== undefined) more.push({ key, operator, values: [value] });
    }
  }
  return more.length === 0 ? selector : new Selector([...selector.requirements, ...more]);
}

/** `namespaceLabels` are those of the namespace `namespace`. */
export function termMatches(
  term: AffinityTerm,
  namespace: string,
  labels: Labels,
  namespaceLabels: (namespace: string) => Labels | undefined,
): boolean {
  if (!term.namespaces.has(namespace)) {
    if (term.namespaceSelector === undefined) return false;
    if (!term.namespaceSelector.isEmpty && !term.namespaceSelector.matches(namespaceLabels(namespace))) return false;
  }
  return term.selector.matches(labels);
}
