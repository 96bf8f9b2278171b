/**
 * Nobody grants more than they have: which of some rules a user does not hold, and the refusals that the RBAC registry sends.
 * Source: k8s.io/kubernetes/pkg/registry/rbac/{validation,role,rolebinding,escalation_check.go}
 */
import type { PolicyRule, RoleRef } from "@knarr/api/generated/types/rbac-v1.ts";
import { type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { SYSTEM_MASTERS, type UserInfo } from "../authn/types.ts";
import { quote } from "./forbidden.ts";
import { joinErrors } from "./rbac.ts";
import { pathMatches } from "./rule.ts";
import type { Authorizer, ResourceAttributes, RuleResolver } from "./types.ts";

const RBAC_GROUP = "rbac.authorization.k8s.io";
const SCOPES = {
  roles: "Role",
  clusterroles: "ClusterRole",
  rolebindings: "RoleBinding",
  clusterrolebindings: "ClusterRoleBinding",
};

/** The parts of `wanted` that `held` does not cover, each rule broken down to single verbs and resources first, then merged again. */
export function missingRules(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): readonly PolicyRule[] {
  const missing: PolicyRule[] = [];
  for (const rule of wanted) {
    for (const part of breakDown(rule)) if (!held.some((holder) => covers(holder, part))) missing.push(part);
  }
  return compact(missing);
}

export interface EscalationRequest {
  readonly user: UserInfo;
  readonly resource: keyof typeof SCOPES;
  /** "" for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
}

/**
 * May the user write a role with these rules? undefined if so, else the 403 to send.
 * They may if they hold every rule, or the verb `escalate` on the role, or are of system:masters.
 */
export async function checkEscalation(
  request: EscalationRequest,
  rules: readonly PolicyRule[],
  by: { readonly authorizer: Authorizer; readonly resolver: RuleResolver },
): Promise<StatusError | undefined> {
  const { user, namespace } = request;
  if (user.groups.includes(SYSTEM_MASTERS)) return undefined;
  if ((await by.authorizer.authorize(question(request, "escalate"))).verdict === "allowed") return undefined;
  return refusal(request, rules, by.resolver.rulesFor(user, namespace));
}

/**
 * May the user bind this role? undefined if so, else the 403 to send. They may if they have the verb `bind` on the role, or hold every
 * rule of it. `roleRules` is undefined when the role does not exist (then only `bind` will do).
 */
export async function checkBinding(
  request: EscalationRequest,
  ref: RoleRef,
  roleRules: readonly PolicyRule[] | undefined,
  by: { readonly authorizer: Authorizer; readonly resolver: RuleResolver },
): Promise<StatusError | undefined> {
  const { user, namespace } = request;
  if (user.groups.includes(SYSTEM_MASTERS)) return undefined;
  const role: EscalationRequest = {
    user,
    resource: ref.kind === "ClusterRole" ? "clusterroles" : "roles",
    namespace,
    name: ref.name,
  };
  if ((await by.authorizer.authorize(question(role, "bind"))).verdict === "allowed") return undefined;
  if (roleRules === undefined) {
    return statusErrors.notFound({ group: RBAC_GROUP, resource: ref.kind.toLowerCase() }, ref.name);
  }
  return refusal(request, roleRules, by.resolver.rulesFor(user, namespace));
}

function question(request: EscalationRequest, verb: string): ResourceAttributes {
  return {
    kind: "resource",
    user: request.user,
    verb,
    apiGroup: RBAC_GROUP,
    apiVersion: "*",
    resource: request.resource,
    subresource: "",
    namespace: request.namespace,
    name: request.name,
  };
}

function refusal(
  request: EscalationRequest,
  rules: readonly PolicyRule[],
  held: { readonly rules: readonly PolicyRule[]; readonly errors: readonly string[] },
): StatusError | undefined {
  const missing = missingRules(held.rules, rules);
  if (missing.length === 0) return undefined;
  const { user } = request;
  const lines = missing.map(describeRule).sort();
  const trouble = held.errors.length === 0 ? "" : `; resolution errors: [${joinErrors(held.errors)}]`;
  const text =
    `user ${quote(user.name)} (groups=[${user.groups.map(quote).join(" ")}]) is attempting to grant RBAC permissions not currently held:\n` +
    lines.join("\n") +
    trouble;
  return statusErrors.forbidden({ group: RBAC_GROUP, resource: request.resource }, request.name, text);
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}` */
function describeRule(rule: PolicyRule): string {
  const list = (values: readonly string[]) => `[${values.map(quote).join(" ")}]`;
  const parts: string[] = [];
  const add = (name: string, values: readonly string[] | undefined) => {
    if (values !== undefined && values.length > 0) parts.push(`${name}:${list(values)}`);
  };
  add("APIGroups", rule.apiGroups);
  add("Resources", rule.resources);
  add("NonResourceURLs", rule.nonResourceURLs);
  add("ResourceNames", rule.resourceNames);
  add("Verbs", rule.verbs);
  return `{${parts.join(", ")}}`;
}

/** One rule as many of one verb, group, resource and name each. */
function* breakDown(rule: PolicyRule): Generator<PolicyRule> {
  for (const verb of rule.verbs) {
    for (const url of rule.nonResourceURLs ?? []) yield { verbs: [verb], nonResourceURLs: [url] };
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const one = { verbs: [verb], apiGroups: [group], resources: [resource] };
        const names = rule.resourceNames ?? [];
        if (names.length === 0) yield one;
        for (const name of names) yield { ...one, resourceNames: [name] };
      }
    }
  }
}

function covers(holder: PolicyRule, part: PolicyRule): boolean {
  const has = (values: readonly string[] | undefined, value: string | undefined) =>
    value !== undefined && values !== undefined && (values.includes("*") || values.includes(value));
  if (!has(holder.verbs, part.verbs[0])) return false;
  const url = part.nonResourceURLs?.[0];
  if (url !== undefined) return (holder.nonResourceURLs ?? []).some((pattern) => pathMatches(pattern, url));
  if (!has(holder.apiGroups, part.apiGroups?.[0])) return false;
  if (!holdsResource(holder.resources ?? [], part.resources?.[0] ?? "")) return false;
  const names = holder.resourceNames ?? [];
  const name = part.resourceNames?.[0];
  return names.length === 0 || (name !== undefined && names.includes(name));
}

function holdsResource(held: readonly string[], resource: string): boolean {
  if (held.includes("*") || held.includes(resource)) return true;
  const slash = resource.indexOf("/");
  return slash >= 0 && held.includes(`*${resource.slice(slash)}`);
}

/** Rules that differ in their verbs only, as one. */
function compact(rules: readonly PolicyRule[]): readonly PolicyRule[] {
  const merged = new Map<string, PolicyRule>();
  for (const rule of rules) {
    const { verbs, ...rest } = rule;
    const key = JSON.stringify(rest);
    const known = merged.get(key);
    merged.set(key, known === undefined ? rule : { ...known, verbs: [...known.verbs, ...verbs] });
  }
  return [...merged.values()];
}
