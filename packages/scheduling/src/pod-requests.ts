/**
 * What a pod asks for as a whole.
 *
 * Init containers run one after the other, restartable ones (sidecars) stay, so the peak is the larger of
 *   containers + all sidecars        and, for each init container i,   i + sidecars started before i.
 * Pod-level requests replace the sum for the resources they name; overhead comes on top.
 * Source: k8s.io/component-helpers/resource/helpers.go, KEP-753, KEP-2837, KEP-1287 (resize)
 */
import type { Container, ContainerStatus, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { addAmounts, amountsOf, maxAmounts, type ResourceAmounts } from "./resource-list.ts";

/** Resources that spec.resources may set for the pod as a whole. */
const isPodLevelResource = (name: string) => name === "cpu" || name === "memory" || name.startsWith("hugepages-");

function isResizeInfeasible({ status }: Pod): boolean {
  return (
    status?.conditions?.some(({ type, reason }) => type === "PodResizePending" && reason === "Infeasible") ?? false
  );
}

function requestsOf(
  pod: Pod,
  container: Container,
  statuses: readonly ContainerStatus[] | undefined,
): Map<string, number> {
  const desired = amountsOf(container.resources?.requests);
  const status = statuses?.find((s) => s.name === container.name);
  if (status === undefined) return desired;
  // What can never be had does not count.
  if (isResizeInfeasible(pod))
    return maxAmounts(amountsOf(status.allocatedResources), amountsOf(status.resources?.requests));
  // While a resize is under way the larger of wanted, allocated and actual counts, or the node could be overcommitted.
  maxAmounts(desired, amountsOf(status.allocatedResources));
  return maxAmounts(desired, amountsOf(status.resources?.requests));
}

/** The amounts that a node must have free to take `pod`, without the pod itself (the "pods" resource). */
export function podRequests(pod: Pod): ResourceAmounts {
  const total = new Map<string, number>();
  for (const container of pod.spec?.containers ?? []) {
    addAmounts(total, requestsOf(pod, container, pod.status?.containerStatuses));
  }
  const sidecars = new Map<string, number>();
  const initPeak = new Map<string, number>();
  for (const container of pod.spec?.initContainers ?? []) {
    const requests = requestsOf(pod, container, pod.status?.initContainerStatuses);
    if (container.restartPolicy === "Always") {
      addAmounts(total, requests);
      addAmounts(sidecars, requests);
      maxAmounts(initPeak, sidecars);
    } else {
      maxAmounts(initPeak, addAmounts(new Map(requests), sidecars));
    }
  }
  maxAmounts(total, initPeak);
  for (const [name, amount] of amountsOf(pod.spec?.resources?.requests)) {
    if (isPodLevelResource(name)) total.set(name, amount);
  }
  return addAmounts(total, amountsOf(pod.spec?.overhead));
}

/** Requests for scoring: containers that ask for nothing count as 100m CPU and 200 MiB. Source: pkg/scheduler/util */
export function podNonZeroRequests(pod: Pod): { cpuMillis: number; memoryBytes: number } {
  const withDefaults = (container: Container): Container => ({
    ...container,
    resources: { ...container.resources, requests: { cpu: "100m", memory: "200Mi", ...container.resources?.requests } },
  });
  const spec = pod.spec;
  if (spec === undefined) return { cpuMillis: 0, memoryBytes: 0 };
  const amounts = podRequests({
    ...pod,
    spec: {
      ...spec,
      containers: spec.containers.map(withDefaults),
      initContainers: spec.initContainers?.map(withDefaults),
    },
  });
  return { cpuMillis: amounts.get("cpu") ?? 0, memoryBytes: amounts.get("memory") ?? 0 };
}
