/**
 * Makes the kernel keep to what the node promises: the pods' common group, and the groups of the system's and the node's
 * own daemons where their reservations are enforced. Source: pkg/kubelet/cm/node_container_manager_linux.go
 */
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { CgroupLimits, Cgroups } from "../adapters/cgroups.ts";
import type { MachineInfo } from "../adapters/machine-info.ts";
import type { Config } from "../config.ts";
import { reservedAmount } from "../core/node-status.ts";
import { cpuShares } from "../core/qos.ts";
import { commonLimits } from "./common-limits.ts";
import type { NodeEvent } from "./node-events.ts";

export interface EnforceOptions {
  readonly config: Config;
  readonly machine: MachineInfo;
  readonly cgroups: Cgroups | undefined;
  readonly nodeEvent: NodeEvent;
  readonly log: Logger;
}

/** What a reservation means to a group. Pure. */
export function reservedLimits(reserved: Readonly<Record<string, string>>, compressibleOnly: boolean): CgroupLimits {
  const cpu = reserved.cpu === undefined ? {} : { cpuShares: cpuShares(reservedAmount([reserved], "cpu")) };
  if (compressibleOnly) return cpu;
  return {
    ...cpu,
    ...(reserved.memory === undefined ? {} : { memoryLimitBytes: quantityValue(reserved.memory) }),
    ...(reserved.pid === undefined ? {} : { pidsMax: quantityValue(reserved.pid) }),
  };
}

/** Throws an Error when a reservation that is to be enforced can't be. */
export async function enforceAllocatable({ config, machine, cgroups, nodeEvent, log }: EnforceOptions): Promise<void> {
  if (cgroups === undefined) return;
  const keys = config.enforceNodeAllocatable;
  await cgroups.prepare(commonLimits(config, machine));
  if (keys.includes("pods")) {
    nodeEvent("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
  }
  const daemons = [
    {
      key: "system-reserved",
      what: "System Reserved",
      group: config.systemReservedCgroup,
      reserved: config.systemReserved,
    },
    { key: "kube-reserved", what: "Kube Reserved", group: config.kubeReservedCgroup, reserved: config.kubeReserved },
  ];
  for (const { key, what, group, reserved } of daemons) {
    const compressible = keys.includes(`${key}-compressible`);
    if (!compressible && !keys.includes(key)) continue;
    try {
      await cgroups.limitExisting(group, reservedLimits(reserved, compressible));
      const message = `Updated limits on ${what.replace(" Reserved", "").toLowerCase()} reserved cgroup ${group}`;
      log.info({ group }, "reservation enforced");
      nodeEvent("Normal", "NodeAllocatableEnforced", message);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `Failed to enforce ${what} Cgroup Limits on ${JSON.stringify(group)}: ${why}`;
      nodeEvent("Warning", "FailedNodeAllocatableEnforcement", message);
      throw new Error(message, { cause: error });
    }
  }
}
