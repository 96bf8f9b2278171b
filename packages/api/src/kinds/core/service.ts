import { ageColumn, formatLabels, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { Service } from "../../generated/types/core-v1.ts";
import { labelName } from "../../validation/names.ts";
import { defaultService } from "./service-defaults.ts";
import { prepareServiceUpdate, syncClusterIps } from "./service-update.ts";
import { validateService, validateServiceUpdate } from "./service-validation.ts";

function portsText(service: Service): string {
  const ports = service.spec?.ports ?? [];
  if (ports.length === 0) return "<none>";
  return ports
    .map((port) => (port.nodePort ? `${port.port}:${port.nodePort}/${port.protocol}` : `${port.port}/${port.protocol}`))
    .join(",");
}

function loadBalancerText(service: Service): string {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const addresses = new Set(ingress.map((i) => i.ip || i.hostname || "").filter((address) => address !== ""));
  return [...addresses].sort().join(",");
}

function externalIpText(service: Service): string {
  const externalIps = service.spec?.externalIPs ?? [];
  const own = externalIps.length === 0 ? "<none>" : externalIps.join(",");
  switch (service.spec?.type) {
    case "ClusterIP":
    case "NodePort":
      return own;
    case "LoadBalancer": {
      const balancer = loadBalancerText(service);
      const all = [...(balancer === "" ? [] : [balancer]), ...externalIps].join(",");
      return all === "" ? "<pending>" : all;
    }
    case "ExternalName":
      return service.spec.externalName ?? "";
    default:
      return "<unknown>";
  }
}

/** Source: pkg/registry/core/service/strategy.go; allocation of addresses and ports is the API server's. */
export const serviceKind = defineKind<Service>({
  ref: core.services,
  shortNames: ["svc"],
  categories: ["all"],
  subresources: [
    { name: "proxy", kind: "ServiceProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] },
    statusOf("Service"),
  ],
  prefix: "/registry/services/specs",
  // Source: KEP-5311; up to 1.35 a DNS-1035 label
  nameRule: labelName,
  allowCreateOnUpdate: true,
  generation: "none",
  selectable: {
    "spec.clusterIP": (service) => service.spec?.clusterIP ?? "",
    "spec.type": (service) => service.spec?.type ?? "",
  },
  default: defaultService,
  prepareForCreate: syncClusterIps,
  prepareForUpdate(service, old, subresource) {
    if (subresource === "") prepareServiceUpdate(service, old);
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
  columns: [
    nameColumn(),
    textColumn("Type", (service) => service.spec?.type ?? ""),
    textColumn("Cluster-IP", (service) => service.spec?.clusterIPs?.[0] || service.spec?.clusterIP || "<none>"),
    textColumn("External-IP", externalIpText),
    textColumn("Port(s)", portsText),
    ageColumn(),
    textColumn("Selector", (service) => formatLabels(service.spec?.selector), "wide"),
  ],
});
