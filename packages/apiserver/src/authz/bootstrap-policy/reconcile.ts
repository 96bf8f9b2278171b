/**
 * Keeps the bootstrap policy in a cluster: what is missing is added, what somebody added stays, and an object annotated
 * rbac.authorization.kubernetes.io/autoupdate=false is left alone. Plans are pure; `applyPolicy` carries them out.
 * Source: docs reference/access-authn-authz/rbac#auto-reconciliation
 */
import { rbac } from "@knarr/api/generated/resources.ts";
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  Subject,
} from "@knarr/api/generated/types/rbac-v1.ts";
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";
import { missingRules } from "../escalation.ts";
import { AUTOUPDATE, type BootstrapPolicy } from "./policy.ts";

export type ReconcilePlan<T> =
  | { readonly kind: "none" }
  | { readonly kind: "create"; readonly object: T }
  | { readonly kind: "update"; readonly object: T }
  /** The role reference of a binding cannot change: it must be made anew. */
  | { readonly kind: "recreate"; readonly object: T };

/** How plans reach the cluster. Called one at a time; conflicts are thrown as StatusError and end the run. */
export interface PolicyWriter {
  get<T>(ref: ResourceRef<T>, key: ObjectKey): Promise<T | undefined>;
  list<T>(ref: ResourceRef<T>): Promise<readonly T[]>;
  create<T>(ref: ResourceRef<T>, object: T): Promise<void>;
  update<T>(ref: ResourceRef<T>, object: T): Promise<void>;
  delete<T>(ref: ResourceRef<T>, key: ObjectKey): Promise<void>;
}

export function planRole<T extends Role | ClusterRole>(existing: T | undefined, expected: T): ReconcilePlan<T> {
  if (existing === undefined) return { kind: "create", object: expected };
  if (isProtected(existing.metadata)) return { kind: "none" };
  const metadata = mergeMetadata(existing.metadata, expected.metadata);
  const aggregation = "aggregationRule" in expected ? expected.aggregationRule : undefined;
  // A rule of which any part is missing is added whole: the overlap harms nobody, and the role stays readable.
  const held = existing.rules ?? [];
  const missing =
    aggregation === undefined ? (expected.rules ?? []).filter((rule) => missingRules(held, [rule]).length > 0) : [];
  const known = "aggregationRule" in existing ? (existing.aggregationRule?.clusterRoleSelectors ?? []) : [];
  const added = (aggregation?.clusterRoleSelectors ?? []).filter(
    (selector) => !known.some((k) => sameJson(k, selector)),
  );
  if (metadata === undefined && missing.length === 0 && added.length === 0) return { kind: "none" };
  return {
    kind: "update",
    object: {
      ...existing,
      metadata: metadata ?? existing.metadata,
      rules: [...(existing.rules ?? []), ...missing],
      ...(aggregation === undefined ? {} : { aggregationRule: { clusterRoleSelectors: [...known, ...added] } }),
    },
  };
}

export function planBinding<T extends RoleBinding | ClusterRoleBinding>(
  existing: T | undefined,
  expected: T,
): ReconcilePlan<T> {
  if (existing === undefined) return { kind: "create", object: expected };
  if (isProtected(existing.metadata)) return { kind: "none" };
  const metadata = mergeMetadata(existing.metadata, expected.metadata);
  const known = existing.subjects ?? [];
  const added = (expected.subjects ?? []).filter((subject) => !known.some((k) => sameSubject(k, subject)));
  if (!sameJson(existing.roleRef, expected.roleRef)) {
    return { kind: "recreate", object: { ...expected, subjects: [...known, ...added] } };
  }
  if (metadata === undefined && added.length === 0) return { kind: "none" };
  return {
    kind: "update",
    object: { ...existing, metadata: metadata ?? existing.metadata, subjects: [...known, ...added] },
  };
}

/**
 * The rules of every aggregated ClusterRole, and which of the roles change by it. Roles aggregate in the order of their names, equal rules
 * once; aggregates of aggregates are followed to the end (view -> edit -> admin).
 */
