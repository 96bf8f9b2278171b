/** Defaults that a Pod gets and a pod template does not. Source: SetDefaults_Pod */
import { addQuantities, compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import type { Container, PodSpec } from "../../../generated/types/core-v1.ts";
import type { ResourceList } from "../resource-list.ts";

/** Requests that were left out are the limits. */
function requestsFromLimits(container: Container): void {
  const limits = container.resources?.limits;
  if (container.resources === undefined || limits === undefined) return;
  container.resources.requests = { ...limits, ...container.resources.requests };
}

/** With host networking a container port is a host port. */
function defaultHostPorts(container: Container): void {
  for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
}

function addInto(total: ResourceList, more: ResourceList | undefined): void {
  for (const [name, amount] of Object.entries(more ?? {})) {
    if (!isQuantity(amount)) continue;
    total[name] = total[name] === undefined ? amount : addQuantities(total[name], amount);
  }
}

function raiseTo(total: ResourceList, other: ResourceList): void {
  for (const [name, amount] of Object.entries(other)) {
    if (total[name] === undefined || compareQuantities(amount, total[name]) > 0) total[name] = amount;
  }
}

/**
 * What the containers need together at any moment: the sum of the long-running ones, or an init container with the sidecars that started
 * before it. Source: k8s.io/component-helpers/resource PodRequests
 */
function effectiveRequests(spec: PodSpec): ResourceList {
  const total: ResourceList = {};
  for (const container of spec.containers) addInto(total, container.resources?.requests);
  const sidecars: ResourceList = {};
  const peak: ResourceList = {};
  for (const container of spec.initContainers ?? []) {
    const needed = { ...sidecars };
    addInto(needed, container.resources?.requests);
    if (container.restartPolicy === "Always") {
      addInto(total, container.resources?.requests);
      addInto(sidecars, container.resources?.requests);
    }
    raiseTo(peak, needed);
  }
  raiseTo(total, peak);
  return total;
}

/** Source: KEP-2837, defaultPodResources */
function defaultPodLevelRequests(spec: PodSpec): void {
  const limits = spec.resources?.limits;
  if (spec.resources === undefined || limits === undefined || Object.keys(limits).length === 0) return;
  const requests = { ...spec.resources.requests };
  const supported = (name: string) => name === "cpu" || name === "memory" || name.startsWith("hugepages-");
  for (const source of [effectiveRequests(spec), limits]) {
    for (const [name, amount] of Object.entries(source)) if (supported(name)) requests[name] ??= amount;
  }
  if (Object.keys(requests).length > 0) spec.resources.requests = requests;
}

/** Mutates; after defaultPodSpec. */
export function defaultPodOnly(spec: PodSpec): void {
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) requestsFromLimits(container);
  defaultPodLevelRequests(spec);
  spec.enableServiceLinks ??= true;
  if (spec.hostNetwork !== true) return;
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) defaultHostPorts(container);
}
