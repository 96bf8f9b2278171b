/**
 * How a pod takes part in a Service: whether, with which addresses and ports.
 * Source: k8s.io/endpointslice/util, kubernetes/pkg/controller/endpoint
 */
import type { Container, Pod, Service, ServicePort } from "@knarr/api/generated/types/core-v1.ts";
import { isPodReady, isPodTerminal } from "./pod-state.ts";

export const LAST_CHANGE_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";
export const HEADLESS_LABEL = "service.kubernetes.io/headless";

/** A port that a Service offers through a pod. */
export interface ResolvedPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol: string | undefined;
}

/** Pods that have an address and have not ended; those being deleted are asked for separately. */
export function takesPart(pod: Pod, includeTerminating: boolean): boolean {
  if (isPodTerminal(pod)) return false;
  if (podIps(pod).length === 0) return false;
  return includeTerminating || pod.metadata.deletionTimestamp === undefined;
}

export function podIps(pod: Pod): readonly string[] {
  const many = (pod.status?.podIPs ?? []).map(({ ip }) => ip).filter((ip) => ip !== "");
  if (many.length > 0) return many;
  const one = pod.status?.podIP ?? "";
  return one === "" ? [] : [one];
}

export const isIPv6 = (ip: string): boolean => ip.includes(":");
export const isHeadless = (service: Service): boolean => service.spec?.clusterIP === "None";

/** Ready for traffic, or published regardless. */
export function isServing(service: Service, pod: Pod): boolean {
  return service.spec?.publishNotReadyAddresses === true || isPodReady(pod);
}

/** The Service's ports as this pod listens on them; a named target port that the pod lacks leaves the port out. */
export function resolvePorts(service: Service, pod: Pod): readonly ResolvedPort[] {
  const ports: ResolvedPort[] = [];
  for (const port of service.spec?.ports ?? []) {
    const number = targetPort(port, pod);
    if (number === undefined) continue;
    ports.push({
      name: port.name ?? "",
      port: number,
      protocol: port.protocol ?? "TCP",
      appProtocol: port.appProtocol,
    });
  }
  return ports;
}

function targetPort(port: ServicePort, pod: Pod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === "number") return target === 0 ? port.port : target;
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  const containers: readonly Container[] = [...(pod.spec?.containers ?? []), ...sidecars];
  return containers
    .flatMap((container) => container.ports ?? [])
    .find(({ name, protocol }) => name === target && (protocol ?? "TCP") === (port.protocol ?? "TCP"))?.containerPort;
}

/** The pod's own host name below the Service's, where the pod asks for one. */
export function endpointHostname(service: Service, pod: Pod): string | undefined {
  const { hostname = "", subdomain } = pod.spec ?? {};
  return hostname !== "" && subdomain === service.metadata.name ? hostname : undefined;
}

/** When what the endpoints show last changed: the newest readiness change of a pod, or the Service's creation. */
export function lastChangeTime(service: Service, pods: readonly Pod[]): string | undefined {
  let newest = service.metadata.creationTimestamp ?? "";
  for (const pod of pods) {
    const changed = pod.status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime ?? "";
    if (changed > newest) newest = changed;
    const deleted = pod.metadata.deletionTimestamp ?? "";
    if (deleted > newest) newest = deleted;
  }
  return newest === "" ? undefined : newest;
}
