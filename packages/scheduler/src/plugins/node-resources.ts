/** What the scoring of resources shares. Source: plugins/noderesources/resource_allocation.go */
import type { NodeInfo } from "../core/node-info.ts";
import type { PodInfo } from "../core/pod-info.ts";

export interface ResourceWeight {
  readonly name: string;
  readonly weight: number;
}

/**
 * How much of `resource` would be in use on `node` with `pod`. "nonZero" counts 100m and 200 MiB for containers that ask
 * for nothing. Undefined when the pod does not ask for a resource other than CPU, memory and ephemeral storage: such
 * resources say nothing about it.
 */
export function requestedOf(
  pod: PodInfo,
  node: NodeInfo,
  resource: string,
  mode: "nonZero" | "plain",
): number | undefined {
  switch (resource) {
    case "cpu":
      return mode === "nonZero"
        ? node.nonZeroCpuMillis + pod.nonZeroCpuMillis
        : node.requested.cpuMillis + pod.requests.cpuMillis;
    case "memory":
      return mode === "nonZero"
        ? node.nonZeroMemoryBytes + pod.nonZeroMemoryBytes
        : node.requested.memoryBytes + pod.requests.memoryBytes;
    case "ephemeral-storage":
      return node.requested.ephemeralBytes + pod.requests.ephemeralBytes;
    default: {
      const wanted = pod.requests.scalars.get(resource) ?? 0;
      return wanted === 0 ? undefined : (node.requested.scalars.get(resource) ?? 0) + wanted;
    }
  }
}
