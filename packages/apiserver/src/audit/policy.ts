/**
 * What is recorded of a request: the first rule of an audit.k8s.io/v1 Policy that fits it. Pure.
 * Source: k8s.io/apiserver/pkg/audit/policy/{reader,checker}.go
 */
import { parseYaml, YamlError } from "@knarr/apimachinery/yaml.ts";

export const LEVELS = ["None", "Metadata", "Request", "RequestResponse"] as const;
export type Level = (typeof LEVELS)[number];
export const STAGES = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"] as const;
export type Stage = (typeof STAGES)[number];

export interface Verdict {
  readonly level: Level;
  readonly omitStages: readonly Stage[];
  readonly omitManagedFields: boolean;
}

export interface AuditAttributes {
  readonly user: string;
  readonly groups: readonly string[];
  readonly verb: string;
  readonly isResourceRequest: boolean;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
}

interface GroupResources {
  readonly group?: string;
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
}

interface Rule {
  readonly level: Level;
  readonly users?: readonly string[];
  readonly userGroups?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly GroupResources[];
  readonly namespaces?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly omitStages?: readonly Stage[];
  readonly omitManagedFields?: boolean;
}

export interface AuditPolicy {
  readonly rules: readonly Rule[];
  readonly omitStages?: readonly Stage[];
  readonly omitManagedFields?: boolean;
}

/**
 * Without a policy file: who did what, once, when it was done.
 * Differs from upstream: there a log without a policy stays empty, which nobody wants who names a log.
 */
export const METADATA_POLICY: AuditPolicy = {
  rules: [{ level: "Metadata" }],
  omitStages: ["RequestReceived", "ResponseStarted"],
};

export class AuditPolicyError extends Error {
  override readonly name = "AuditPolicyError";
}

const RULE_FIELDS = new Set([
  "level",
  "users",
  "userGroups",
  "verbs",
  "resources",
  "namespaces",
  "nonResourceURLs",
  "omitStages",
  "omitManagedFields",
]);

/** Throws AuditPolicyError naming the field. */
export function parseAuditPolicy(text: string): AuditPolicy {
  let value: unknown;
  try {
    ({ value } = parseYaml(text));
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new AuditPolicyError(error.message);
  }
  const policy = (typeof value === "object" && value !== null ? value : {}) as AuditPolicy & {
    apiVersion?: string;
    kind?: string;
  };
  if (policy.apiVersion !== "audit.k8s.io/v1" || policy.kind !== "Policy") {
    throw new AuditPolicyError("must be a Policy of audit.k8s.io/v1");
  }
  if (!Array.isArray(policy.rules) || policy.rules.length === 0)
    throw new AuditPolicyError("rules: Required value: no rules");
  checkStages(policy.omitStages, "omitStages");
  for (const [i, rule] of policy.rules.entries()) checkRule(rule as Rule, `rules[${i}]`);
  return policy;
}

function checkRule(rule: Rule, path: string): void {
  const unknown = Object.keys(rule).find((field) => !RULE_FIELDS.has(field));
  if (unknown !== undefined) throw new AuditPolicyError(`${path}: unknown field ${JSON.stringify(unknown)}`);
  if (!LEVELS.includes(rule.level)) {
    throw new AuditPolicyError(
      `${path}.level: Unsupported value: ${JSON.stringify(rule.level)}: supported values: ${LEVELS.join(", ")}`,
    );
  }
  checkStages(rule.omitStages, `${path}.omitStages`);
  const isForResources = (rule.resources ?? []).length > 0 || (rule.namespaces ?? []).length > 0;
  if ((rule.nonResourceURLs ?? []).length > 0 && isForResources) {
    throw new AuditPolicyError(
      `${path}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs`,
    );
  }
  for (const url of rule.nonResourceURLs ?? []) {
    if (url !== "*" && (!url.startsWith("/") || url.slice(0, -1).includes("*"))) {
      throw new AuditPolicyError(
        `${path}.nonResourceURLs: Invalid value: ${JSON.stringify(url)}: must begin with '/' and may end with '*'`,
      );
    }
  }
}

function checkStages(stages: readonly Stage[] | undefined, path: string): void {
  for (const stage of stages ?? []) {
    if (!STAGES.includes(stage))
      throw new AuditPolicyError(
        `${path}: Unsupported value: ${JSON.stringify(stage)}: supported values: ${STAGES.join(", ")}`,
      );
  }
}

/** Nothing fits: nothing is recorded. */
export function evaluatePolicy(policy: AuditPolicy, request: AuditAttributes): Verdict {
  const rule = policy.rules.find((one) => fits(one, request));
  return {
    level: rule?.level ?? "None",
    omitStages: [...(policy.omitStages ?? []), ...(rule?.omitStages ?? [])],
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields ?? false,
  };
}

const isAny = (list: readonly unknown[] | undefined): boolean => list === undefined || list.length === 0;

function fits(rule: Rule, request: AuditAttributes): boolean {
  if (!isAny(rule.users) && rule.users?.includes(request.user) !== true) return false;
  if (!isAny(rule.userGroups) && !request.groups.some((group) => rule.userGroups?.includes(group) === true))
    return false;
  if (!isAny(rule.verbs) && rule.verbs?.includes(request.verb) !== true) return false;
  const forResources = !isAny(rule.resources) || !isAny(rule.namespaces);
  const forPaths = !isAny(rule.nonResourceURLs);
  if (!forResources && !forPaths) return true;
  if (!request.isResourceRequest)
    return forPaths && (rule.nonResourceURLs ?? []).some((url) => fitsPath(url, request.path));
  if (!forResources) return false;
  if (!isAny(rule.namespaces) && rule.namespaces?.includes(request.namespace) !== true) return false;
  return isAny(rule.resources) || (rule.resources ?? []).some((one) => fitsResource(one, request));
}

function fitsPath(url: string, path: string): boolean {
  if (url === "*" || url === path) return true;
  return url.endsWith("*") && path.startsWith(url.slice(0, -1));
}

function fitsResource(rule: GroupResources, { group, resource, subresource, name }: AuditAttributes): boolean {
  if ((rule.group ?? "") !== group) return false;
  if (isAny(rule.resources)) return true;
  if (!isAny(rule.resourceNames) && rule.resourceNames?.includes(name) !== true) return false;
  const combined = subresource === "" ? resource : `${resource}/${subresource}`;
  return (rule.resources ?? []).some(
    (one) =>
      one === "*" ||
      one === combined ||
      (subresource !== "" && (one === `*/${subresource}` || one === `${resource}/*`)),
  );
}
