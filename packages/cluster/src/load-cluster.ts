/** Reads, chooses and writes <data-dir>/cluster.json. */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import {
  type ClusterConfig,
  clusterNameOf,
  MAX_CLUSTERS,
  type NodeRuntime,
  nodeSubnetOf,
  planCluster,
  podCidrOf,
  rangesOverlap,
  withNodeCount,
} from "./cluster-config.ts";
import { usedSubnets } from "./network.ts";
import { clusterPaths } from "./paths.ts";

/** Undefined when no cluster was ever made in this folder. */
export async function readCluster(dataDir: string): Promise<ClusterConfig | undefined> {
  const { clusterFile } = clusterPaths(dataDir);
  try {
    // Clusters that were made before there was a choice run on containerd.
    const kept = JSON.parse(await readFile(clusterFile, "utf8")) as Omit<ClusterConfig, "runtime">;
    return { runtime: "containerd", ...kept };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (error instanceof SyntaxError) throw new Error(`${clusterFile} is damaged: ${error.message}`, { cause: error });
    throw error;
  }
}

export async function writeCluster(config: ClusterConfig): Promise<void> {
  const { clusterFile } = clusterPaths(config.dataDir);
  await mkdir(config.dataDir, { recursive: true, mode: 0o755 });
  await writeFile(`${clusterFile}.new`, `${JSON.stringify(config, undefined, 2)}\n`);
  await rename(`${clusterFile}.new`, clusterFile);
}

export interface WantedCluster {
  /** Undefined keeps what there is; a new cluster has 2. */
  readonly nodeCount: number | undefined;
  /** Undefined keeps what there is; a new cluster has containerd. Chosen once for all its nodes. */
  readonly runtime: NodeRuntime | undefined;
}

/** The cluster of this folder, with the wanted number of nodes; a new one gets the first free place on the machine. */
export async function ensureCluster(dataDir: string, { nodeCount, runtime }: WantedCluster): Promise<ClusterConfig> {
  const known = await readCluster(dataDir);
  if (known !== undefined) {
    if (runtime !== undefined && runtime !== known.runtime) {
      throw new Error(
        `the nodes of the cluster in ${dataDir} run on ${known.runtime}: --runtime can't change that; "knarr down --purge" first, or choose another --data-dir`,
      );
    }
    if (nodeCount === undefined || nodeCount === known.nodes.length) return known;
    if (nodeCount < known.nodes.length) {
      throw new Error(
        `the cluster in ${dataDir} has ${known.nodes.length} nodes: --nodes can't make it smaller; "knarr node remove NAME" takes one away`,
      );
    }
    const grown = withNodeCount(known, nodeCount);
    await writeCluster(grown);
    return grown;
  }
  const choice = {
    name: clusterNameOf(dataDir),
    dataDir,
    index: await freeIndex(),
    nodeCount: nodeCount ?? 2,
    runtime: runtime ?? "containerd",
  };
  const created = planCluster(choice);
  await writeCluster(created);
  return created;
}

async function freeIndex(): Promise<number> {
  const used = await usedSubnets();
  for (let index = 0; index < MAX_CLUSTERS; index++) {
    const wanted = [nodeSubnetOf(index), podCidrOf(index)];
    if (used.some((route) => wanted.some((range) => rangesOverlap(route, range)))) continue;
    const { ports } = planCluster({ name: "x", dataDir: "", index, nodeCount: 1 });
    const free = await Promise.all(Object.values(ports).map(isPortFree));
    if (free.every((is) => is)) return index;
  }
  throw new Error(`no place for another cluster: ${MAX_CLUSTERS} ranges and port sets are all in use`);
}

/** Whether a server could listen on the port now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "0.0.0.0", () => server.close(() => resolve(true)));
  });
}
