/**
 * What measures one resource for ResourceQuota: which quota names it answers for, what one object uses, and whether it
 * falls into a scope. Evaluators are pure: the API server asks before a write, the controller when it counts again.
 * Source: k8s.io/apiserver/pkg/quota/v1/interfaces.go
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ScopedResourceSelectorRequirement } from "../generated/types/core-v1.ts";
import type { ResourceQuantities } from "./resource-lists.ts";

export interface QuotaRequest {
  readonly operation: string;
  readonly subresource: string;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
}

export interface QuotaEvaluator {
  readonly group: string;
  readonly resource: string;
  /** Those of `names` that this evaluator measures. */
  matchingResources(names: readonly string[]): string[];
  matchesScope(scope: ScopedResourceSelectorRequirement, object: KubeObject): boolean;
  usage(object: KubeObject, nowMs: number): ResourceQuantities;
  /** Whether a write of this sort can change what is used. */
  handles(request: QuotaRequest): boolean;
  /** Why an object can't be measured against quotas of these names ("must specify ..."); undefined when it can. */
  complaint?(required: readonly string[], object: KubeObject): string | undefined;
}

/** Whether a requirement on one value (a class name, "" for none) holds. Source: labels.Requirement.Matches */
export function matchesScopeValue(scope: ScopedResourceSelectorRequirement, values: readonly string[]): boolean {
  const wanted = scope.values ?? [];
  const named = values.filter((value) => value !== "");
  switch (scope.operator) {
    case "Exists":
      return named.length > 0;
    case "DoesNotExist":
      return named.length === 0;
    case "In":
      return named.some((value) => wanted.includes(value));
    case "NotIn":
      return named.length === 0 || named.some((value) => !wanted.includes(value));
    default:
      return false;
  }
}
