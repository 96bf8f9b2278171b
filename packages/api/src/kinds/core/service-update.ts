/**
 * What an update of a Service inherits and what it drops by itself, so that `kubectl apply` of a manifest without allocated values
 * neither loses them nor keeps those that its new type cannot have.
 * Source: pkg/registry/core/service/storage: normalizeClusterIPs, patchAllocatedValues, dropTypeDependentFields
 */
import { deepEqual } from "../../deep-equal.ts";
import type { Service, ServiceSpec } from "../../generated/types/core-v1.ts";

export function needsClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== "ExternalName";
}

export function needsNodePort(spec: ServiceSpec): boolean {
  if (spec.type === "NodePort") return true;
  return spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false;
}

export function needsHealthCheckNodePort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

function needsExternalTrafficPolicy(spec: ServiceSpec): boolean {
  if (spec.type === "NodePort" || spec.type === "LoadBalancer") return true;
  return spec.type === "ClusterIP" && (spec.externalIPs?.length ?? 0) > 0;
}

/** On create clusterIP and clusterIPs are two spellings of one thing. */
export function syncClusterIps(service: Service): void {
  const { spec } = service;
  if (spec === undefined) return;
  if ((spec.clusterIP ?? "") !== "" && (spec.clusterIPs?.length ?? 0) === 0) spec.clusterIPs = [spec.clusterIP ?? ""];
}

/** On update whoever changed one of the two means both. */
function syncChangedClusterIps(spec: ServiceSpec, old: ServiceSpec): void {
  const before = old.clusterIP ?? "";
  const now = spec.clusterIP ?? "";
  const sameList = deepEqual(spec.clusterIPs, old.clusterIPs);
  if (now === before) {
    if ((spec.clusterIPs?.length ?? 0) === 0 && before !== "") delete spec.clusterIP;
    return;
  }
  if (now === "" && sameList) delete spec.clusterIPs;
  else if (now !== "" && spec.clusterIPs?.[0] === before) spec.clusterIPs = [now, ...spec.clusterIPs.slice(1)];
}

function inheritNodePorts(spec: ServiceSpec, old: ServiceSpec): void {
  const keyOf = (port: { protocol?: string | undefined; port: number }) => `${port.protocol}/${port.port}`;
  const used = new Set((spec.ports ?? []).map((port) => port.nodePort));
  const before = new Map((old.ports ?? []).map((port) => [keyOf(port), port.nodePort]));
  for (const port of spec.ports ?? []) {
    const inherited = before.get(keyOf(port));
    if (port.nodePort || !inherited || used.has(inherited)) continue;
    port.nodePort = inherited;
    used.add(inherited);
  }
}

function inheritAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(old) && needsClusterIp(spec)) {
    if ((spec.clusterIP ?? "") === "" && old.clusterIP !== undefined) spec.clusterIP = old.clusterIP;
    if ((spec.clusterIPs?.length ?? 0) === 0 && old.clusterIPs !== undefined) spec.clusterIPs = old.clusterIPs;
  }
  if (needsNodePort(old) && needsNodePort(spec)) inheritNodePorts(spec, old);
  if (needsHealthCheckNodePort(old) && needsHealthCheckNodePort(spec) && !spec.healthCheckNodePort) {
    if (old.healthCheckNodePort !== undefined) spec.healthCheckNodePort = old.healthCheckNodePort;
  }
}

function sameNodePorts(spec: ServiceSpec, old: ServiceSpec): boolean {
  const ports = (of: ServiceSpec) => new Set((of.ports ?? []).map((port) => port.nodePort).filter(Boolean));
  const before = ports(old);
  return [...ports(spec)].every((port) => before.has(port));
}

type Droppable =
  | "clusterIP"
  | "clusterIPs"
  | "ipFamilies"
  | "ipFamilyPolicy"
  | "healthCheckNodePort"
  | "allocateLoadBalancerNodePorts"
  | "loadBalancerClass"
  | "externalTrafficPolicy"
  | "internalTrafficPolicy";

/** Values that the user did not touch and that the new type cannot have go away. */
function dropWithType(spec: ServiceSpec, old: ServiceSpec): void {
  const drop = (...fields: Droppable[]) => {
    if (fields.every((field) => deepEqual(spec[field], old[field]))) for (const field of fields) delete spec[field];
  };
  if (needsClusterIp(old) && !needsClusterIp(spec)) {
    drop("clusterIP", "clusterIPs");
    drop("ipFamilies");
    drop("ipFamilyPolicy");
    drop("internalTrafficPolicy");
  }
  if (needsNodePort(old) && !needsNodePort(spec) && sameNodePorts(spec, old)) {
    for (const port of spec.ports ?? []) delete port.nodePort;
  }
  if (needsHealthCheckNodePort(old) && !needsHealthCheckNodePort(spec)) drop("healthCheckNodePort");
  if (old.type === "LoadBalancer" && spec.type !== "LoadBalancer") {
    drop("allocateLoadBalancerNodePorts");
    drop("loadBalancerClass");
  }
  if (needsExternalTrafficPolicy(old) && !needsExternalTrafficPolicy(spec)) drop("externalTrafficPolicy");
}

/** Mutates. */
export function prepareServiceUpdate(service: Service, old: Service): void {
  if (service.spec === undefined || old.spec === undefined) return;
  syncChangedClusterIps(service.spec, old.spec);
  inheritAllocated(service.spec, old.spec);
  dropWithType(service.spec, old.spec);
}
