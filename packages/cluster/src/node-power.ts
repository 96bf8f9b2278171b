/** Stops and starts a whole node of a local cluster. */
import type { ClusterConfig, NodeConfig, NodeRuntime } from "./cluster-config.ts";
import { withClusterLock } from "./cluster-lock.ts";
import { cgroupOf, planNode } from "./components.ts";
import { removeNode } from "./down.ts";
import { waitUntilHealthy } from "./health.ts";
import { PAUSE_IMAGE } from "./images/pause-image.ts";
import { readCluster } from "./load-cluster.ts";
import { applyNode } from "./network.ts";
import { applyNodeFiles } from "./node-files.ts";
import { clusterPaths } from "./paths.ts";
import { READY_TIMEOUT_MS } from "./phases/phase.ts";
import { projectRoot } from "./project-root.ts";
import { findResolvers } from "./resolvers.ts";
import { askSupervisor } from "./supervisor/protocol.ts";
import { findTools } from "./tools.ts";

async function findNode(dataDir: string, name: string): Promise<{ config: ClusterConfig; node: NodeConfig }> {
  const config = await readCluster(dataDir);
  if (config === undefined) throw new Error(`no cluster in ${dataDir}`);
  const node = config.nodes.find((n) => n.name === name);
  if (node === undefined) {
    throw new Error(`no node ${name}: must be one of ${config.nodes.map((n) => n.name).join(", ")}`);
  }
  return { config, node };
}

/** What runs on a node, in the order in which it is stopped. */
export function nodeDaemons(nodeName: string, runtime: NodeRuntime): string[] {
  return ["kubelet", "kube-proxy", "local-path", "pod-network", runtime].map((daemon) => `${daemon}@${nodeName}`);
}

/** Ends everything that runs on the node, as a power cut does; its disk stays. */
export function stopNode(dataDir: string, name: string, _signal: AbortSignal): Promise<void> {
  return withClusterLock(dataDir, () => stop(dataDir, name));
}

async function stop(dataDir: string, name: string): Promise<void> {
  const { config, node } = await findNode(dataDir, name);
  const paths = clusterPaths(dataDir);
  await askSupervisor(paths.supervisorSocket, { op: "stop", names: nodeDaemons(node.name, config.runtime) }, 120_000);
  await removeNode(config, node.name, paths);
}

/** Starts a stopped node's processes again; returns when they are well. */
export function startNode(dataDir: string, name: string, signal: AbortSignal): Promise<void> {
  return withClusterLock(dataDir, () => start(dataDir, name, signal));
}

async function start(dataDir: string, name: string, signal: AbortSignal): Promise<void> {
  const { config, node } = await findNode(dataDir, name);
  const paths = clusterPaths(dataDir);
  const tools = await findTools({ dataDir, env: process.env, runtime: config.runtime });
  await applyNode(config, node);
  const files = { paths: paths.node(node.name), tools, runtime: config.runtime, sandboxImage: PAUSE_IMAGE };
  await applyNodeFiles({ ...files, resolvers: await findResolvers(), cgroup: cgroupOf(config, node) });
  const components = planNode({ config, paths, tools, node: process.execPath, projectRoot }, node);
  const [runtime, ...daemons] = components;
  if (runtime === undefined) return;
  await askSupervisor(paths.supervisorSocket, { op: "start", components: [runtime] }, 60_000);
  await waitUntilHealthy(runtime, READY_TIMEOUT_MS, signal);
  await askSupervisor(paths.supervisorSocket, { op: "start", components: daemons }, 60_000);
  for (const spec of daemons) await waitUntilHealthy(spec, READY_TIMEOUT_MS, signal);
}
