/** The evaluators there are. Every resource has one: those without their own are counted. */
import type { ScopedResourceSelectorRequirement } from "../generated/types/core-v1.ts";
import { persistentVolumeClaimEvaluator, resourceClaimEvaluator } from "./claim-evaluators.ts";
import type { QuotaEvaluator } from "./evaluator.ts";
import { countedResource, objectCountEvaluator } from "./object-count.ts";
import { podEvaluator } from "./pod-evaluator.ts";
import { serviceEvaluator } from "./service-evaluator.ts";

const own: readonly QuotaEvaluator[] = [
  podEvaluator,
  serviceEvaluator,
  persistentVolumeClaimEvaluator,
  resourceClaimEvaluator,
];
/** Counted under a bare name, so that a quota need not say count/... */
const bare: readonly QuotaEvaluator[] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"].map(
  (resource) => objectCountEvaluator("", resource),
);

/** The evaluator of a resource. */
export function evaluatorFor(group: string, resource: string): QuotaEvaluator {
  const known = [...own, ...bare].find((e) => e.group === group && e.resource === resource);
  return known ?? objectCountEvaluator(group, resource);
}

/** The evaluators that together measure these quota names; names that nobody measures have none. */
export function evaluatorsOf(names: readonly string[]): QuotaEvaluator[] {
  const counted = names.flatMap((name) => countedResource(name) ?? []);
  const all = [...own, ...bare, ...counted.map(({ group, resource }) => evaluatorFor(group, resource))];
  return [...new Set(all)].filter((evaluator) => evaluator.matchingResources(names).length > 0);
}

/** A quota's scopes in one form: spec.scopes are requirements that the scope exists. */
export function scopesOf(spec: {
  readonly scopes?: readonly string[] | undefined;
  readonly scopeSelector?:
    | { readonly matchExpressions?: readonly ScopedResourceSelectorRequirement[] | undefined }
    | undefined;
}): ScopedResourceSelectorRequirement[] {
  return [
    ...(spec.scopes ?? []).map((scopeName) => ({ scopeName, operator: "Exists" })),
    ...(spec.scopeSelector?.matchExpressions ?? []),
  ];
}
