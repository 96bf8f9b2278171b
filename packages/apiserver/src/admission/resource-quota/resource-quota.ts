/**
 * Refuses what the namespace's quotas have no room for. Last of all plugins: what it charges is what will be written.
 * Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { ScopedResourceSelectorRequirement } from "@knarr/api/generated/types/core-v1.ts";
import { evaluatorFor } from "@knarr/api/quota/evaluators.ts";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { AdmissionConfigurationError, checkDocument } from "../admission-configuration.ts";
import type { AdmissionPlugin } from "../plugin.ts";
import type { LimitedResource } from "./check-request.ts";
import { type LedgerTools, QuotaLedger } from "./quota-ledger.ts";

const NAME = "ResourceQuota";

export function createResourceQuota(
  document: JsonObject | undefined,
  tools: Omit<LedgerTools, "limited">,
): AdmissionPlugin {
  const limited = limitedResourcesOf(document);
  const ledger = new QuotaLedger({ ...tools, limited });
  return {
    name: NAME,
    async validate(attributes, env) {
      const { operation, subresource, ref, namespace, object, oldObject } = attributes;
      // Events come and go by themselves, and are never counted.
      if (namespace === "" || !ref.namespaced || ref.kind === "Event") return;
      const evaluator = evaluatorFor(ref.group, ref.resource);
      if (!evaluator.handles({ operation, subresource, object, oldObject })) return;
      if (limited.length === 0 && (await env.lookup.list(core.resourcequotas, namespace)).length === 0) return;
      await ledger.charge(attributes);
    },
  };
}

function limitedResourcesOf(document: JsonObject | undefined): LimitedResource[] {
  if (document === undefined) return [];
  const isNew = document.kind === "ResourceQuotaConfiguration";
  checkDocument(NAME, document, {
    kind: isNew ? "ResourceQuotaConfiguration" : "Configuration",
    apiVersions: isNew
      ? ["apiserver.config.k8s.io/v1"]
      : ["resourcequota.admission.k8s.io/v1beta1", "resourcequota.admission.k8s.io/v1alpha1"],
    fields: ["limitedResources"],
  });
  const list = document.limitedResources ?? [];
  if (!Array.isArray(list))
    throw new AdmissionConfigurationError(`configuration of ${NAME}: limitedResources: not a list`);
  return list.map((item, index) => {
    if (!isJsonObject(item) || typeof item.resource !== "string" || item.resource === "") {
      throw new AdmissionConfigurationError(
        `configuration of ${NAME}: limitedResources[${index}].resource is required`,
      );
    }
    return {
      apiGroup: String(item.apiGroup ?? ""),
      resource: item.resource,
      matchContains: Array.isArray(item.matchContains) ? item.matchContains.map(String) : [],
      matchScopes: (Array.isArray(item.matchScopes) ? item.matchScopes : []) as ScopedResourceSelectorRequirement[],
    };
  });
}
