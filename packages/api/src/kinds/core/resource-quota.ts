import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { ResourceQuota } from "../../generated/types/core-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateAmount } from "./pod-spec/resources.ts";
import { type ResourceList, roundResources } from "./resource-list.ts";

const scopes = [
  "BestEffort",
  "CrossNamespacePodAffinity",
  "NotBestEffort",
  "NotTerminating",
  "PriorityClass",
  "Terminating",
  "VolumeAttributesClass",
];
const standard = new Set([
  ...["cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage"],
  ...[
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
  ],
  ...["services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps"],
  ...["services.nodeports", "services.loadbalancers"],
]);

const valueless = ["BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "Terminating"];
const conflicting = [
  ["BestEffort", "NotBestEffort"],
  ["Terminating", "NotTerminating"],
];
const podCompute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

/** Whether a scope says anything about a resource. Source: helper.IsResourceQuotaScopeValidForResource */
function mayScope(scope: string, name: string): boolean {
  if (scope === "BestEffort") return name === "pods";
  if (scope === "VolumeAttributesClass") {
    return name === "persistentvolumeclaims" || name === "requests.storage";
  }
  return !scopes.includes(scope) || name === "pods" || podCompute.includes(name);
}

function validateList(errors: FieldErrors, path: string, list: ResourceList | undefined): void {
  for (const [name, amount] of Object.entries(list ?? {})) {
    const at = `${path}[${name}]`;
    errors.invalidAll(at, name, isQualifiedName(name));
    const known = name.includes("/") || standard.has(name) || /^(requests\.)?hugepages-/.test(name);
    if (!known) errors.invalid(at, name, "must be a standard resource for quota");
    validateAmount(errors, at, name, amount);
  }
}

/** "cpu: 1/2, pods: 3/10", of the resources whose name begins so (or of all the others). */
function usage(quota: ResourceQuota, isLimit: boolean): string {
  const names = Object.keys(quota.status?.hard ?? {}).sort();
  return names
    .filter((name) => name.startsWith("limits.") === isLimit)
    .map((name) => `${name}: ${quota.status?.used?.[name] ?? "0"}/${quota.status?.hard?.[name] ?? "0"}`)
    .join(", ");
}

/** Source: pkg/registry/core/resourcequota/strategy.go, ValidateResourceQuota */
export const resourceQuotaKind = defineKind<ResourceQuota>({
  ref: core.resourcequotas,
  shortNames: ["quota"],
  subresources: [statusOf("ResourceQuota")],
  prefix: "/registry/resourcequotas",
  nameRule: subdomainName,
  generation: "none",
  default(quota) {
    for (const list of [quota.spec?.hard, quota.status?.hard, quota.status?.used]) roundResources(list);
  },
  validate(errors, quota) {
    validateList(errors, "spec.hard", quota.spec?.hard);
    const hard = Object.keys(quota.spec?.hard ?? {}).sort();
    const misapplied = (scope: string) => hard.filter((name) => standard.has(name) && !mayScope(scope, name));
    const given = quota.spec?.scopes ?? [];
    for (const scope of given) {
      if (!scopes.includes(scope)) errors.invalid("spec.scopes", given, "unsupported scope");
      for (const _ of misapplied(scope)) errors.invalid("spec.scopes", given, "unsupported scope applied to resource");
    }
    for (const pair of conflicting) {
      if (pair.every((scope) => given.includes(scope))) errors.invalid("spec.scopes", given, "conflicting scopes");
    }
    for (const requirement of quota.spec?.scopeSelector?.matchExpressions ?? []) {
      const path = "spec.scopeSelector.matchExpressions";
      if (!scopes.includes(requirement.scopeName))
        errors.invalid(`${path}.scopeName`, requirement.scopeName, "unsupported scope");
      for (const _ of misapplied(requirement.scopeName)) {
        errors.invalid(path, requirement, "unsupported scope applied to resource");
      }
      if (valueless.includes(requirement.scopeName) && requirement.operator !== "Exists") {
        errors.invalid(
          `${path}.operator`,
          requirement.operator,
          "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, " +
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        );
      }
      const values = requirement.values ?? [];
      if (["In", "NotIn"].includes(requirement.operator)) {
        if (values.length === 0) {
          errors.required(
            `${path}.values`,
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
          );
        }
      } else if (["Exists", "DoesNotExist"].includes(requirement.operator)) {
        if (values.length > 0) {
          errors.invalid(
            `${path}.values`,
            values,
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
          );
        }
      } else errors.invalid(`${path}.operator`, requirement.operator, "not a valid selector operator");
    }
  },
  validateUpdate(errors, quota, old) {
    const sorted = (of: ResourceQuota) => [...(of.spec?.scopes ?? [])].sort();
    if (!deepEqual(sorted(quota), sorted(old)))
      errors.invalid("spec.scopes", quota.spec?.scopes ?? [], "field is immutable");
  },
  validateSubresource(errors, quota) {
    validateList(errors, "status.hard", quota.status?.hard);
    validateList(errors, "status.used", quota.status?.used);
  },
  columns: [
    nameColumn(),
    textColumn("Request", (quota) => usage(quota, false)),
    textColumn("Limit", (quota) => usage(quota, true)),
    ageColumn(),
  ],
});
