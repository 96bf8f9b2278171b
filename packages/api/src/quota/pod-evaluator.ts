/**
 * Pods: what they ask for and may take at most, their number, and the scopes they fall into.
 *
 * "count/pods" counts every stored pod; everything else only pods that still use their node: not those that succeeded,
 * failed, or should have ended by now.
 * Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core/pods.go, k8s.io/component-helpers/resource/helpers.go
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import type {
  Container,
  ContainerStatus,
  Pod,
  PodAffinityTerm,
  ScopedResourceSelectorRequirement,
} from "../generated/types/core-v1.ts";
import { podQosClass } from "../kinds/core/pod-qos.ts";
import { isExtendedResource, isHugePages, isNativeResource } from "../kinds/core/resource-names.ts";
import { matchesScopeValue, type QuotaEvaluator } from "./evaluator.ts";
import { addResources, maxResources, type ResourceQuantities } from "./resource-lists.ts";

const COUNT = "count/pods";
/** Measured as requests under the bare name and "requests.", and as limits under "limits.". */
const COMPUTE = ["cpu", "memory", "ephemeral-storage"];
const NAMES = new Set([COUNT, "pods", ...COMPUTE.flatMap((name) => [name, `requests.${name}`, `limits.${name}`])]);
/** A quota on these obliges every container to name them. Upstream calls it a mistake that will not be repeated. */
const OBLIGING = new Set(["cpu", "memory"].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]));

export const podEvaluator: QuotaEvaluator = {
  group: "",
  resource: "pods",
  matchingResources: (names) =>
    names.filter(
      (name) =>
        NAMES.has(name) ||
        name.startsWith("hugepages-") ||
        name.startsWith("requests.hugepages-") ||
        (!isNativeResource(name) && name.startsWith("requests.")),
    ),
  matchesScope: (scope, object) => podMatchesScope(scope, object as Pod),
  usage: (object, nowMs) => podUsage(object as Pod, nowMs),
  handles: ({ operation, subresource }) =>
    (operation === "CREATE" && subresource === "") || (operation === "UPDATE" && subresource === "resize"),
  complaint: podComplaint,
};

function podMatchesScope(scope: ScopedResourceSelectorRequirement, pod: Pod): boolean {
  switch (scope.scopeName) {
    case "Terminating":
      return isTerminating(pod);
    case "NotTerminating":
      return !isTerminating(pod);
    case "BestEffort":
      return isBestEffort(pod);
    case "NotBestEffort":
      return !isBestEffort(pod);
    case "PriorityClass":
      return matchesScopeValue(scope, [pod.spec?.priorityClassName ?? ""]);
    case "CrossNamespacePodAffinity":
      return crossesNamespaces(pod);
    default:
      return false;
  }
}

function isTerminating(pod: Pod): boolean {
  const deadline = pod.spec?.activeDeadlineSeconds;
  return deadline !== undefined && deadline >= 0;
}

function isBestEffort(pod: Pod): boolean {
  const known = pod.status?.qosClass;
  if (known !== undefined && known !== "") return known === "BestEffort";
  return pod.spec === undefined || podQosClass(pod.spec) === "BestEffort";
}

function crossesNamespaces(pod: Pod): boolean {
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  const terms: PodAffinityTerm[] = [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((weighted) => weighted.podAffinityTerm),
  ]);
  return terms.some((term) => (term.namespaces ?? []).length > 0 || term.namespaceSelector !== undefined);
}