export function planAggregation(roles: readonly ClusterRole[]): readonly ClusterRole[] {
  const byName = new Map(roles.map((role) => [role.metadata.name ?? "", role]));
  const names = [...byName.keys()].sort();
  const changed = new Set<string>();
  for (let round = 0; round <= roles.length; round++) {
    let isStable = true;
    for (const [name, role] of byName) {
      if (role.aggregationRule === undefined) continue;
      const rules = aggregatedRules(
        role,
        names.map((n) => byName.get(n) as ClusterRole),
      );
      if (sameJson(rules, role.rules ?? [])) continue;
      byName.set(name, { ...role, rules });
      changed.add(name);
      isStable = false;
    }
    if (isStable) break;
  }
  return [...changed].sort().map((name) => byName.get(name) as ClusterRole);
}

/** Selector by selector, as the aggregation controller of kube-controller-manager does: the two must agree. */
function aggregatedRules(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    for (const other of all) {
      if (other.metadata.name === role.metadata.name || !matchesLabelSelector(selector, other.metadata.labels))
        continue;
      for (const rule of other.rules ?? []) {
        const text = JSON.stringify(rule);
        if (!rules.has(text)) rules.set(text, rule);
      }
    }
  }
  return [...rules.values()];
}

/** Brings the cluster to the policy and computes the aggregated roles. Returns the names of what was written. */
export async function applyPolicy(policy: BootstrapPolicy, writer: PolicyWriter): Promise<readonly string[]> {
  const written: string[] = [];
  const all = new Map((await writer.list(rbac.clusterroles)).map((role) => [role.metadata.name ?? "", role]));
  const plans = policy.clusterRoles.map((role) => planRole(all.get(role.metadata.name ?? ""), role));
  // Aggregated before anything is written, so that admin, edit and view never exist empty.
  const isNew = new Set<string>();
  for (const plan of plans) {
    if (plan.kind === "none") continue;
    const name = plan.object.metadata.name ?? "";
    if (plan.kind === "create") isNew.add(name);
    all.set(name, plan.object);
  }
  const aggregated = new Map(planAggregation([...all.values()]).map((role) => [role.metadata.name ?? "", role]));
  const touched = new Set([
    ...plans.flatMap((p) => (p.kind === "none" ? [] : [p.object.metadata.name ?? ""])),
    ...aggregated.keys(),
  ]);
  for (const name of touched) {
    const object = aggregated.get(name) ?? (all.get(name) as ClusterRole);
    await carryOut(writer, rbac.clusterroles, { kind: isNew.has(name) ? "create" : "update", object }, written);
  }
  for (const binding of policy.clusterRoleBindings) {
    const existing = await writer.get(rbac.clusterrolebindings, keyOf(binding));
    await carryOut(writer, rbac.clusterrolebindings, planBinding(existing, binding), written);
  }
  for (const role of policy.roles) {
    await carryOut(writer, rbac.roles, planRole(await writer.get(rbac.roles, keyOf(role)), role), written);
  }
  for (const binding of policy.roleBindings) {
    const existing = await writer.get(rbac.rolebindings, keyOf(binding));
    await carryOut(writer, rbac.rolebindings, planBinding(existing, binding), written);
  }
  return written;
}

async function carryOut<T extends { readonly metadata: ObjectMeta }>(
  writer: PolicyWriter,
  ref: ResourceRef<T>,
  plan: ReconcilePlan<T>,
  written: string[],
): Promise<void> {
  if (plan.kind === "none") return;
  if (plan.kind === "recreate") await writer.delete(ref, keyOf(plan.object));
  if (plan.kind === "update") await writer.update(ref, plan.object);
  else await writer.create(ref, plan.object);
  written.push(`${ref.resource}/${plan.object.metadata.name}`);
}

function isProtected(metadata: ObjectMeta): boolean {
  return metadata.annotations?.[AUTOUPDATE] === "false";
}

/** Missing labels and annotations added, present ones kept; undefined when nothing is missing. */
function mergeMetadata(existing: ObjectMeta, expected: ObjectMeta): ObjectMeta | undefined {
  const labels = { ...expected.labels, ...existing.labels };
  const annotations = { ...expected.annotations, ...existing.annotations };
  const isSame =
    Object.keys(labels).length === Object.keys(existing.labels ?? {}).length &&
    Object.keys(annotations).length === Object.keys(existing.annotations ?? {}).length;
  return isSame ? undefined : { ...existing, labels, annotations };
}

function sameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && a.name === b.name && (a.namespace ?? "") === (b.namespace ?? "");
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
