/** What all pods of the node get together: the capacity without what is reserved. Pure. */
import type { CgroupLimits } from "../adapters/cgroups.ts";
import type { MachineInfo } from "../adapters/machine-info.ts";
import type { Config } from "../config.ts";
import { reservedAmount } from "../core/node-status.ts";
import { cpuShares } from "../core/qos.ts";

type Reservations = Pick<Config, "systemReserved" | "kubeReserved" | "enforceNodeAllocatable">;

/**
 * The limits of the pods' common cgroup. Eviction's reserve is not taken off: pods may use it until eviction acts.
 * Source: pkg/kubelet/cm/node_container_manager_linux.go (getNodeAllocatableInternalAbsolute)
 */
export function commonLimits(
  config: Reservations,
  machine: Pick<MachineInfo, "cpuCount" | "memoryBytes">,
): CgroupLimits {
  const capacityMillis = machine.cpuCount * 1000;
  if (!config.enforceNodeAllocatable.includes("pods")) return { cpuShares: cpuShares(capacityMillis) };
  const reserved = [config.systemReserved, config.kubeReserved];
  const millis = Math.max(0, capacityMillis - reservedAmount(reserved, "cpu"));
  const memoryBytes = Math.max(0, machine.memoryBytes - reservedAmount(reserved, "memory"));
  return {
    cpuShares: cpuShares(millis),
    ...(memoryBytes === 0 ? {} : { memoryLimitBytes: memoryBytes }),
  };
}
