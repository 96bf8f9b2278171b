/**
 * Quality of service: the class of a pod, and what its containers' requests and limits mean to the kernel. Pure.
 * Source: kubernetes.io/docs/concepts/workloads/pods/pod-qos and node-pressure-eviction#node-out-of-memory-behavior
 */

import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { podRequests } from "@knarr/scheduling/pod-requests.ts";
import { isCriticalPod } from "./critical-pod.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

type ResourceMap = Readonly<Record<string, string | number>> | undefined;

function amount(resources: ResourceMap, name: "cpu" | "memory"): number {
  const text = resources?.[name];
  if (text === undefined) return 0;
  return name === "cpu" ? cpuMillis(String(text)) : quantityValue(String(text));
}

function everyContainer(pod: Pod): Container[] {
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
}

/** The pod's class; pod-level resources, where set, decide instead of the containers'. */
export function qosClass(pod: Pod): QosClass {
  const podLevel = pod.spec?.resources;
  const sources = podLevel === undefined ? everyContainer(pod).map((c) => c.resources) : [podLevel];
  let anything = false;
  let guaranteed = true;
  for (const resources of sources) {
    for (const name of ["cpu", "memory"] as const) {
      const limit = amount(resources?.limits, name);
      const request = amount(resources?.requests, name);
      if (limit > 0 || request > 0) anything = true;
      if (limit === 0 || (resources?.requests?.[name] !== undefined && request !== limit)) guaranteed = false;
    }
  }
  if (!anything) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

export const CPU_PERIOD_US = 100_000;
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MIN_QUOTA_US = 1000;

/** CPU shares of a request in millicores. */
export function cpuShares(millis: number): number {
  if (millis === 0) return MIN_SHARES;
  return Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((millis * 1024) / 1000)));
}

/** CFS quota in microseconds of a limit in millicores; 0 is no limit. */
export function cpuQuota(millis: number, periodUs = CPU_PERIOD_US): number {
  return millis === 0 ? 0 : Math.max(MIN_QUOTA_US, Math.floor((millis * periodUs) / 1000));
}

/** cgroup v2's weight for v1's shares. Source: KEP-2254 */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((Math.min(MAX_SHARES, Math.max(MIN_SHARES, shares)) - 2) * 9999) / 262_142);
}

export interface ContainerLimits {
  readonly cpuRequestMillis: number;
  readonly cpuLimitMillis: number;
  readonly memoryRequestBytes: number;
  readonly memoryLimitBytes: number;
}

/** A container's requests and limits as numbers; a limit without a request is the request too. */
export function containerLimits(container: Container): ContainerLimits {
  const { requests, limits } = container.resources ?? {};
  return {
    cpuRequestMillis: requests?.cpu === undefined ? amount(limits, "cpu") : amount(requests, "cpu"),
    cpuLimitMillis: amount(limits, "cpu"),
    memoryRequestBytes: requests?.memory === undefined ? amount(limits, "memory") : amount(requests, "memory"),
    memoryLimitBytes: amount(limits, "memory"),
  };
}

const GUARANTEED_SCORE = -997;
const BEST_EFFORT_SCORE = 1000;

/**
 * The kernel's preference for killing a container when memory runs out: lower lives longer.
 * Source: pkg/kubelet/qos/policy.go (GetContainerOOMScoreAdjust)
 */
export function oomScoreAdj(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  // Only what the node itself needs is killed last.
  if (isCriticalPod(pod) && pod.spec?.priorityClassName === "system-node-critical") return GUARANTEED_SCORE;
  switch (qosClass(pod)) {
    case "Guaranteed":
      return GUARANTEED_SCORE;
    case "BestEffort":
      return BEST_EFFORT_SCORE;
    default:
      return burstableScore(pod, container, nodeMemoryBytes);
  }
}

