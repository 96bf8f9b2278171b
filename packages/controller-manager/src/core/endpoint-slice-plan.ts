/**
 * The EndpointSlices of a Service: which to create, change and delete so that they show its pods. Pure.
 *
 * Slices hold endpoints of one address family and one set of port numbers, 100 at most. Churn is kept low, because every
 * changed slice travels to every node: endpoints that stay are updated where they are; new ones go first into slices that
 * change anyway, then all together into one slice that has room, and only then into new slices.
 *
 * Example: slices of 100, 60 and 40 endpoints; one of the 60 goes, three come -> only the second slice is written.
 * Source: KEP-752, k8s.io/endpointslice/reconciler.go
 */
import type { Node, Pod, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { canonicalJson, sameJson } from "./canonical-json.ts";
import { controllerRef } from "./claim-plan.ts";
import { isPodReady } from "./pod-state.ts";
import {
  endpointHostname,
  HEADLESS_LABEL,
  isHeadless,
  isIPv6,
  LAST_CHANGE_ANNOTATION,
  lastChangeTime,
  podIps,
  resolvePorts,
  takesPart,
} from "./service-pods.ts";

import {
  distributionHints,
  type HintsPlan,
  planTopologyHints,
  wantsTopologyHints,
  type ZoneShares,
} from "./topology-hints.ts";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const MANAGED_BY = "endpointslice-controller.k8s.io";
const ZONE_LABEL = "topology.kubernetes.io/zone";

export interface EndpointSliceView {
  readonly service: Service;
  /** The pods that the Service selects. */
  readonly pods: readonly Pod[];
  readonly nodes: (name: string) => Node | undefined;
  /** The Service's slices that this controller manages. */
  readonly slices: readonly EndpointSlice[];
  readonly maxEndpointsPerSlice: number;
  /** For Services that ask for topology hints; asked only then. */
  readonly zoneShares?: () => ZoneShares;
}

export interface EndpointSlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly delete: readonly EndpointSlice[];
  /** Pods whose node isn't known (yet). */
  readonly withoutNode: readonly Pod[];
  /** By address type: whether topology hints were given, or why not. Empty when none are asked for. */
  readonly hints: ReadonlyMap<string, HintsPlan>;
}

/** Endpoints that share their ports, and with that their slices. */
interface Group {
  readonly ports: readonly EndpointPort[];
  /** By `endpointKey`. */
  readonly endpoints: Map<string, Endpoint>;
}

export function planEndpointSlices(view: EndpointSliceView): EndpointSlicePlan {
  const { service } = view;
  const alive = view.slices.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const remove: EndpointSlice[] = [];
  const withoutNode: Pod[] = [];
  const hints = new Map<string, HintsPlan>();
  const families = addressTypes(service);
  for (const addressType of families) {
    const { groups, nodeless } = groupEndpoints(view, addressType);
    withoutNode.push(...nodeless);
    const existing = alive.filter((slice) => slice.addressType === addressType);
    if (wantsTopologyHints(service)) hints.set(addressType, giveHints(view, groups, existing));
    // A Service without endpoints has one empty slice, to say so.
    if (groups.size === 0) groups.set("[]", { ports: [], endpoints: new Map() });
    const placed = new Set<EndpointSlice>();
    for (const [key, group] of groups) {
      const same = existing.filter((slice) => portsKey(slice.ports ?? []) === key);
      for (const slice of same) placed.add(slice);
      const part = planGroup({ view, addressType, group, slices: same });
      create.push(...part.create);
      update.push(...part.update);
      remove.push(...part.delete);
    }
    remove.push(...existing.filter((slice) => !placed.has(slice)));
  }
  remove.push(...alive.filter((slice) => !families.includes(slice.addressType)));
  return { create, update, delete: remove, withoutNode, hints };
}

function addressTypes(service: Service): readonly string[] {
  const families = service.spec?.ipFamilies ?? [];
  if (families.length > 0) return families;
  return [isIPv6(service.spec?.clusterIP ?? "") ? "IPv6" : "IPv4"];
}

