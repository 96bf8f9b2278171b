/** Brings the node to a NetworkPlan: forwarding, tunnel, routes, rules, and last the CNI file that lets pods start. */
import type { Logger } from "@knarr/daemon/logger.ts";
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import { familyOf } from "@knarr/netfilter/ip.ts";
import { writeCniConfig } from "./adapters/cni-config.ts";
import type { FilterRules } from "./adapters/filter-rules.ts";
import { readOwnRoutes, readTunnel, runBatch } from "./adapters/kernel.ts";
import { applySysctls } from "./adapters/sysctls.ts";
import { planRoutes, planTunnelCommands } from "./core/plan-kernel.ts";
import type { NetworkPlan } from "./core/plan-network.ts";

export interface ApplyContext {
  readonly cniConfDir: string;
  readonly filterRules: FilterRules;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Idempotent. Rejects with a CommandError after doing what could be done. */
export async function applyNetwork(plan: NetworkPlan, context: ApplyContext): Promise<void> {
  const { log, signal } = context;
  const families: IpFamily[] = [...new Set(plan.podPrefixes.map(familyOf))];
  await applySysctls(families, log);
  await context.filterRules.apply(plan.rules, signal);
  const tunnel = planTunnelCommands(plan.tunnel, await readTunnel(signal));
  if (tunnel.ip.length + tunnel.bridge.length > 0) {
    log.info({ ip: tunnel.ip, bridge: tunnel.bridge }, "changing the tunnel to other nodes");
  }
  await runBatch("ip", tunnel.ip, signal);
  await runBatch("bridge", tunnel.bridge, signal);
  // Read after the tunnel changed: routes go with the device.
  const routes = planRoutes(plan.routes, await readOwnRoutes(signal));
  if (routes.length > 0) log.info({ routes }, "changing routes to other nodes");
  let routeError: unknown;
  try {
    await runBatch("ip", routes, signal);
  } catch (error) {
    // A peer without a path must not keep this node's pods from starting: the rest is done first.
    routeError = error;
  }
  if (await writeCniConfig(context.cniConfDir, plan.conflist)) {
    log.info(
      { directory: context.cniConfDir, podPrefixes: plan.podPrefixes, mtu: plan.mtu },
      "wrote CNI configuration",
    );
  }
  if (routeError !== undefined) throw routeError;
}
