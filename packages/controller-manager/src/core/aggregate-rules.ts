/** The rules of an aggregated ClusterRole: those of the roles that it selects. Pure. */
import type { ClusterRole, PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { canonicalJson } from "./canonical-json.ts";

/**
 * Selector by selector, roles in the order of their names, each rule once, never the role's own.
 * Source: kubernetes/pkg/controller/clusterroleaggregation
 */
export function aggregateRules(role: ClusterRole, all: readonly ClusterRole[]): readonly PolicyRule[] {
  const nameOf = ({ metadata }: ClusterRole) => metadata.name ?? "";
  const others = all.filter((other) => nameOf(other) !== nameOf(role));
  others.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const rules = new Map<string, PolicyRule>();
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    for (const other of others) {
      if (!matchesLabelSelector(selector, other.metadata.labels)) continue;
      for (const rule of other.rules ?? []) {
        const text = canonicalJson(rule);
        if (!rules.has(text)) rules.set(text, rule);
      }
    }
  }
  return [...rules.values()];
}
