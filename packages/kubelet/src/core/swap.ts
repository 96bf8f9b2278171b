/**
 * How much swap a container may use. Without `LimitedSwap` none; with it, burstable containers get the share of the
 * node's swap that their request is of its memory. Pure.
 * Source: KEP-2400, pkg/kubelet/kuberuntime/kuberuntime_container_linux.go
 */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { isCriticalPod } from "./critical-pod.ts";
import { qosClass } from "./qos.ts";

export type SwapBehavior = "NoSwap" | "LimitedSwap";

export interface NodeSwap {
  readonly behavior: SwapBehavior;
  /** Whether the kernel counts swap by cgroup; where it does not, nothing can be limited. */
  readonly controller: boolean;
  readonly swapBytes: number;
}

/** `undefined`: the runtime is told nothing. */
export interface SwapLimit {
  /** cgroup v2: the file memory.swap.max. */
  readonly swapMaxBytes?: number;
  /** cgroup v1: memory and swap together. */
  readonly memorySwapBytes?: number;
}

export interface SwapInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly cgroupVersion: 1 | 2;
  readonly nodeMemoryBytes: number;
  /** 0: none. */
  readonly memoryLimitBytes: number;
}

export function swapLimit(input: SwapInput, { behavior, controller, swapBytes }: NodeSwap): SwapLimit {
  if (!controller) return {};
  // On v1 only "none beyond the memory limit" can be said; without a memory limit, not even that.
  if (input.cgroupVersion === 1) return { memorySwapBytes: input.memoryLimitBytes };
  if (behavior !== "LimitedSwap" || !mayUseSwap(input)) return { swapMaxBytes: 0 };
  const share = memoryRequest(input.container) / Math.max(1, input.nodeMemoryBytes);
  return { swapMaxBytes: Math.trunc(share * swapBytes) };
}

function amount(value: unknown): number {
  return value === undefined ? 0 : quantityValue(String(value));
}

function memoryRequest(container: Container): number {
  const { requests, limits } = container.resources ?? {};
  return amount(requests?.memory ?? limits?.memory);
}

/** A container that asks for as much memory as it may have has opted out. */
function mayUseSwap({ pod, container }: SwapInput): boolean {
  if (isCriticalPod(pod) || qosClass(pod) !== "Burstable") return false;
  const request = memoryRequest(container);
  return request > 0 && request !== amount(container.resources?.limits?.memory);
}
