/**
 * Small plugins that are off by default, together because each is a rule of a few lines.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/{admit,deny,namespace,antiaffinity,extendedresourcetoleration,
 * denyserviceexternalips}
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, PodAffinityTerm, Service } from "@knarr/api/generated/types/core-v1.ts";
import { isExtendedResource } from "@knarr/api/kinds/core/resource-names.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { type AdmissionAttributes, type AdmissionPlugin, admissionForbidden, isFor } from "./plugin.ts";

export const alwaysAdmit: AdmissionPlugin = { name: "AlwaysAdmit" };

export const alwaysDeny: AdmissionPlugin = {
  name: "AlwaysDeny",
  admit(attributes) {
    throw admissionForbidden(attributes, "admission control is denying all modifications");
  },
};

/** Kept for clusters that name it: NamespaceLifecycle does more. */
export const namespaceExists: AdmissionPlugin = {
  name: "NamespaceExists",
  async validate(attributes, env) {
    const { namespace, ref } = attributes;
    if (namespace === "" || !ref.namespaced) return;
    const key = { namespace: "", name: namespace };
    const found =
      (await env.lookup.get(core.namespaces, key)) ?? (await env.lookup.get(core.namespaces, key, { live: true }));
    if (found === undefined) throw statusErrors.notFound({ group: "", resource: "namespaces" }, namespace);
  },
};

/** Required anti-affinity by anything but the host name could keep everybody else off whole zones. */
export const limitPodHardAntiAffinityTopology: AdmissionPlugin = {
  name: "LimitPodHardAntiAffinityTopology",
  validate(attributes) {
    if (!isPodWrite(attributes)) return;
    const terms: readonly PodAffinityTerm[] =
      (attributes.object as Pod).spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    const odd = terms.find((term) => term.topologyKey !== "kubernetes.io/hostname");
    if (odd === undefined) return;
    throw admissionForbidden(
      attributes,
      `affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey ${odd.topologyKey} but only key kubernetes.io/hostname is allowed`,
    );
  },
};

/** Nodes with special devices are tainted by the device's name; pods that ask for it may go there. */
export const extendedResourceToleration: AdmissionPlugin = {
  name: "ExtendedResourceToleration",
  admit(attributes) {
    if (!isPodWrite(attributes)) return;
    const { spec } = attributes.object as Pod;
    if (spec === undefined) return;
    const resources = [...spec.containers, ...(spec.initContainers ?? [])].flatMap((container) =>
      Object.keys(container.resources?.requests ?? {}).filter(isExtendedResource),
    );
    for (const key of [...new Set(resources)].sort()) {
      const tolerated = spec.tolerations?.some(
        (t) => t.key === key && t.operator === "Exists" && (t.effect ?? "") === "",
      );
      if (tolerated !== true) spec.tolerations = [...(spec.tolerations ?? []), { key, operator: "Exists" }];
    }
  },
};

/** New external addresses let a user catch other users' traffic (CVE-2020-8554). */
export const denyServiceExternalIps: AdmissionPlugin = {
  name: "DenyServiceExternalIPs",
  validate(attributes) {
    const writes = attributes.operation === "CREATE" || attributes.operation === "UPDATE";
    if (!writes || !isFor(attributes, core.services)) return;
    const before = new Set((attributes.oldObject as Service | undefined)?.spec?.externalIPs ?? []);
    const added = ((attributes.object as Service).spec?.externalIPs ?? []).filter((address) => !before.has(address));
    if (added.length === 0) return;
    throw admissionForbidden(attributes, "Use of external IPs is denied by admission control");
  },
};

function isPodWrite(attributes: AdmissionAttributes): boolean {
  const { operation } = attributes;
  return (operation === "CREATE" || operation === "UPDATE") && isFor(attributes, core.pods);
}
