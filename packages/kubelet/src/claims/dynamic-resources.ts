/** Puts together what resource claims need: the drivers that plug in, the claims of pods, and the work that goes on for them. */
import { join } from "node:path";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Task } from "@knarr/daemon/run-group.ts";
import { PluginWatcher } from "../plugins/plugin-watcher.ts";
import { ClaimManager } from "./claim-manager.ts";
import { Drivers } from "./drivers.ts";

export interface DynamicResourcesOptions {
  readonly rootDir: string;
  readonly nodeName: string;
  readonly client: Client;
  /** Whether the node's object is there. */
  readonly isRegistered: () => boolean;
  /** Pods of which something may run; undefined while that is not known. */
  readonly live: () => ReadonlySet<string> | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DynamicResources {
  readonly claims: ClaimManager;
  readonly tasks: Readonly<Record<string, Task>>;
}

/** Libraries for gRPC are loaded with the first plugin: most nodes have none. */
export async function makeDynamicResources(options: DynamicResourcesOptions): Promise<DynamicResources> {
  const { rootDir, clock, log, live } = options;
  const drivers = new Drivers({
    ...options,
    open: async (endpoint, version) => {
      const { DriverClient } = await import("./driver-client.ts");
      return new DriverClient(endpoint, version);
    },
  });
  const plugins = new PluginWatcher({
    directory: join(rootDir, "plugins_registry"),
    handlers: new Map([["DRAPlugin", drivers]]),
    connect: async (path) => {
      const { RegistrationClient } = await import("../plugins/registration-client.ts");
      return new RegistrationClient(path);
    },
    clock,
    log,
  });
  const claims = await ClaimManager.load({ ...options, drivers });
  return {
    claims,
    tasks: {
      drivers: (signal) => drivers.run(signal),
      plugins: (signal) => plugins.run(signal),
      claims: (signal) => claims.run(live, signal),
    },
  };
}
