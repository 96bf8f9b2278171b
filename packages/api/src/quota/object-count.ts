/**
 * Counts objects: count/RESOURCE.GROUP for everything, and the old names (configmaps, secrets ...) for a few.
 * Source: k8s.io/apiserver/pkg/quota/v1/generic/evaluator.go, pkg/quota/v1/evaluator/core/registry.go
 */
import type { QuotaEvaluator } from "./evaluator.ts";

/** Counted under their bare name too. */
const BARE_NAMES = new Set(["configmaps", "resourcequotas", "replicationcontrollers", "secrets"]);

/** The name under which objects of a resource are counted: "count/pods", "count/deployments.apps". */
export function countName(group: string, resource: string): string {
  return group === "" ? `count/${resource}` : `count/${resource}.${group}`;
}

/** The resource that a "count/..." name counts; undefined for other names. */
export function countedResource(name: string): { readonly group: string; readonly resource: string } | undefined {
  if (!name.startsWith("count/")) return undefined;
  const [resource = "", ...group] = name.slice("count/".length).split(".");
  return resource === "" ? undefined : { resource, group: group.join(".") };
}

export function objectCountEvaluator(group: string, resource: string): QuotaEvaluator {
  const names = [countName(group, resource), ...(group === "" && BARE_NAMES.has(resource) ? [resource] : [])];
  const usage = Object.freeze(Object.fromEntries(names.map((name) => [name, "1"])));
  return {
    group,
    resource,
    matchingResources: (wanted) => wanted.filter((name) => names.includes(name)),
    matchesScope: () => false,
    usage: () => usage,
    handles: ({ operation, subresource }) => operation === "CREATE" && subresource === "",
  };
}
