/**
 * Services and EndpointSlices as the proxy sees them: one ServicePort per port and address family, its endpoints beside
 * it. What the proxy does not serve (headless, ExternalName) yields nothing.
 */
import type { ServicePort as ApiServicePort, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { formatIp, formatPrefix, type IpFamily, parseIp, parsePrefix } from "@knarr/netfilter/ip.ts";
import type { Protocol } from "@knarr/netfilter/rule.ts";

export interface ServicePort {
  readonly namespace: string;
  readonly service: string;
  /** "" for the only port of a Service, which may be unnamed. */
  readonly portName: string;
  /** "ns/name:port", or "ns/name" for an unnamed port: what comments and chain hashes are made of. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly clusterIp: string;
  /** 0 for none. */
  readonly nodePort: number;
  readonly externalIps: readonly string[];
  /** Ingress addresses that a node handles itself (ipMode VIP). */
  readonly loadBalancerIps: readonly string[];
  readonly sourceRanges: readonly string[];
  /** How long a client sticks to its endpoint; undefined without session affinity. */
  readonly affinitySeconds: number | undefined;
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** 0 for none. */
  readonly healthCheckNodePort: number;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** On this node. */
  readonly local: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

/** Source: core/v1 SessionAffinityConfig; the API server fills it in, this is for objects of older servers. */
const DEFAULT_AFFINITY_SECONDS = 10_800;
const protocols: Readonly<Record<string, Protocol>> = { TCP: "tcp", UDP: "udp", SCTP: "sctp" };

/** The ports of a Service in one address family; none for headless and ExternalName Services. */
export function servicePortsOf(service: Service, family: IpFamily): ServicePort[] {
  const { spec, metadata } = service;
  if (spec === undefined || spec.type === "ExternalName") return [];
  const clusterIps = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  if (clusterIps[0] === "None") return [];
  const ofFamily = (addresses: readonly (string | undefined)[] | undefined) => addressesOf(addresses ?? [], family);
  const [clusterIp] = ofFamily(clusterIps);
  if (clusterIp === undefined) return [];
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const externallyReachable =
    spec.type === "LoadBalancer" || spec.type === "NodePort" || (spec.externalIPs ?? []).length > 0;
  const externalLocal = externallyReachable && spec.externalTrafficPolicy === "Local";
  const common = {
    namespace: metadata.namespace ?? "",
    service: metadata.name ?? "",
    clusterIp,
    externalIps: ofFamily(spec.externalIPs),
    loadBalancerIps: ofFamily(ingress.filter((i) => (i.ipMode ?? "VIP") === "VIP").map((i) => i.ip)),
    sourceRanges: prefixesOf(spec.loadBalancerSourceRanges ?? [], family),
    affinitySeconds:
      spec.sessionAffinity === "ClientIP"
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
        : undefined,
    internalLocal: spec.internalTrafficPolicy === "Local",
    externalLocal,
    healthCheckNodePort: spec.type === "LoadBalancer" && externalLocal ? (spec.healthCheckNodePort ?? 0) : 0,
  };
  return (spec.ports ?? []).flatMap((port) => servicePortOf(port, common));
}

/**
 * The addresses of one family, in the kernel's own spelling. What is no address is left out: a single bad one in an
 * object must not keep all other rules from the kernel.
 */
function addressesOf(texts: readonly (string | undefined)[], family: IpFamily): string[] {
  const parsed = texts.map((text) => parseIp(text ?? ""));
  return [...new Set(parsed.flatMap((ip) => (ip?.family === family ? [formatIp(ip)] : [])))];
}

/** Likewise for prefixes, which the API lets have spaces around them. */
function prefixesOf(texts: readonly string[], family: IpFamily): string[] {
  const parsed = texts.map((text) => parsePrefix(text.trim()));
  return [...new Set(parsed.flatMap((prefix) => (prefix?.family === family ? [formatPrefix(prefix)] : [])))];
}

function servicePortOf(
  port: ApiServicePort,
  common: Omit<ServicePort, "name" | "portName" | "protocol" | "port" | "nodePort">,
): ServicePort[] {
  const protocol = protocols[port.protocol ?? "TCP"];
  if (protocol === undefined) return [];
  const portName = port.name ?? "";
  const name = `${common.namespace}/${common.service}${portName === "" ? "" : `:${portName}`}`;
  return [{ ...common, portName, name, protocol, port: port.port, nodePort: port.nodePort ?? 0 }];
}

/** The endpoints of one Service port, each address and port once, in a stable order. */
export function endpointsOf(
  slices: readonly EndpointSlice[],
  servicePort: Pick<ServicePort, "portName" | "protocol">,
  options: { readonly family: IpFamily; readonly nodeName: string },
): Endpoint[] {
  const addressType = options.family === "ipv4" ? "IPv4" : "IPv6";
  const found = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== addressType) continue;
    for (const slicePort of slice.ports ?? []) {
      if ((slicePort.name ?? "") !== servicePort.portName || slicePort.port === undefined) continue;
      if (protocols[slicePort.protocol ?? "TCP"] !== servicePort.protocol) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const [address] = addressesOf(endpoint.addresses.slice(0, 1), options.family);
        if (address === undefined) continue;
        const ready = endpoint.conditions?.ready ?? true;
        found.set(`${address} ${slicePort.port}`, {
          address,
          port: slicePort.port,
          ready,
          serving: endpoint.conditions?.serving ?? ready,
          terminating: endpoint.conditions?.terminating ?? false,
          local: endpoint.nodeName === options.nodeName,
          zoneHints: (endpoint.hints?.forZones ?? []).map((zone) => zone.name),
          nodeHints: (endpoint.hints?.forNodes ?? []).map((node) => node.name),
        });
      }
    }
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, endpoint]) => endpoint);
}

/** Whether anything but its cluster IP leads to the port. */
export function isExternallyAccessible(port: ServicePort): boolean {
  return port.nodePort !== 0 || port.loadBalancerIps.length > 0 || port.externalIps.length > 0;
}