/** Whether the pod still counts for anything but the number of objects. */
export function usesComputeResources(pod: Pod, nowMs: number): boolean {
  if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") return false;
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata ?? {};
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return true;
  return nowMs <= Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

function podUsage(pod: Pod, nowMs: number): ResourceQuantities {
  if (!usesComputeResources(pod, nowMs)) return { [COUNT]: "1" };
  return { [COUNT]: "1", pods: "1", ...quotaNames(podRequestTotals(pod), podLimitTotals(pod)) };
}

/** Requests and limits under the names that quotas use. */
function quotaNames(requests: ResourceQuantities, limits: ResourceQuantities): Record<string, string> {
  const usage: Record<string, string> = {};
  for (const [name, quantity] of Object.entries(requests)) {
    if (COMPUTE.includes(name) || isHugePages(name)) usage[name] = quantity;
    if (COMPUTE.includes(name) || isHugePages(name) || isExtendedResource(name)) usage[`requests.${name}`] = quantity;
  }
  for (const name of COMPUTE) if (limits[name] !== undefined) usage[`limits.${name}`] = limits[name];
  return usage;
}

const isPodLevel = (name: string) => name === "cpu" || name === "memory" || isHugePages(name);

/** Containers together, or what initialising takes at its peak, whichever is more, of each resource. */
function aggregate(pod: Pod, of: (container: Container, status?: ContainerStatus) => ResourceQuantities) {
  const statusOf = (list: readonly ContainerStatus[] | undefined, name: string) => list?.find((s) => s.name === name);
  let total: Record<string, string> = {};
  for (const container of pod.spec?.containers ?? []) {
    total = addResources(total, of(container, statusOf(pod.status?.containerStatuses, container.name)));
  }
  let sidecars: Record<string, string> = {};
  let peak: Record<string, string> = {};
  for (const container of pod.spec?.initContainers ?? []) {
    const amounts = of(container, statusOf(pod.status?.initContainerStatuses, container.name));
    if (container.restartPolicy === "Always") {
      total = addResources(total, amounts);
      sidecars = addResources(sidecars, amounts);
      peak = maxResources(peak, sidecars);
    } else {
      peak = maxResources(peak, addResources(sidecars, amounts));
    }
  }
  return maxResources(total, peak);
}

/** What the pod asks for as a whole: overhead, sidecars and pod-level resources included. */
export function podRequestTotals(pod: Pod): Record<string, string> {
  // While a resize is under way the larger of wanted, allocated and actual counts.
  let total = aggregate(pod, (container, status) =>
    maxResources(
      maxResources(container.resources?.requests ?? {}, status?.allocatedResources ?? {}),
      status?.resources?.requests ?? {},
    ),
  );
  for (const [name, quantity] of Object.entries(pod.spec?.resources?.requests ?? {})) {
    if (isPodLevel(name)) total = { ...total, [name]: quantity };
  }
  return addResources(total, pod.spec?.overhead ?? {});
}

/** What the pod may take at most, where that is limited. */
export function podLimitTotals(pod: Pod): Record<string, string> {
  let total = aggregate(pod, (container, status) =>
    maxResources(container.resources?.limits ?? {}, status?.resources?.limits ?? {}),
  );
  for (const [name, quantity] of Object.entries(pod.spec?.resources?.limits ?? {})) {
    if (isPodLevel(name)) total = { ...total, [name]: quantity };
  }
  // Overhead widens limits that exist; it does not make any.
  for (const [name, quantity] of Object.entries(pod.spec?.overhead ?? {})) {
    const limit = total[name];
    if (limit !== undefined && compareQuantities(limit, "0") !== 0) total = addResources(total, { [name]: quantity });
  }
  return total;
}

function podComplaint(required: readonly string[], object: KubeObject): string | undefined {
  const pod = object as Pod;
  const podLevel = quotaNames(keepPodLevel(pod.spec?.resources?.requests), keepPodLevel(pod.spec?.resources?.limits));
  const obliging = required.filter((name) => OBLIGING.has(name) && podLevel[name] === undefined).sort();
  const missing = obliging.flatMap((name) => {
    const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
      .filter(({ resources }) => quotaNames(resources?.requests ?? {}, resources?.limits ?? {})[name] === undefined)
      .map((container) => container.name)
      .sort();
    return containers.length === 0 ? [] : [`${name} for: ${containers.join(",")}`];
  });
  return missing.length === 0 ? undefined : `must specify ${missing.join("; ")}`;
}

function keepPodLevel(list: ResourceQuantities | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(list ?? {}).filter(([name]) => isPodLevel(name)));
}
