/**
 * The (deprecated, still read) Endpoints object of a Service. Pure.
 * Source: kubernetes/pkg/controller/endpoint/endpoints_controller.go, k8s.io/kubernetes/pkg/api/v1/endpoints
 */
import type {
  EndpointAddress,
  EndpointPort,
  EndpointSubset,
  Endpoints,
  Pod,
  Service,
} from "@knarr/api/generated/types/core-v1.ts";
import { canonicalJson, sameJson } from "./canonical-json.ts";
import {
  endpointHostname,
  HEADLESS_LABEL,
  isHeadless,
  isIPv6,
  isServing,
  LAST_CHANGE_ANNOTATION,
  lastChangeTime,
  podIps,
  resolvePorts,
  takesPart,
} from "./service-pods.ts";

const MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by";
const CAPACITY_ANNOTATION = "endpoints.kubernetes.io/over-capacity";
const MAX_ADDRESSES = 1000;

/** The object that should exist; undefined when `current` already says the same. */
export function planEndpoints(
  service: Service,
  pods: readonly Pod[],
  current: Endpoints | undefined,
): Endpoints | undefined {
  const { subsets, truncated } = truncate(repack(service, pods));
  const { [HEADLESS_LABEL]: _headless, ...own } = service.metadata.labels ?? {};
  const labels = {
    ...own,
    ...(isHeadless(service) ? { [HEADLESS_LABEL]: "" } : {}),
    [MANAGED_BY_LABEL]: "endpoint-controller",
  };
  const {
    [CAPACITY_ANNOTATION]: _over,
    [LAST_CHANGE_ANNOTATION]: lastChange,
    ...kept
  } = current?.metadata.annotations ?? {};
  const capacity: Record<string, string> = truncated ? { [CAPACITY_ANNOTATION]: "truncated" } : {};
  const unchanged =
    current !== undefined &&
    sameJson(sorted(current.subsets ?? []), subsets) &&
    sameJson(current.metadata.labels, labels) &&
    (_over ?? "") === (capacity[CAPACITY_ANNOTATION] ?? "");
  if (unchanged) return undefined;
  const changedAt = lastChangeTime(service, pods) ?? lastChange;
  const annotations = {
    ...kept,
    ...capacity,
    ...(changedAt === undefined ? {} : { [LAST_CHANGE_ANNOTATION]: changedAt }),
  };
  const { name, namespace } = service.metadata;
  return {
    ...(current ?? { apiVersion: "v1", kind: "Endpoints" }),
    metadata: { ...(current?.metadata ?? { name, namespace }), labels, annotations },
    subsets,
  };
}

/** Ports that have the very same addresses share a subset. */
function repack(service: Service, pods: readonly Pod[]): EndpointSubset[] {
  const family =
    (service.spec?.ipFamilies?.[0] ?? (isIPv6(service.spec?.clusterIP ?? "") ? "IPv6" : "IPv4")) === "IPv6";
  const byPort = new Map<
    string,
    { port: EndpointPort | undefined; ready: EndpointAddress[]; notReady: EndpointAddress[] }
  >();
  for (const pod of pods) {
    if (!takesPart(pod, service.spec?.publishNotReadyAddresses === true)) continue;
    const ip = podIps(pod).find((one) => isIPv6(one) === family);
    if (ip === undefined) continue;
    const address = addressOf(service, pod, ip);
    const ports: (EndpointPort | undefined)[] = portsOf(service, pod);
    if (ports.length === 0 && isHeadless(service) && (service.spec?.ports ?? []).length === 0) ports.push(undefined);
    for (const port of ports) {
      const key = canonicalJson(port ?? null);
      const entry = byPort.get(key) ?? { port, ready: [], notReady: [] };
      byPort.set(key, entry);
      (isServing(service, pod) ? entry.ready : entry.notReady).push(address);
    }
  }
  const subsets = new Map<string, EndpointSubset>();
  for (const { port, ready, notReady } of byPort.values()) {
    const addresses = ready.toSorted(byIp);
    const notReadyAddresses = notReady.toSorted(byIp);
    const key = canonicalJson([addresses, notReadyAddresses]);
    const subset = subsets.get(key) ?? {
      ...(addresses.length === 0 ? {} : { addresses }),
      ...(notReadyAddresses.length === 0 ? {} : { notReadyAddresses }),
    };
    subsets.set(key, subset);
    if (port !== undefined) subset.ports = [...(subset.ports ?? []), port].sort(byText);
  }
  return sorted([...subsets.values()]);
}

function portsOf(service: Service, pod: Pod): EndpointPort[] {
  return resolvePorts(service, pod).map(({ name, port, protocol, appProtocol }) => ({
    ...(name === "" ? {} : { name }),
    port,
    protocol,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }));
}

function addressOf(service: Service, pod: Pod, ip: string): EndpointAddress {
  const { namespace, name, uid } = pod.metadata;
  const hostname = endpointHostname(service, pod);
  return {
    ip,
    ...(hostname === undefined ? {} : { hostname }),
    ...((pod.spec?.nodeName ?? "") === "" ? {} : { nodeName: pod.spec?.nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

const byText = (a: unknown, b: unknown) => (canonicalJson(a) < canonicalJson(b) ? -1 : 1);
const byIp = (a: EndpointAddress, b: EndpointAddress) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : byText(a, b));
const sorted = (subsets: readonly EndpointSubset[]) => subsets.toSorted(byText);

/** Keeps 1000 addresses: ready ones first, of each subset in proportion, rounded up; the last ones get what is left. */
function truncate(subsets: readonly EndpointSubset[]): { subsets: EndpointSubset[]; truncated: boolean } {
  const count = (of: (subset: EndpointSubset) => readonly unknown[] | undefined) =>
    subsets.reduce((sum, subset) => sum + (of(subset)?.length ?? 0), 0);
  const ready = count(({ addresses }) => addresses);
  const notReady = count(({ notReadyAddresses }) => notReadyAddresses);
  if (ready + notReady <= MAX_ADDRESSES) return { subsets: [...subsets], truncated: false };
  const cutsReady = ready > MAX_ADDRESSES;
  const room = cutsReady ? MAX_ADDRESSES : MAX_ADDRESSES - ready;
  const total = cutsReady ? ready : notReady;
  let left = room;
  const share = (addresses: readonly EndpointAddress[] = []) => {
    const kept = addresses.slice(0, Math.min(left, Math.ceil((addresses.length / total) * room)));
    left -= kept.length;
    return kept;
  };
  const kept = subsets.map(({ addresses = [], notReadyAddresses = [], ports }): EndpointSubset => {
    const [a, b] = cutsReady ? [share(addresses), []] : [addresses, share(notReadyAddresses)];
    return {
      ...(a.length === 0 ? {} : { addresses: a }),
      ...(b.length === 0 ? {} : { notReadyAddresses: b }),
      ...(ports === undefined ? {} : { ports }),
    };
  });
  return {
    subsets: kept.filter((s) => s.addresses !== undefined || s.notReadyAddresses !== undefined),
    truncated: true,
  };
}
