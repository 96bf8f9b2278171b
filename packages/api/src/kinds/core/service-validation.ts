/** Source: core/validation ValidateService, ValidateServiceUpdate */
import { isDns1123Label, isDns1123Subdomain, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { deepEqual } from "../../deep-equal.ts";
import type { Service, ServicePort, ServiceSpec } from "../../generated/types/core-v1.ts";
import {
  protocols,
  requireText,
  validateOneOf,
  validatePortNumberOrName,
  validateRequiredOneOf,
} from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { ipFamily, ipRule, isIp, validateCidrSloppy, validateIpSloppy } from "../../validation/ip.ts";
import { portNumberErrors } from "../../validation/names.ts";
import { validateLabels } from "../../validation/object-meta.ts";
import { isExternallyAccessible } from "./service-defaults.ts";
import { needsHealthCheckNodePort } from "./service-update.ts";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const kubeletPort = 10250;
const maxAffinitySeconds = 86400;

function validatePort(
  errors: FieldErrors,
  path: string,
  port: ServicePort,
  needsName: boolean,
  names: Set<string>,
): void {
  const name = port.name ?? "";
  if (name === "" && needsName) errors.required(`${path}.name`);
  else if (name !== "") {
    errors.invalidAll(`${path}.name`, name, isDns1123Label(name));
    if (names.has(name)) errors.duplicate(`${path}.name`, name);
    names.add(name);
  }
  errors.invalidAll(`${path}.port`, port.port, portNumberErrors(port.port));
  validateRequiredOneOf(errors, `${path}.protocol`, port.protocol, protocols);
  validatePortNumberOrName(errors, `${path}.targetPort`, port.targetPort);
  if (port.appProtocol !== undefined) {
    errors.invalidAll(`${path}.appProtocol`, port.appProtocol, isQualifiedName(port.appProtocol));
  }
}

/** As Go prints its internal port with everything else unset. */
function portKey(protocol: string | undefined, port: number): object {
  return { Name: "", Protocol: protocol, AppProtocol: null, Port: port, TargetPort: 0, NodePort: 0 };
}

function validatePorts(errors: FieldErrors, spec: ServiceSpec): void {
  const ports = spec.ports ?? [];
  const isHeadless = spec.clusterIPs?.[0] === "None" || spec.clusterIP === "None";
  if (ports.length === 0 && !isHeadless && spec.type !== "ExternalName") errors.required("spec.ports");
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const path = `spec.ports[${i}]`;
    if (spec.type === "LoadBalancer" && port.port === kubeletPort) {
      const detail = `may not expose port ${kubeletPort} externally since it is used by kubelet`;
      errors.invalid(`${path}.port`, port.port, detail);
    }
    validatePort(errors, path, port, ports.length > 1, names);
    if (port.nodePort) {
      const key = `${port.protocol}/${port.nodePort}`;
      if (spec.type === "ClusterIP" || spec.type === "ExternalName") {
        errors.forbidden(`${path}.nodePort`, `may not be used when \`type\` is '${spec.type}'`);
      }
      if (nodePorts.has(key)) errors.duplicate(`${path}.nodePort`, port.nodePort);
      nodePorts.add(key);
    }
    const key = `${port.protocol}/${port.port}`;
    if (numbers.has(key)) errors.duplicate(path, portKey(port.protocol, port.port));
    numbers.add(key);
  }
}

function validateAffinity(errors: FieldErrors, spec: ServiceSpec): void {
  validateRequiredOneOf(errors, "spec.sessionAffinity", spec.sessionAffinity, ["ClientIP", "None"]);
  const config = spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP") {
    const seconds = config?.clientIP?.timeoutSeconds;
    const path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    if (seconds === undefined) errors.required(path, "when session affinity type is ClientIP");
    else if (seconds <= 0 || seconds > maxAffinitySeconds) {
      errors.invalid(path, seconds, `must be greater than 0 and less than ${maxAffinitySeconds}`);
    }
  } else if (spec.sessionAffinity === "None" && config !== undefined) {
    errors.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None");
  }
}

function validateExternalName(errors: FieldErrors, spec: ServiceSpec): void {
  const clusterIps = spec.clusterIPs ?? [];
  const detail = "may not be set for ExternalName services";
  if ((spec.clusterIP ?? "") !== "" || clusterIps.length > 0) errors.forbidden("spec.clusterIPs", detail);
  if ((spec.ipFamilies?.length ?? 0) > 0) errors.forbidden("spec.ipFamilies", detail);
  if (spec.ipFamilyPolicy !== undefined) errors.forbidden("spec.ipFamilyPolicy", detail);
  const name = (spec.externalName ?? "").replace(/\.$/, "");
  if (name === "") errors.required("spec.externalName");
  else errors.invalidAll("spec.externalName", name, isDns1123Subdomain(name));
}

