/**
 * What a quota's namespace uses, counted from the objects themselves.
 * Source: k8s.io/apiserver/pkg/quota/v1/resources.go CalculateUsage, generic/evaluator.go CalculateUsageStats. Pure.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceQuota, ResourceQuotaSpec } from "../generated/types/core-v1.ts";
import type { QuotaEvaluator } from "./evaluator.ts";
import { evaluatorsOf, scopesOf } from "./evaluators.ts";
import { addResources, maskResources } from "./resource-lists.ts";

/** The namespace's objects of one resource; undefined when they can't be known (the resource is not served). */
export type ObjectsOf = (group: string, resource: string) => readonly KubeObject[] | undefined;

/** Whether the quota is about objects like this one: it measures something of them and they are in all its scopes. */
export function quotaMatches(evaluator: QuotaEvaluator, quota: ResourceQuota, object: KubeObject): boolean {
  const names = Object.keys(quota.status?.hard ?? {});
  return (
    evaluator.matchingResources(names).length > 0 &&
    scopesOf(quota.spec ?? {}).every((scope) => evaluator.matchesScope(scope, object))
  );
}

/**
 * status.used for a quota of this spec: the names of spec.hard that can be measured, zero when nothing is used.
 * Names of resources that `objectsOf` does not know are left out.
 */
export function calculateUsage(spec: ResourceQuotaSpec, objectsOf: ObjectsOf, nowMs: number): Record<string, string> {
  const names = Object.keys(spec.hard ?? {});
  const scopes = scopesOf(spec);
  let used: Record<string, string> = {};
  for (const evaluator of evaluatorsOf(names)) {
    const objects = objectsOf(evaluator.group, evaluator.resource);
    if (objects === undefined) continue;
    const measured = evaluator.matchingResources(names);
    used = addResources(Object.fromEntries(measured.map((name) => [name, "0"])), used);
    for (const object of objects) {
      if (!scopes.every((scope) => evaluator.matchesScope(scope, object))) continue;
      used = addResources(used, maskResources(evaluator.usage(object, nowMs), measured));
    }
  }
  return used;
}
