/** Takes one node out of a local cluster for good: its processes, its object, its disk, its place in the network. */
import { rm } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { type ClusterConfig, type NodeConfig, withoutNode } from "./cluster-config.ts";
import { withClusterLock } from "./cluster-lock.ts";
import { removeNode } from "./down.ts";
import { readCluster, writeCluster } from "./load-cluster.ts";
import { removeNodeNetwork } from "./network.ts";
import { unmountAll } from "./node-files.ts";
import { nodeDaemons } from "./node-power.ts";
import { clusterPaths } from "./paths.ts";
import { askSupervisor, SupervisorGoneError } from "./supervisor/protocol.ts";

/** The cluster and its node of that name. Throws with the names there are, and for the last node. */
export async function findRemovable(
  dataDir: string,
  name: string,
): Promise<{ readonly config: ClusterConfig; readonly node: NodeConfig }> {
  const config = await readCluster(dataDir);
  if (config === undefined) throw new Error(`no cluster in ${dataDir}; "knarr up" makes one`);
  const node = config.nodes.find((n) => n.name === name);
  if (node === undefined) {
    throw new Error(`no node ${name}: must be one of ${config.nodes.map((n) => n.name).join(", ")}`);
  }
  if (config.nodes.length === 1) throw new Error(`${name} is the last node: "knarr down" ends the whole cluster`);
  return { config, node };
}

/** Its pods should be gone by then (`drain`). Throws ClusterBusyError, and for the last node. */
export function removeClusterNode(dataDir: string, name: string, signal: AbortSignal): Promise<void> {
  return withClusterLock(dataDir, async () => {
    const { config, node } = await findRemovable(dataDir, name);
    const paths = clusterPaths(dataDir);
    const names = nodeDaemons(name, config.runtime);
    try {
      await askSupervisor(paths.supervisorSocket, { op: "remove", names }, 120_000);
    } catch (error) {
      if (!(error instanceof SupervisorGoneError)) throw error;
    }
    await removeNode(config, name, paths);
    await deleteNodeObject(paths.adminKubeconfig, name, signal);
    await removeNodeNetwork(node);
    await unmountAll(paths.node(name).dir);
    await rm(paths.node(name).dir, { recursive: true, force: true, maxRetries: 3 });
    for (const user of ["kubelet", "kube-proxy", "local-path", "pod-network"]) {
      const files = paths.certOf(`users/${user}@${name}`);
      for (const file of [paths.kubeconfigOf(`${user}@${name}`), files.cert, files.key])
        await rm(file, { force: true });
    }
    for (const file of Object.values(paths.certOf(`kubelet-${name}`))) await rm(file, { force: true });
    // Last, so that a removal that was interrupted can be asked for again.
    await writeCluster(withoutNode(config, name));
  });
}

async function deleteNodeObject(kubeconfig: string, name: string, signal: AbortSignal): Promise<void> {
  const client = new Client(await loadKubeconfig({ path: kubeconfig }));
  try {
    await client.delete(core.nodes, { namespace: "", name }, { signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  } finally {
    client.close();
  }
}
