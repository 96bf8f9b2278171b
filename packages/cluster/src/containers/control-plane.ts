/** The containers of the control plane, each with its daemon. */
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { applyAddons } from "../addons.ts";
import { type ComponentSpec, planControlPlane, planNode } from "../components.ts";
import { clusterPaths } from "../paths.ts";
import { projectRoot } from "../project-root.ts";
import { keepHostRoutes } from "../supervisor/host-routes.ts";
import { findTools, NO_TOOLS } from "../tools.ts";
import { containerCluster, DATA_DIR, ETCD_URL, GATEWAY, withFlags } from "./config.ts";
import type { ContainerComponents } from "./run-components.ts";

const RETRY_MS = 500;

/** Flags whose values differ from those of a cluster on one machine. */
function changedFlags(name: string, nodePorts: string): Readonly<Record<string, string>> {
  if (name === "etcd") return { "listen-client-urls": "https://0.0.0.0:2379", "advertise-client-urls": ETCD_URL };
  if (name === "apiserver") return { "etcd-servers": ETCD_URL, "service-node-port-range": nodePorts };
  return {};
}

async function componentNamed(name: string, ip: string): Promise<ComponentSpec> {
  const config = containerCluster(ip);
  const paths = clusterPaths(DATA_DIR);
  // Only etcd is a program of others here; the daemons run on this Node.js.
  const tools = name === "etcd" ? await findTools({ dataDir: DATA_DIR, env: process.env }) : NO_TOOLS;
  const options = { config, paths, tools, node: process.execPath, projectRoot };
  const found = planControlPlane(options).find((spec) => spec.name === name);
  if (found === undefined) throw new Error(`no component ${name}`);
  return withFlags(found, changedFlags(name, process.env.KNARR_NODE_PORTS ?? "30000-32767"));
}

export async function runComponent(name: string, ip: string, components: ContainerComponents): Promise<void> {
  await components.start(await componentNamed(name, ip));
}

/** The API server, and what lets it and the laptop reach Services and pods: a proxy, and routes to the nodes. */
export async function runApiserver(
  ip: string,
  components: ContainerComponents,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  await runComponent("apiserver", ip, components);
  const options = {
    ...{ config: containerCluster(ip), paths: clusterPaths(DATA_DIR), tools: NO_TOOLS },
    ...{ node: process.execPath, projectRoot },
    enter: (_node: unknown, command: readonly string[]) => command,
  };
  const proxy = planNode(options, { name: GATEWAY, ip, netns: "", link: "" }).find(({ name }) =>
    name.startsWith("kube-proxy@"),
  );
  // No Node object tells this proxy its address.
  if (proxy !== undefined) await components.start(withFlags(proxy, { "nodeport-addresses": "0.0.0.0/0" }));
  // Runs beside the components until the signal aborts; tells its own troubles.
  void keepHostRoutes({ dataDir: DATA_DIR, clock: systemClock, log, signal });
}

/** Cluster DNS, whose Service points at wherever this container is now. */
export async function runClusterDns(
  ip: string,
  components: ContainerComponents,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  await runComponent("cluster-dns", ip, components);
  const client = new Client(await loadKubeconfig({ path: clusterPaths(DATA_DIR).adminKubeconfig }));
  try {
    for (;;) {
      try {
        return await applyAddons(client, containerCluster(ip), signal);
      } catch (error) {
        if (signal.aborted) return;
        log.debug({ err: error }, "addons not applied yet");
        await systemClock.sleep(RETRY_MS, signal);
      }
    }
  } finally {
    client.close();
  }
}