function validateClusterIps(errors: FieldErrors, spec: ServiceSpec): void {
  const ips = spec.clusterIPs ?? [];
  for (const [i, ip] of ips.entries()) {
    const path = `spec.clusterIPs[${i}]`;
    if (i > 0 && ip === "None")
      errors.invalid(path, ip, "may only be set as the first value (primary) for headless services");
    else if (ip !== "None" && !isIp(ip)) errors.invalid(path, ip, ipRule);
  }
  if (ips.length > 0 && (spec.clusterIP ?? "") !== ips[0]) {
    errors.invalid("spec.clusterIPs", ips, "first value must match `clusterIP`");
  }
  if (ips.length > 2) errors.invalid("spec.clusterIPs", ips, "may only hold up to 2 values");
  const families = spec.ipFamilies ?? [];
  for (const [i, family] of families.entries()) {
    validateOneOf(errors, `spec.ipFamilies[${i}]`, family, ["IPv4", "IPv6"]);
    if (families.indexOf(family) < i) errors.duplicate(`spec.ipFamilies[${i}]`, family);
    const ip = ips[i];
    if (ip !== undefined && isIp(ip) && ipFamily(ip) !== family) {
      errors.invalid(`spec.clusterIPs[${i}]`, ip, `expected an ${family} value as indicated by \`ipFamilies[${i}]\``);
    }
  }
  if (spec.ipFamilyPolicy !== undefined) {
    const supported = ["SingleStack", "PreferDualStack", "RequireDualStack"];
    validateOneOf(errors, "spec.ipFamilyPolicy", spec.ipFamilyPolicy, supported);
  }
}

function validateTraffic(errors: FieldErrors, spec: ServiceSpec): void {
  const external = spec.externalTrafficPolicy ?? "";
  if (isExternallyAccessible(spec)) {
    validateRequiredOneOf(errors, "spec.externalTrafficPolicy", external, ["Cluster", "Local"]);
  } else if (external !== "") {
    const detail = "may only be set for externally-accessible services";
    errors.invalid("spec.externalTrafficPolicy", external, detail);
  }
  const healthPort = spec.healthCheckNodePort ?? 0;
  if (healthPort !== 0 && !needsHealthCheckNodePort(spec)) {
    const detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.invalid("spec.healthCheckNodePort", healthPort, detail);
  }
  if (spec.type !== "ExternalName") {
    validateRequiredOneOf(errors, "spec.internalTrafficPolicy", spec.internalTrafficPolicy, ["Cluster", "Local"]);
  }
  if (spec.trafficDistribution !== undefined) {
    const supported = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    validateOneOf(errors, "spec.trafficDistribution", spec.trafficDistribution, supported);
  }
}

function validateLoadBalancer(errors: FieldErrors, spec: ServiceSpec): void {
  const isBalancer = spec.type === "LoadBalancer";
  const detail = "may only be used when `type` is 'LoadBalancer'";
  if (!isBalancer && spec.allocateLoadBalancerNodePorts !== undefined) {
    errors.forbidden("spec.allocateLoadBalancerNodePorts", detail);
  }
  if (!isBalancer && spec.loadBalancerClass !== undefined) errors.forbidden("spec.loadBalancerClass", detail);
  else if (spec.loadBalancerClass !== undefined) {
    errors.invalidAll("spec.loadBalancerClass", spec.loadBalancerClass, isQualifiedName(spec.loadBalancerClass));
  }
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0 && !isBalancer) errors.forbidden("spec.loadBalancerSourceRanges", detail);
  for (const [i, range] of ranges.entries())
    validateCidrSloppy(errors, `spec.loadBalancerSourceRanges[${i}]`, range.trim());
}

export function validateService(errors: FieldErrors, service: Service): void {
  const { spec } = service;
  if (spec === undefined) return;
  if (spec.type === "ExternalName") validateExternalName(errors, spec);
  else validateClusterIps(errors, spec);
  validatePorts(errors, spec);
  validateLabels(errors, "spec.selector", spec.selector);
  validateAffinity(errors, spec);
  for (const [i, ip] of (spec.externalIPs ?? []).entries()) validateIpSloppy(errors, `spec.externalIPs[${i}]`, ip);
  if (requireText(errors, "spec.type", spec.type)) validateOneOf(errors, "spec.type", spec.type, types);
  validateLoadBalancer(errors, spec);
  validateTraffic(errors, spec);
}

export function validateServiceUpdate(errors: FieldErrors, service: Service, previous: Service): void {
  const { spec } = service;
  const old = previous.spec;
  if (spec === undefined || old === undefined) return;
  if (spec.type === "ExternalName" || old.type === "ExternalName") return;
  const before = old.clusterIPs ?? [];
  const now = spec.clusterIPs ?? [];
  for (const [i, ip] of before.entries()) {
    const released = i === 1 && now.length < 2;
    if (released && spec.ipFamilyPolicy !== "SingleStack") {
      const detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
      errors.invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy ?? null, detail);
    } else if (!released && now[i] !== ip) errors.invalid(`spec.clusterIPs[${i}]`, now, "may not change once set");
  }
  const sameBalancer = spec.type === "LoadBalancer" && old.type === "LoadBalancer";
  if (sameBalancer && !deepEqual(spec.loadBalancerClass, old.loadBalancerClass)) {
    errors.invalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, "may not change once set");
  }
}
