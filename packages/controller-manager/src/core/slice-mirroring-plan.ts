/**
 * The EndpointSlices that mirror an Endpoints object made by hand: one slice for each subset's ports and address family. Pure.
 *
 * Example: subset {10.0.0.1, fd00::1; port 80} -> one IPv4 slice and one IPv6 slice with port 80.
 * Source: KEP-752, kubernetes/pkg/controller/endpointslicemirroring
 */
import type { EndpointAddress, EndpointSubset, Endpoints, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { isIpv4, isIpv6 } from "@knarr/api/validation/ip.ts";
import { canonicalJson, sameJson } from "./canonical-json.ts";
import { controllerRef } from "./claim-plan.ts";
import { type EndpointSlicePlan, MANAGED_BY_LABEL, SERVICE_NAME_LABEL } from "./endpoint-slice-plan.ts";
import { LAST_CHANGE_ANNOTATION } from "./service-pods.ts";

export const MIRRORED_BY = "endpointslicemirroring-controller.k8s.io";
const SKIP_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror";
const LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration";
/** Annotations of Endpoints that say nothing about the slices. */
const OWN_ANNOTATIONS: ReadonlySet<string> = new Set([LAST_CHANGE_ANNOTATION, LAST_APPLIED_ANNOTATION]);

export interface MirrorView {
  readonly endpoints: Endpoints;
  /** The mirroring controller's slices of this name. */
  readonly slices: readonly EndpointSlice[];
  readonly maxPerSubset: number;
}

export interface MirrorPlan extends Pick<EndpointSlicePlan, "create" | "update" | "delete"> {
  /** Addresses that are none. */
  readonly invalid: number;
  /** Addresses left out, the invalid ones included. */
  readonly skipped: number;
}

/** Whether these Endpoints are to be seen as slices: not those that serve as locks, nor those that say no. */
export function shouldMirror(endpoints: Endpoints, service: Service | undefined): boolean {
  const { labels, annotations } = endpoints.metadata;
  if (labels?.[SKIP_MIRROR_LABEL] === "true" || annotations?.[LEADER_ANNOTATION] !== undefined) return false;
  // With a selector, the endpointslice controller makes the slices itself.
  return service !== undefined && Object.keys(service.spec?.selector ?? {}).length === 0;
}

export function planMirror(view: MirrorView): MirrorPlan {
  const { endpoints, maxPerSubset } = view;
  const wanted = new Map<string, { addressType: string; ports: EndpointPort[]; endpoints: Map<string, Endpoint> }>();
  let invalid = 0;
  let skipped = 0;
  for (const subset of endpoints.subsets ?? []) {
    const ports = slicePorts(subset);
    const all = [
      ...(subset.addresses ?? []).map((address) => ({ address, ready: true })),
      ...(subset.notReadyAddresses ?? []).map((address) => ({ address, ready: false })),
    ];
    let added = 0;
    for (const { address, ready } of all) {
      if (added >= maxPerSubset) break;
      if (!isIpv4(address.ip) && !isIpv6(address.ip)) {
        invalid++;
        continue;
      }
      added++;
      const addressType = isIpv4(address.ip) ? "IPv4" : "IPv6";
      const key = sliceKey(addressType, ports);
      const group = wanted.get(key) ?? { addressType, ports, endpoints: new Map<string, Endpoint>() };
      wanted.set(key, group);
      // An address that two subsets with the same ports name is one endpoint.
      const endpoint = endpointOf(address, ready);
      if (group.endpoints.size < maxPerSubset) group.endpoints.set(identityOf(endpoint), endpoint);
    }
    skipped += all.length - added;
  }
  return { ...planSlices(view, [...wanted.values()]), invalid, skipped };
}

function planSlices(
  view: MirrorView,
  groups: readonly { addressType: string; ports: EndpointPort[]; endpoints: Map<string, Endpoint> }[],
): Pick<EndpointSlicePlan, "create" | "update" | "delete"> {
  const left = view.slices.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const update: EndpointSlice[] = [];
  const missing: (typeof groups)[number][] = [];
  for (const group of groups) {
    const key = sliceKey(group.addressType, group.ports);
    const at = left.findIndex((slice) => sliceKey(slice.addressType, slice.ports ?? []) === key);
    const [slice] = at < 0 ? [] : left.splice(at, 1);
    if (slice === undefined) {
      missing.push(group);
      continue;
    }
    const next = mirrorOf(view.endpoints, group, slice);
    if (next !== undefined) update.push(next);
  }
  const create: EndpointSlice[] = [];
  for (const group of missing) {
    // What would be deleted is changed instead: watchers see no gap.
    const at = left.findIndex(({ addressType }) => addressType === group.addressType);
    const [slice] = at < 0 ? [] : left.splice(at, 1);
    const next = mirrorOf(view.endpoints, group, slice);
    if (next !== undefined) (slice === undefined ? create : update).push(next);
  }
  return { create: view.endpoints.metadata.deletionTimestamp === undefined ? create : [], update, delete: left };
}

function mirrorOf(
  source: Endpoints,
  group: { addressType: string; ports: EndpointPort[]; endpoints: Map<string, Endpoint> },
  slice: EndpointSlice | undefined,
): EndpointSlice | undefined {
  const { name = "", namespace } = source.metadata;
  const labels = { ...source.metadata.labels, [SERVICE_NAME_LABEL]: name, [MANAGED_BY_LABEL]: MIRRORED_BY };
  const annotations = Object.fromEntries(
    Object.entries(source.metadata.annotations ?? {}).filter(([key]) => !OWN_ANNOTATIONS.has(key)),
  );
  const endpoints = [...group.endpoints.values()];
  const changed = source.metadata.annotations?.[LAST_CHANGE_ANNOTATION];
  if (slice !== undefined) {
    const { [LAST_CHANGE_ANNOTATION]: _changed, ...before } = slice.metadata.annotations ?? {};
    const same =
      sameJson(sortedByIdentity(slice.endpoints ?? []), sortedByIdentity(endpoints)) &&
      sameJson(slice.ports ?? [], group.ports) &&
      sameJson(slice.metadata.labels, labels) &&
      sameJson(before, annotations);
    if (same) return undefined;
  }
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      ...(slice?.metadata ?? { generateName: `${name}-`, namespace }),
      labels,
      annotations: { ...annotations, ...(changed === undefined ? {} : { [LAST_CHANGE_ANNOTATION]: changed }) },
      ownerReferences: [controllerRef({ ...source, apiVersion: "v1", kind: "Endpoints" })],
    },
    addressType: group.addressType,
    endpoints,
    ports: group.ports,
  };
}

function slicePorts(subset: EndpointSubset): EndpointPort[] {
  return (subset.ports ?? []).map(({ name, port, protocol, appProtocol }) => ({
    name: name ?? "",
    port,
    protocol: protocol ?? "TCP",
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }));
}

function sliceKey(addressType: string, ports: readonly EndpointPort[]): string {
  return `${addressType}\0${ports
    .map((port) => canonicalJson({ ...port, name: port.name ?? "" }))
    .sort()
    .join()}`;
}

function endpointOf({ ip, hostname = "", nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === "" ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

const identityOf = (endpoint: Endpoint) => canonicalJson([endpoint.addresses, endpoint.hostname, endpoint.targetRef]);
const sortedByIdentity = (endpoints: readonly Endpoint[]) =>
  endpoints.toSorted((a, b) => (identityOf(a) < identityOf(b) ? -1 : 1));
