/**
 * Keeps routes from the host to the nodes' pods, so that the API server's proxy and curious people reach them: what
 * pod-network does on nodes, for the one machine that is none.
 */
import { readFile } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { Informer } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ClusterConfig } from "../cluster-config.ts";
import { ROUTE_PROTOCOL } from "../network.ts";
import { clusterPaths } from "../paths.ts";
import { runCommand } from "../run-command.ts";

export interface HostRoutesOptions {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const RETRY_MS = 2000;
const RESYNC_MS = 30_000;

/** Pod ranges to the node addresses behind which they lie. Pure. */
export function planRoutes(nodes: readonly Node[]): ReadonlyMap<string, string> {
  const routes = new Map<string, string>();
  for (const node of nodes) {
    const via = node.status?.addresses?.find((a) => a.type === "InternalIP")?.address;
    const cidr = node.spec?.podCIDR;
    if (via !== undefined && cidr !== undefined && cidr !== "") routes.set(cidr, via);
  }
  return routes;
}

/** Runs until the signal aborts; whatever fails is tried again. */
export async function keepHostRoutes({ dataDir, clock, log, signal }: HostRoutesOptions): Promise<void> {
  const paths = clusterPaths(dataDir);
  while (!signal.aborted) {
    try {
      const config = JSON.parse(await readFile(paths.clusterFile, "utf8")) as ClusterConfig;
      const client = new Client(await loadKubeconfig({ path: paths.adminKubeconfig }), { clock });
      const nodes = new Informer(client, core.nodes, { clock, log });
      let dirty = Promise.withResolvers<void>();
      nodes.subscribe({
        added: () => dirty.resolve(),
        updated: () => dirty.resolve(),
        deleted: () => dirty.resolve(),
      });
      const running = nodes.run(signal);
      running.catch(() => {}); // ends with the signal; awaited below
      await nodes.waitForSync(signal);
      while (!signal.aborted) {
        dirty = Promise.withResolvers<void>();
        await applyRoutes(config, planRoutes(nodes.list()));
        await Promise.race([dirty.promise, clock.sleep(RESYNC_MS, signal)]);
      }
      await running;
    } catch (error) {
      if (signal.aborted) return;
      log.debug({ err: error }, "host routes not kept, will try again");
      await clock.sleep(RETRY_MS, signal).catch(() => {}); // aborted: the loop ends
    }
  }
}

async function applyRoutes(config: ClusterConfig, wanted: ReadonlyMap<string, string>): Promise<void> {
  const show = ["ip", "-json", "route", "show", "proto", String(ROUTE_PROTOCOL), "dev", config.bridge];
  const text = await runCommand(show);
  const current = new Map(
    (JSON.parse(text === "" ? "[]" : text) as { dst: string; gateway?: string }[]).map((r) => [r.dst, r.gateway]),
  );
  for (const [cidr, via] of wanted) {
    if (current.get(cidr) === via) continue;
    await runCommand([
      "ip",
      "route",
      "replace",
      cidr,
      "via",
      via,
      "dev",
      config.bridge,
      "proto",
      String(ROUTE_PROTOCOL),
    ]);
  }
  for (const cidr of current.keys()) {
    if (wanted.has(cidr)) continue;
    await runCommand(["ip", "route", "delete", cidr, "dev", config.bridge, "proto", String(ROUTE_PROTOCOL)]);
  }
}