function burstableScore(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  const { containers = [], initContainers = [] } = pod.spec ?? { containers: [] };
  const isSidecar = initContainers.some((c) => c.name === container.name && c.restartPolicy === "Always");
  const lasting = [...containers, ...initContainers.filter((c) => c.restartPolicy === "Always")];
  const requestOf = (c: Container) => containerLimits(c).memoryRequestBytes;
  // What the pod asks for beyond its containers is everybody's, in equal parts.
  const podLevel = amount(pod.spec?.resources?.requests, "memory");
  const rest = podLevel - lasting.reduce((sum, c) => sum + requestOf(c), 0);
  const share = rest > 0 && lasting.length > 0 ? Math.floor(rest / lasting.length) : 0;
  const raw = (c: Container) =>
    BEST_EFFORT_SCORE - Math.floor((1000 * (requestOf(c) + share)) / Math.max(1, nodeMemoryBytes));
  // A sidecar is not killed before the containers that need it. Source: KEP-753
  const score = isSidecar ? Math.min(raw(container), ...containers.map(raw)) : raw(container);
  // Never as safe as guaranteed pods, never as likely as best-effort ones.
  return Math.min(BEST_EFFORT_SCORE - 1, Math.max(BEST_EFFORT_SCORE + GUARANTEED_SCORE, score));
}

/** Bytes of huge pages that a pod may have, by the page size's name in the kernel's files ("2MB"). */
export function hugePageLimits(pod: Pod, sizes: readonly string[]): Record<string, number> {
  const requests = podRequests(pod);
  return Object.fromEntries(
    sizes.map((resource) => {
      const bytes = quantityValue(resource.slice("hugepages-".length));
      const unit =
        bytes >= 2 ** 30 ? `${bytes / 2 ** 30}GB` : bytes >= 2 ** 20 ? `${bytes / 2 ** 20}MB` : `${bytes / 1024}KB`;
      return [unit, requests.get(resource) ?? 0];
    }),
  );
}

export interface PodCgroupLimits {
  readonly cpuShares: number;
  /** undefined: a container has no limit, so the pod has none. */
  readonly cpuQuotaUs: number | undefined;
  readonly memoryLimitBytes: number | undefined;
}

/** The limits of a pod's cgroup: the sum of its containers', at least as large as any init step needs. */
export function podCgroupLimits(pod: Pod): PodCgroupLimits {
  const sum = { cpuRequest: 0, cpuLimit: 0, memoryLimit: 0, cpuLimited: true, memoryLimited: true };
  const add = (limits: ContainerLimits) => {
    sum.cpuRequest += limits.cpuRequestMillis;
    sum.cpuLimit += limits.cpuLimitMillis;
    sum.memoryLimit += limits.memoryLimitBytes;
    if (limits.cpuLimitMillis === 0) sum.cpuLimited = false;
    if (limits.memoryLimitBytes === 0) sum.memoryLimited = false;
  };
  for (const container of pod.spec?.containers ?? []) add(containerLimits(container));
  for (const container of pod.spec?.initContainers ?? []) {
    const limits = containerLimits(container);
    if (container.restartPolicy === "Always") {
      add(limits);
      continue;
    }
    sum.cpuRequest = Math.max(sum.cpuRequest, limits.cpuRequestMillis);
    sum.cpuLimit = Math.max(sum.cpuLimit, limits.cpuLimitMillis);
    sum.memoryLimit = Math.max(sum.memoryLimit, limits.memoryLimitBytes);
    if (limits.cpuLimitMillis === 0) sum.cpuLimited = false;
    if (limits.memoryLimitBytes === 0) sum.memoryLimited = false;
  }
  const podLevel = pod.spec?.resources;
  const cpuRequest = podLevel?.requests?.cpu === undefined ? sum.cpuRequest : amount(podLevel.requests, "cpu");
  const cpuLimit =
    podLevel?.limits?.cpu === undefined ? (sum.cpuLimited ? sum.cpuLimit : 0) : amount(podLevel.limits, "cpu");
  const memory =
    podLevel?.limits?.memory === undefined
      ? sum.memoryLimited
        ? sum.memoryLimit
        : 0
      : amount(podLevel.limits, "memory");
  // What the runtime itself takes for the pod comes on top; what has no limit gets none by it. Source: KEP-688
  const overhead = pod.spec?.overhead;
  return {
    cpuShares: cpuShares(cpuRequest + amount(overhead, "cpu")),
    cpuQuotaUs: cpuLimit === 0 ? undefined : cpuQuota(cpuLimit + amount(overhead, "cpu")),
    memoryLimitBytes: memory === 0 ? undefined : memory + amount(overhead, "memory"),
  };
}
