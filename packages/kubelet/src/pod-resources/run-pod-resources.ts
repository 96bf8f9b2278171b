/** Serves the pod-resources API (v1) on its socket below --root-dir, for monitoring agents on the node. Changes nothing. */
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { CpuManager } from "../cpu-manager/cpu-manager.ts";
import type { DeviceManager } from "../devices/device-manager.ts";
import { serveLazily } from "../grpc/lazy-socket.ts";

export interface PodResourcesSource {
  /** Of which something may run. */
  readonly pods: () => readonly Pod[];
  readonly devices: Pick<DeviceManager, "grantsOf" | "healthyDevices">;
  readonly cpus: Pick<CpuManager, "cpusOf" | "allocatable">;
  readonly clock: Clock;
}

export interface PodResourcesOptions extends PodResourcesSource {
  readonly rootDir: string;
  readonly log: Logger;
}

export async function runPodResources(options: PodResourcesOptions, signal: AbortSignal): Promise<void> {
  const open = async () => (await import("./pod-resources-service.ts")).podResourcesService(options);
  await serveLazily(join(options.rootDir, "pod-resources", "kubelet.sock"), open, { log: options.log, signal });
}