function groupEndpoints(view: EndpointSliceView, addressType: string): { groups: Map<string, Group>; nodeless: Pod[] } {
  const groups = new Map<string, Group>();
  const nodeless: Pod[] = [];
  for (const pod of view.pods) {
    if (!takesPart(pod, true)) continue;
    const addresses = podIps(pod).filter((ip) => isIPv6(ip) === (addressType === "IPv6"));
    if (addresses.length === 0) continue;
    const nodeName = pod.spec?.nodeName ?? "";
    const node = view.nodes(nodeName);
    if (node === undefined && nodeName !== "") {
      nodeless.push(pod);
      // Its node is gone, and soon the pod will be: no traffic for it, unless all addresses are wanted.
      if (view.service.spec?.publishNotReadyAddresses !== true) continue;
    }
    const ports = slicePorts(view.service, pod);
    const key = portsKey(ports);
    let group = groups.get(key);
    if (group === undefined) {
      group = { ports, endpoints: new Map() };
      groups.set(key, group);
    }
    const endpoint = endpointOf(view.service, pod, { addresses, zone: node?.metadata.labels?.[ZONE_LABEL] });
    group.endpoints.set(endpointKey(endpoint), endpoint);
  }
  return { groups, nodeless };
}

function slicePorts(service: Service, pod: Pod): EndpointPort[] {
  return resolvePorts(service, pod).map(({ name, port, protocol, appProtocol }) => ({
    name,
    protocol,
    port,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }));
}

function portsKey(ports: readonly EndpointPort[]): string {
  return `[${ports
    .map((port) => canonicalJson({ ...port, name: port.name ?? "" }))
    .sort()
    .join()}]`;
}

function endpointOf(
  service: Service,
  pod: Pod,
  where: { addresses: readonly string[]; zone: string | undefined },
): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const hostname = endpointHostname(service, pod);
  const { namespace, name, uid } = pod.metadata;
  const endpoint: Endpoint = {
    addresses: [...where.addresses],
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: { kind: "Pod", namespace, name, uid },
    ...((pod.spec?.nodeName ?? "") === "" ? {} : { nodeName: pod.spec?.nodeName }),
    ...(where.zone === undefined ? {} : { zone: where.zone }),
  };
  const hints = distributionHints(service, endpoint);
  return hints === undefined ? endpoint : { ...endpoint, hints };
}

/** Puts topology hints on the endpoints of all groups of one family. */
function giveHints(
  view: EndpointSliceView,
  groups: ReadonlyMap<string, Group>,
  slices: readonly EndpointSlice[],
): HintsPlan {
  const current = new Map<string, string | undefined>();
  for (const endpoint of slices.flatMap(({ endpoints }) => endpoints ?? [])) {
    current.set(endpointKey(endpoint), endpoint.hints?.forZones?.[0]?.name);
  }
  const all = [...groups.values()].flatMap(({ endpoints }) => [...endpoints.values()]);
  const plan = planTopologyHints(all, view.zoneShares?.(), (endpoint) => current.get(endpointKey(endpoint)));
  if (plan.kind === "none") return plan;
  for (const { endpoints } of groups.values()) {
    for (const [key, endpoint] of endpoints) {
      const zone = plan.zones.get(endpoint);
      if (zone !== undefined) endpoints.set(key, { ...endpoint, hints: { forZones: [{ name: zone }] } });
    }
  }
  return plan;
}

/** What makes an endpoint the same one although its conditions changed. */
function endpointKey({ addresses, targetRef, hostname }: Endpoint): string {
  return [addresses.join(), targetRef?.namespace, targetRef?.name, hostname].join("\0");
}

/** Distributes one group over its slices. */
function planGroup(of: {
  view: EndpointSliceView;
  addressType: string;
  group: Group;
  slices: readonly EndpointSlice[];
}): Pick<EndpointSlicePlan, "create" | "update" | "delete"> {
  const { view, addressType, group, slices } = of;
  const missing = new Map(group.endpoints);
  const drafts = slices.map((slice) => keepWanted(slice, { missing, wanted: group.endpoints }));
  place(drafts, [...missing.values()], view.maxEndpointsPerSlice);
  const extra = drafts.filter(({ slice }) => slice === undefined);
  // An empty slice goes, but for one that says that there is nothing.
  const empty = drafts.filter(({ endpoints }) => endpoints.length === 0);
  const placeholder = group.endpoints.size === 0 ? empty[0] : undefined;
  const gone = empty.filter((draft) => draft !== placeholder);
  const update: EndpointSlice[] = [];
  for (const draft of drafts) {
    if (draft.slice === undefined || gone.includes(draft)) continue;
    const next = sliceWith(view, draft.slice, draft);
    if (next !== undefined) update.push(next);
  }
  const create = extra.map(({ endpoints }) => newSlice(view, { addressType, ports: group.ports, endpoints }));
  if (group.endpoints.size === 0 && placeholder === undefined) {
    create.push(newSlice(view, { addressType, ports: group.ports, endpoints: [] }));
  }
  return { create, update, delete: gone.flatMap(({ slice }) => (slice === undefined ? [] : [slice])) };
}

