/**
 * What one write means for the quotas of its namespace: refused, or the quotas as they will be. Pure.
 * Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go CheckRequest
 */
import type { ResourceQuota, ScopedResourceSelectorRequirement } from "@knarr/api/generated/types/core-v1.ts";
import { quotaMatches } from "@knarr/api/quota/calculate-usage.ts";
import type { QuotaEvaluator } from "@knarr/api/quota/evaluator.ts";
import { scopesOf } from "@knarr/api/quota/evaluators.ts";
import {
  addResources,
  maskResources,
  maxResources,
  namesAbove,
  negativeNames,
  type ResourceQuantities,
  showResources,
  subtractResources,
  withoutZeros,
} from "@knarr/api/quota/resource-lists.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import { type AdmissionAttributes, admissionForbidden } from "../plugin.ts";

/** Of the plugin's configuration: what may be used only where a quota allows it. */
export interface LimitedResource {
  readonly apiGroup: string;
  readonly resource: string;
  readonly matchContains: readonly string[];
  readonly matchScopes: readonly ScopedResourceSelectorRequirement[];
}

export interface QuotaCheck {
  readonly evaluator: QuotaEvaluator;
  readonly limited: readonly LimitedResource[];
  readonly nowMs: number;
}

/** The quotas after the write, in the same order; those that it does not touch are the same objects. Throws 403. */
export function checkRequest(
  quotas: readonly ResourceQuota[],
  attributes: AdmissionAttributes,
  check: QuotaCheck,
): readonly ResourceQuota[] {
  const { evaluator, nowMs } = check;
  const { object } = attributes;
  if (object === undefined) return quotas;
  const concerned = quotas.filter((quota) => quotaMatches(evaluator, quota, object));
  for (const quota of concerned) requireMeasurable(attributes, evaluator, quota, object);
  const usage = evaluator.usage(object, nowMs);
  const negative = negativeNames(usage);
  if (negative.length > 0) {
    throw admissionForbidden(attributes, `quota usage is negative for resource(s): ${negative.join(",")}`);
  }
  const growth = growthOf(usage, attributes, check);
  const deltas = new Map<ResourceQuota, ResourceQuantities>();
  for (const quota of concerned) {
    const delta = withoutZeros(wasCounted(quota, attributes, evaluator) ? growth : usage);
    if (Object.keys(delta).length > 0) deltas.set(quota, delta);
  }
  const uses = concerned.length > 0 ? deltas.size > 0 : Object.keys(withoutZeros(growth)).length > 0;
  if (!uses) return quotas;
  requireCover(quotas, concerned, attributes, check);
  return quotas.map((quota) => {
    const delta = deltas.get(quota);
    return delta === undefined ? quota : charge(quota, delta, attributes);
  });
}

function requireMeasurable(
  attributes: AdmissionAttributes,
  evaluator: QuotaEvaluator,
  quota: ResourceQuota,
  object: KubeObject,
): void {
  const names = evaluator.matchingResources(Object.keys(quota.status?.hard ?? {}));
  const complaint = evaluator.complaint?.(names, object);
  if (complaint !== undefined) {
    throw admissionForbidden(attributes, `failed quota: ${quota.metadata.name}: ${complaint}`);
  }
  if (names.some((name) => quota.status?.used?.[name] === undefined)) {
    throw admissionForbidden(
      attributes,
      `status unknown for quota: ${quota.metadata.name}, resources: ${names.sort().join(",")}`,
    );
  }
}

/** What an update adds to what was there; all of it for a new object. */
function growthOf(usage: ResourceQuantities, attributes: AdmissionAttributes, check: QuotaCheck): ResourceQuantities {
  const { operation, oldObject } = attributes;
  if (operation !== "UPDATE" || oldObject === undefined) return usage;
  const difference = subtractResources(usage, check.evaluator.usage(oldObject, check.nowMs));
  // Below zero is the quota controller's to give back.
  return maxResources(difference, Object.fromEntries(Object.keys(difference).map((name) => [name, "0"])));
}

function wasCounted(quota: ResourceQuota, attributes: AdmissionAttributes, evaluator: QuotaEvaluator): boolean {
  const { operation, oldObject } = attributes;
  return operation === "UPDATE" && oldObject !== undefined && quotaMatches(evaluator, quota, oldObject);
}

function requireCover(
  quotas: readonly ResourceQuota[],
  concerned: readonly ResourceQuota[],
  attributes: AdmissionAttributes,
  { evaluator, limited, nowMs }: QuotaCheck,
): void {
  const { object, ref } = attributes;
  const rules = limited.filter((rule) => rule.apiGroup === ref.group && rule.resource === ref.resource);
  if (rules.length === 0 || object === undefined) return;
  const usage = evaluator.usage(object, nowMs);
  const covered = concerned.flatMap((quota) => evaluator.matchingResources(Object.keys(quota.status?.hard ?? {})));
  const used = Object.keys(usage).filter((name) => compareQuantities(usage[name] ?? "0", "0") > 0);
  const bare = used.filter(
    (name) => rules.some((rule) => rule.matchContains.some((part) => name.includes(part))) && !covered.includes(name),
  );
  if (bare.length > 0) {
    throw admissionForbidden(attributes, `insufficient quota to consume: ${bare.sort().join(",")}`);
  }
  const matching = (scopes: readonly ScopedResourceSelectorRequirement[]) =>
    scopes.filter((scope) => evaluator.matchesScope(scope, object));
  const offered = quotas.flatMap((quota) => matching(scopesOf(quota.spec ?? {})));
  const open = rules
    .flatMap((rule) => matching(rule.matchScopes))
    .filter((scope) => !offered.some((other) => other.scopeName === scope.scopeName));
  if (open.length === 0) return;
  const shown = open.map(({ scopeName, operator, values = [] }) => `{${scopeName} ${operator} [${values.join(" ")}]}`);
  throw admissionForbidden(attributes, `insufficient quota to match these scopes: [${shown.join(" ")}]`);
}

function charge(quota: ResourceQuota, delta: ResourceQuantities, attributes: AdmissionAttributes): ResourceQuota {
  const { hard = {}, used = {} } = quota.status ?? {};
  const requested = maskResources(delta, Object.keys(hard));
  const after = addResources(used, requested);
  if (attributes.subresource !== "status") {
    const exceeded = namesAbove(maskResources(after, Object.keys(requested)), hard);
    if (exceeded.length > 0) {
      const show = (list: ResourceQuantities) => showResources(maskResources(list, exceeded));
      throw admissionForbidden(
        attributes,
        `exceeded quota: ${quota.metadata.name}, requested: ${show(requested)}, used: ${show(used)}, limited: ${show(hard)}`,
      );
    }
  }
  return { ...quota, status: { ...quota.status, used: after } };
}
