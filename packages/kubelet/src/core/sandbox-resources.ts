/**
 * How large a pod is as a whole: told to the runtime with its sandbox, for runtimes that make that a machine of its own
 * (Kata) and must know before the first container comes. Pure.
 * Source: KEP-688, pkg/kubelet/kuberuntime/kuberuntime_sandbox_linux.go
 */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";
import type { LinuxContainerResources } from "@knarr/cri/types.ts";
import { podRequests } from "@knarr/scheduling/pod-requests.ts";
import { CPU_PERIOD_US, cpuQuota, cpuShares } from "./qos.ts";

export interface SandboxResources {
  /** What the containers may use together. */
  readonly resources: LinuxContainerResources;
  /** What the runtime takes for the pod itself; empty when nobody said. */
  readonly overhead: LinuxContainerResources;
}

export function sandboxResources(pod: Pod): SandboxResources {
  const { overhead, ...spec } = pod.spec ?? { containers: [] };
  // Of the spec alone: what a resize changed meanwhile is the containers' affair.
  const bare: Pod = { metadata: pod.metadata, spec };
  const requests = podRequests(bare);
  const limits = podRequests({ metadata: pod.metadata, spec: limitsAsRequests(spec) });
  const cpuLimit = limits.get("cpu") ?? 0;
  const ownCpu = overhead?.cpu === undefined ? 0 : cpuMillis(String(overhead.cpu));
  const ownMemory = overhead?.memory === undefined ? 0 : quantityValue(String(overhead.memory));
  return {
    resources: linux(requests.get("cpu") ?? cpuLimit, cpuLimit, limits.get("memory") ?? 0),
    overhead: overhead === undefined ? {} : linux(ownCpu, ownCpu, ownMemory),
  };
}

function limitsAsRequests(spec: NonNullable<Pod["spec"]>): NonNullable<Pod["spec"]> {
  const swap = (container: Container): Container => ({
    ...container,
    resources: { requests: container.resources?.limits ?? {} },
  });
  return {
    ...spec,
    containers: spec.containers.map(swap),
    initContainers: spec.initContainers?.map(swap),
    ...(spec.resources === undefined ? {} : { resources: { requests: spec.resources.limits ?? {} } }),
  };
}

function linux(cpuRequestMillis: number, cpuLimitMillis: number, memoryBytes: number): LinuxContainerResources {
  return {
    cpuShares: cpuShares(cpuRequestMillis),
    cpuQuota: cpuQuota(cpuLimitMillis),
    cpuPeriod: CPU_PERIOD_US,
    ...(memoryBytes === 0 ? {} : { memoryLimitInBytes: memoryBytes }),
  };
}