/** A slice in the making; without `slice` it is a new one. */
interface Draft {
  readonly slice: EndpointSlice | undefined;
  readonly endpoints: Endpoint[];
  changed: boolean;
}

/** Drops what isn't wanted, brings the rest up to date and strikes it off `missing`. */
function keepWanted(
  slice: EndpointSlice,
  of: { missing: Map<string, Endpoint>; wanted: Map<string, Endpoint> },
): Draft {
  const draft: Draft = { slice, endpoints: [], changed: false };
  for (const endpoint of slice.endpoints ?? []) {
    const key = endpointKey(endpoint);
    const next = of.missing.get(key);
    // Not wanted, or already in another slice.
    if (next === undefined) draft.changed = true;
    else {
      of.missing.delete(key);
      if (!sameJson(endpoint, next)) draft.changed = true;
      draft.endpoints.push(next);
    }
  }
  return draft;
}

function place(drafts: Draft[], endpoints: readonly Endpoint[], max: number): void {
  const left = [...endpoints];
  // Slices that are written anyway, fullest first.
  for (const draft of drafts.filter((d) => d.changed).sort((a, b) => b.endpoints.length - a.endpoints.length)) {
    if (draft.endpoints.length === 0 && left.length === 0) continue;
    draft.endpoints.push(...left.splice(0, Math.max(0, max - draft.endpoints.length)));
  }
  if (left.length > 0 && left.length < max) {
    // One untouched slice that takes them all, the fullest that can.
    const roomy = drafts
      .filter((d) => !d.changed && d.endpoints.length + left.length <= max)
      .sort((a, b) => b.endpoints.length - a.endpoints.length)[0];
    if (roomy !== undefined) {
      roomy.endpoints.push(...left.splice(0));
      roomy.changed = true;
    }
  }
  while (left.length > 0) drafts.push({ slice: undefined, endpoints: left.splice(0, max), changed: true });
}

/** The slice with its draft's endpoints and the Service's labels; undefined when nothing differs. */
function sliceWith(view: EndpointSliceView, slice: EndpointSlice, draft: Draft): EndpointSlice | undefined {
  const labels = sliceLabels(view.service);
  const owners = [controllerRef({ ...view.service, apiVersion: "v1", kind: "Service" })];
  const { metadata } = slice;
  const relabelled = !sameJson(metadata.labels, labels) || !sameJson(metadata.ownerReferences, owners);
  if (!draft.changed && !relabelled) return undefined;
  const annotations = { ...metadata.annotations, ...changeAnnotation(view) };
  return {
    ...slice,
    metadata: { ...metadata, labels, annotations, ownerReferences: owners },
    endpoints: draft.endpoints,
  };
}

function newSlice(
  view: EndpointSliceView,
  of: { addressType: string; ports: readonly EndpointPort[]; endpoints: Endpoint[] },
): EndpointSlice {
  const { service } = view;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace,
      labels: sliceLabels(service),
      annotations: changeAnnotation(view),
      ownerReferences: [controllerRef({ ...service, apiVersion: "v1", kind: "Service" })],
    },
    addressType: of.addressType,
    endpoints: of.endpoints,
    ports: [...of.ports],
  };
}

function changeAnnotation({ service, pods }: EndpointSliceView): Record<string, string> {
  const time = lastChangeTime(service, pods);
  return time === undefined ? {} : { [LAST_CHANGE_ANNOTATION]: time };
}

function sliceLabels(service: Service): Record<string, string> {
  const { [HEADLESS_LABEL]: _headless, ...own } = service.metadata.labels ?? {};
  return {
    ...own,
    ...(isHeadless(service) ? { [HEADLESS_LABEL]: "" } : {}),
    [SERVICE_NAME_LABEL]: service.metadata.name ?? "",
    [MANAGED_BY_LABEL]: MANAGED_BY,
  };
}
