/** Services, endpoints, Ingresses and NetworkPolicies. Source: kubectl/pkg/describe/describe.go (layout). */
import { discovery } from "@knarr/api/generated/resources.ts";
import type { Endpoints, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import type { Ingress, IngressBackend, IngressClass, NetworkPolicy } from "@knarr/api/generated/types/networking-v1.ts";
import { describeTime } from "./describe-time.ts";
import { type Description, orNone, selectorText } from "./description.ts";
import type { DescribeContext } from "./index.ts";

const mapText = (map: Readonly<Record<string, string>> | undefined) =>
  Object.entries(map ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");

export async function describeService(out: Description, service: Service, context: DescribeContext): Promise<void> {
  const { metadata, spec, status } = service;
  out.head(service, ["namespace", "labels", "annotations"]);
  out.field(0, "Selector", orNone(mapText(spec?.selector)));
  out.field(0, "Type", spec?.type);
  if (spec?.ipFamilyPolicy !== undefined) out.field(0, "IP Family Policy", spec.ipFamilyPolicy);
  if (spec?.ipFamilies !== undefined)
    out.field(0, "IP Families", spec.ipFamilies.length === 0 ? "<none>" : spec.ipFamilies.join(","));
  out.field(0, "IP", spec?.clusterIP ?? "");
  if (spec?.clusterIPs !== undefined)
    out.field(0, "IPs", spec.clusterIPs.length === 0 ? "<none>" : spec.clusterIPs.join(","));
  if ((spec?.externalIPs ?? []).length > 0) out.field(0, "External IPs", spec?.externalIPs?.join(","));
  if ((spec?.loadBalancerIP ?? "") !== "") out.field(0, "Desired LoadBalancer IP", spec?.loadBalancerIP);
  if ((spec?.externalName ?? "") !== "") out.field(0, "External Name", spec?.externalName);
  const ingress = (status?.loadBalancer?.ingress ?? []).map((i) => i.ip ?? i.hostname ?? "");
  if (ingress.length > 0) out.field(0, "LoadBalancer Ingress", ingress.join(", "));
  const slices = await slicesOf(metadata.namespace ?? "", metadata.name ?? "", context);
  for (const port of spec?.ports ?? []) {
    const name = port.name === undefined || port.name === "" ? "<unset>" : port.name;
    const protocol = port.protocol ?? "TCP";
    out.field(0, "Port", `${name}\t${port.port}/${protocol}`);
    out.field(0, "TargetPort", `${port.targetPort ?? port.port}/${protocol}`);
    if ((port.nodePort ?? 0) !== 0) out.field(0, "NodePort", `${name}\t${port.nodePort}/${protocol}`);
    out.field(0, "Endpoints", endpointsText(slices, port.name ?? ""));
  }
  out.field(0, "Session Affinity", spec?.sessionAffinity);
  if ((spec?.externalTrafficPolicy ?? "") !== "") out.field(0, "External Traffic Policy", spec?.externalTrafficPolicy);
  if (spec?.internalTrafficPolicy !== undefined) out.field(0, "Internal Traffic Policy", spec.internalTrafficPolicy);
  if ((spec?.trafficDistribution ?? "") !== "") out.field(0, "Traffic Distribution", spec?.trafficDistribution);
  if ((spec?.healthCheckNodePort ?? 0) !== 0) out.field(0, "HealthCheck NodePort", spec?.healthCheckNodePort);
  if ((spec?.loadBalancerSourceRanges ?? []).length > 0) {
    out.field(0, "LoadBalancer Source Ranges", spec?.loadBalancerSourceRanges?.join(","));
  }
}

async function slicesOf(
  namespace: string,
  service: string,
  { client, signal }: DescribeContext,
): Promise<readonly EndpointSlice[]> {
  const labelSelector = `kubernetes.io/service-name=${service}`;
  return (await client.list(discovery.endpointslices, { namespace, labelSelector, signal })).items;
}

/** The first three ready addresses, and how many more there are. */
function endpointsText(slices: readonly EndpointSlice[], portName: string): string {
  const all = slices.flatMap((slice) => {
    const port = slice.ports?.find((p) => (p.name ?? "") === portName)?.port;
    if (port === undefined) return [];
    return (slice.endpoints ?? [])
      .filter((e) => e.conditions?.ready !== false)
      .flatMap((e) =>
        e.addresses.map((address) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`)),
      );
  });
  const more = all.length > 3 ? ` + ${all.length - 3} more...` : "";
  return `${all.slice(0, 3).join(",")}${more}`;
}

export function describeEndpoints(out: Description, endpoints: Endpoints): void {
  out.head(endpoints, ["namespace", "labels", "annotations"]);
  out.line(0, "Subsets:");
  for (const subset of endpoints.subsets ?? []) {
    const addresses = (list: readonly { ip: string }[] | undefined) => orNone((list ?? []).map((a) => a.ip).join(","));
    out.field(1, "Addresses", addresses(subset.addresses));
    out.field(1, "NotReadyAddresses", addresses(subset.notReadyAddresses));
    if ((subset.ports ?? []).length > 0) {
      out.line(1, "Ports:");
      out.line(2, "Name\tPort\tProtocol");
      out.line(2, "----\t----\t--------");
      for (const { name = "", port, protocol = "TCP" } of subset.ports ?? []) {
        out.line(2, `${name === "" ? "<unset>" : name}\t${port}\t${protocol}`);
      }
    }
    out.line(0, "");
  }
}

export function describeEndpointSlice(out: Description, slice: EndpointSlice): void {
  out.head(slice, ["namespace", "labels", "annotations"]);
  out.field(0, "AddressType", slice.addressType);
  if ((slice.ports ?? []).length === 0) out.field(0, "Ports", "<unset>");
  else {
    out.line(0, "Ports:");
    out.line(1, "Name\tPort\tProtocol");
    out.line(1, "----\t----\t--------");
    for (const { name = "", port, protocol = "TCP" } of slice.ports ?? []) {
      out.line(1, `${name === "" ? "<unset>" : name}\t${port ?? "<unset>"}\t${protocol}`);
    }
  }
  if ((slice.endpoints ?? []).length === 0) {
    out.field(0, "Endpoints", "<none>");
    return;
  }
  out.line(0, "Endpoints:");
  for (const endpoint of slice.endpoints ?? []) {
    out.line(1, `- Addresses:\t${endpoint.addresses.join(",")}`);
    out.line(2, "Conditions:");
    out.field(3, "Ready", endpoint.conditions?.ready ?? "<unset>");
    out.field(2, "Hostname", endpoint.hostname ?? "<unset>");
    const { targetRef } = endpoint;
    if (targetRef !== undefined) out.field(2, "TargetRef", `${targetRef.kind}/${targetRef.name}`);
    out.field(2, "NodeName", endpoint.nodeName ?? "<unset>");
    out.field(2, "Zone", endpoint.zone ?? "<unset>");
  }
}

export async function describeIngress(out: Description, ingress: Ingress, context: DescribeContext): Promise<void> {
  const { metadata, spec, status } = ingress;
  const namespace = metadata.namespace ?? "";
  out.field(0, "Name", metadata.name);
  out.pairs("Labels", metadata.labels);
  out.field(0, "Namespace", namespace);
  out.field(0, "Address", (status?.loadBalancer?.ingress ?? []).map((i) => i.ip ?? i.hostname ?? "").join(","));
  out.field(0, "Ingress Class", orNone(spec?.ingressClassName));
  const backend = async (found: IngressBackend | undefined) => {
    if (found?.service === undefined) {
      const { resource } = found ?? {};
      return resource === undefined
        ? "<default>"
        : `APIGroup: ${resource.apiGroup}, Kind: ${resource.kind}, Name: ${resource.name}`;
    }
    const { name, port } = found.service;
    const slices = await slicesOf(namespace, name, context);
    const portName = slices
      .flatMap((s) => s.ports ?? [])
      .find((p) => p.name === port?.name || p.port === port?.number)?.name;
    const text = slices.length === 0 ? `<error: services "${name}" not found>` : endpointsText(slices, portName ?? "");
    return `${name}:${port?.name ?? port?.number ?? ""} (${text})`;
  };
  out.field(0, "Default backend", await backend(spec?.defaultBackend));
  if ((spec?.tls ?? []).length > 0) {
    out.line(0, "TLS:");
    for (const { secretName = "", hosts = [] } of spec?.tls ?? []) {
      out.line(1, secretName === "" ? `SNI routes ${hosts.join(",")}` : `${secretName} terminates ${hosts.join(",")}`);
    }
  }
  out.line(0, "Rules:\n  Host\tPath\tBackends");
  out.line(1, "----\t----\t--------");
  for (const rule of spec?.rules ?? []) {
    const host = rule.host === undefined || rule.host === "" ? "*" : rule.host;
    out.line(1, `${host}\t`);
    for (const path of rule.http?.paths ?? []) out.line(1, `\t${path.path ?? ""} \t${await backend(path.backend)}`);
  }
  if ((spec?.rules ?? []).length === 0) out.line(1, `*\t*\t${await backend(spec?.defaultBackend)}`);
  out.annotations("Annotations", metadata.annotations);
}

export function describeIngressClass(out: Description, found: IngressClass): void {
  out.head(found, ["labels", "annotations"]);
  out.field(0, "Controller", found.spec?.controller);
  const { parameters } = found.spec ?? {};
  if (parameters === undefined) return;
  out.line(0, "Parameters:");
  if (parameters.apiGroup !== undefined) out.field(1, "APIGroup", parameters.apiGroup);
  out.field(1, "Kind", parameters.kind);
  out.field(1, "Name", parameters.name);
}

type Peer = NonNullable<NonNullable<NonNullable<NetworkPolicy["spec"]>["ingress"]>[number]["from"]>[number];
type PolicyPort = NonNullable<NonNullable<NonNullable<NetworkPolicy["spec"]>["ingress"]>[number]["ports"]>[number];

export function describeNetworkPolicy(out: Description, policy: NetworkPolicy): void {
  const { metadata, spec } = policy;
  out.head(policy, ["namespace"]);
  out.field(
    0,
    "Created on",
    describeTime(metadata.creationTimestamp)?.replace(
      /^\w+, (\d+) (\w+) (\d+) (\S+) (\S+)$/,
      (_, d, m, y, t, z) => `${y}-${monthOf(String(m))}-${d} ${t} ${z} UTC`,
    ),
  );
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.line(0, "Spec:");
  const chosen = selectorText(spec?.podSelector);
  out.line(
    1,
    `PodSelector: ${chosen === "<none>" ? "    <none> (Allowing the specific traffic to all pods in this namespace)" : `    ${chosen}`}`,
  );
  const types = spec?.policyTypes ?? [];
  const directions = [
    ["Ingress", "ingress", "From", spec?.ingress?.map((r) => ({ ports: r.ports, peers: r.from }))],
    ["Egress", "egress", "To", spec?.egress?.map((r) => ({ ports: r.ports, peers: r.to }))],
  ] as const;
  for (const [type, word, preposition, rules] of directions) {
    if (types.includes(type)) {
      out.line(1, `Allowing ${word} traffic:`);
      describeRules(out, rules ?? [], preposition, word);
    } else out.line(1, `Not affecting ${word} traffic`);
  }
  out.line(1, `Policy Types: ${types.join(", ")}`);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const monthOf = (name: string) => String(MONTHS.indexOf(name) + 1).padStart(2, "0");

function describeRules(
  out: Description,
  rules: readonly { ports: readonly PolicyPort[] | undefined; peers: readonly Peer[] | undefined }[],
  preposition: string,
  word: string,
): void {
  if (rules.length === 0) {
    out.line(2, `<none> (Selected pods are isolated for ${word} connectivity)`);
    return;
  }
  for (const [i, { ports, peers }] of rules.entries()) {
    if (ports === undefined || ports.length === 0) out.line(2, "To Port: <any> (traffic allowed to all ports)");
    for (const { protocol = "TCP", port, endPort } of ports ?? []) {
      out.line(
        2,
        endPort === undefined
          ? `To Port: ${port ?? "<any>"}/${protocol}`
          : `To Port Range: ${port}-${endPort}/${protocol}`,
      );
    }
    if (peers === undefined || peers.length === 0)
      out.line(
        2,
        `${preposition}: <any> (traffic not restricted by ${preposition === "From" ? "source" : "destination"})`,
      );
    for (const { podSelector, namespaceSelector, ipBlock } of peers ?? []) {
      out.line(2, `${preposition}:`);
      if (ipBlock !== undefined) {
        out.line(3, "IPBlock:");
        out.line(4, `CIDR: ${ipBlock.cidr}`);
        out.line(4, `Except: ${(ipBlock.except ?? []).join(", ")}`);
        continue;
      }
      if (namespaceSelector !== undefined) out.line(3, `NamespaceSelector: ${selectorText(namespaceSelector)}`);
      if (podSelector !== undefined) out.line(3, `PodSelector: ${selectorText(podSelector)}`);
    }
    if (i < rules.length - 1) out.line(2, "----------");
  }
}
