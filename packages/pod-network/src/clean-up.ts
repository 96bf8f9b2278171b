/** Removes what pod-network made on this node: configuration, routes, tunnel, rules, and the bridge when no pod is on it. */
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runChecked, runCommand } from "@knarr/netfilter/run-command.ts";
import { removeCniConfig } from "./adapters/cni-config.ts";
import { removeFilterRules } from "./adapters/filter-rules.ts";
import { readOwnRoutes, readTunnel, runBatch } from "./adapters/kernel.ts";
import type { Config } from "./config.ts";
import { planRoutes, planTunnelCommands } from "./core/plan-kernel.ts";

export async function cleanUp(config: Config, { signal, log }: Pick<DaemonContext, "signal" | "log">): Promise<void> {
  await removeCniConfig(config.cniConfDir);
  await runBatch("ip", planRoutes([], await readOwnRoutes(signal)), signal);
  await runBatch("ip", planTunnelCommands(undefined, await readTunnel(signal)).ip, signal);
  await removeFilterRules(signal);
  const ports = await runCommand("ip", ["-json", "link", "show", "master", config.bridge], { signal });
  if (ports.code === 0 && JSON.parse(ports.stdout || "[]").length === 0) {
    await runChecked("ip", ["link", "del", config.bridge], { signal });
  }
  log.info("removed the pod network of this node");
}
