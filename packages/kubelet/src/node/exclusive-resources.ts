/** What a container can have to itself: devices of plugins, and processors. */
import { join } from "node:path";
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import type { Config } from "../config.ts";
import { CpuManager } from "../cpu-manager/cpu-manager.ts";
import { DeviceManager } from "../devices/device-manager.ts";
import type { Relist } from "../pods/relist.ts";

export interface ExclusiveResources {
  readonly devices: DeviceManager;
  readonly cpus: CpuManager;
}

export interface ExclusiveOptions {
  readonly config: Config;
  readonly daemon: DaemonContext;
  readonly runtime: Runtime;
  readonly relist: Relist;
  /** Pods of which something may run; undefined while that is not known. */
  readonly live: () => ReadonlySet<string> | undefined;
  /** The node has other devices than before. */
  readonly onDevices: () => void;
}

/** Takes over what an earlier run gave to pods. Throws when that can't be read and would be given twice. */
export async function makeExclusiveResources(options: ExclusiveOptions): Promise<ExclusiveResources> {
  const { config, runtime, relist, live } = options;
  const { clock, log } = options.daemon;
  const devices = new DeviceManager({
    directory: join(config.rootDir, "device-plugins"),
    clock,
    log,
    timeoutMs: config.runtimeRequestTimeoutMs,
    onChange: options.onDevices,
    active: live,
  });
  await devices.load();
  const cpus = await CpuManager.load(
    {
      rootDir: config.rootDir,
      runtime,
      clock,
      log,
      reconcilePeriodMs: config.cpuManagerReconcilePeriodMs,
      active: live,
      containers: () => relist.snapshot?.containers ?? [],
    },
    config,
  );
  return { devices, cpus };
}
