/**
 * A container that is a node on the engine that runs it: its pods are containers of that engine, beside this one. What the
 * engine must find, too (pods' volumes, local volumes), lies on a volume at the path that it has on the engine's machine.
 *
 * The pods' network is this container's, so they can't outlive it: each start begins without the pods of the one before.
 * Only containers of this node's kubelet are removed; host-engine.ts tells them from all others.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClusterConfig, NodeConfig } from "../cluster-config.ts";
import { type ComponentSpec, cgroupOf, planNode } from "../components.ts";
import { type HostEngine, readEngine, removeContainersOf } from "../host-engine.ts";
import { buildImageArchive } from "../images/image-archive.ts";
import { pauseImage } from "../images/pause-image.ts";
import { loadIntoEngine } from "../load-into-engine.ts";
import { removeCgroup, unmountAll } from "../node-files.ts";
import { type ClusterPaths, clusterPaths, type NodePaths } from "../paths.ts";
import { issueNodeCredentials, usersOfNode } from "../phases/credentials.ts";
import { projectRoot } from "../project-root.ts";
import { findTools } from "../tools.ts";
import { APISERVER_URL, containerCluster, DATA_DIR, withFlags } from "./config.ts";
import { enableForwarding, exampleImages, inHere } from "./node.ts";
import type { ContainerComponents } from "./run-components.ts";

/** The engine stops every container of the cluster at once, and kills this one after its grace (docker-compose.yml). */
const CLEAN_TIMEOUT_MS = 30_000;

export interface DockerNode {
  readonly config: ClusterConfig;
  readonly node: NodeConfig;
  readonly paths: ClusterPaths;
  readonly files: NodePaths;
  readonly engine: HostEngine;
}

/**
 * What compose tells this container: its name, the engine's socket, and where the engine keeps this node's volume. Pure.
 * Throws for what is missing, and for a volume that can't be this engine's.
 */
export function planDockerNode(
  env: Readonly<Record<string, string | undefined>>,
  ip: string,
  engine: HostEngine,
): DockerNode {
  const name = required(env, "KNARR_NODE_NAME");
  const volume = required(env, "KNARR_DOCKER_VOLUME");
  if (!volume.startsWith(`${engine.dataRoot}/`)) {
    throw new Error(
      `the engine keeps its data in ${engine.dataRoot}, not where ${volume} is: ` +
        `KNARR_DOCKER_ROOT=${engine.dataRoot} docker compose --profile docker up -d`,
    );
  }
  const files = { ...clusterPaths(volume).node(name), dockerSocket: required(env, "KNARR_DOCKER_SOCKET") };
  return {
    config: { ...containerCluster(ip), runtime: "docker" },
    node: { name, ip, netns: "", link: "" },
    paths: { ...clusterPaths(DATA_DIR), node: () => files },
    files,
    engine,
  };
}

function required(env: Readonly<Record<string, string | undefined>>, name: string): string {
  const value = env[name] ?? "";
  if (value === "") throw new Error(`${name} is not set; docker-compose.yml sets it`);
  return value;
}

/** The kubelet as it suits an engine that is not ours alone. Pure. */
export function onHostEngine(kubelet: ComponentSpec, engine: HostEngine): ComponentSpec {
  return withFlags(kubelet, {
    // A full disk would have it remove images, and the engine's images are its owner's.
    "eviction-hard": "memory.available<100Mi",
    // No systemd can be asked for slices in here: the engine puts the containers where it puts all of its own.
    ...(engine.cgroupDriver === "systemd" ? { "cgroups-per-qos": "false", "enforce-node-allocatable": "none" } : {}),
  });
}

/** Runs until the signal aborts; then stops the daemons and takes the pods away. */
export async function runDockerNode(ip: string, components: ContainerComponents, signal: AbortSignal): Promise<void> {
  const socket = required(process.env, "KNARR_DOCKER_SOCKET");
  const engine = await readEngine({ socket, signal }).catch((cause: Error) => {
    throw new Error(
      `no Docker Engine answers at ${socket} (${cause.message}); KNARR_DOCKER_SOCKET names the socket that this node uses`,
      { cause },
    );
  });
  const plan = planDockerNode(process.env, ip, engine);
  await removePods(plan);
  try {
    await startNode(plan, components, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  await components.untilStopped(signal);
  await removePods(plan).catch((error: Error) => {
    // An engine that stops answers nobody any more, and stops its containers itself.
    process.stderr.write(`pods' containers are left for the next start to remove: ${error.message}\n`);
  });
}

async function startNode(plan: DockerNode, components: ContainerComponents, signal: AbortSignal): Promise<void> {
  const { config, node, paths, files, engine } = plan;
  await issueNodeCredentials({
    clusterName: config.name,
    paths,
    nodes: [node],
    users: usersOfNode(node.name, APISERVER_URL),
    note: (certificate) => process.stdout.write(`certificate ${certificate}\n`),
  });
  await enableForwarding();
  for (const folder of [files.cniConfDir, files.ipamDir, files.kubeletRoot, files.podLogs, files.manifests]) {
    await mkdir(folder, { recursive: true });
  }
  // As on the other nodes, the cluster's DNS passes on what it does not know.
  await writeFile(files.resolvConf, `nameserver ${config.dnsServiceIp}\n`);
  const loading = { socket: files.dockerSocket, signal };
  await loadIntoEngine(await buildImageArchive(pauseImage(), join(files.dir, "images")), loading);
  const tools = await findTools({ dataDir: DATA_DIR, env: process.env });
  const options = { config, paths, tools, node: process.execPath, projectRoot, enter: inHere };
  // The first is an engine of the node's own, which is there already here.
  for (const spec of planNode(options, node).slice(1)) {
    await components.start(spec.name.startsWith("kubelet@") ? onHostEngine(spec, engine) : spec);
  }
  for (const archive of await exampleImages()) await loadIntoEngine(archive, loading);
  process.stdout.write(`${node.name} (${node.ip}) runs on the engine at ${files.dockerSocket}\n`);
}

/** As a reboot leaves a node: its files are there; no container, no mount, no address in use. */
async function removePods({ config, node, files }: DockerNode): Promise<void> {
  // The kubelet's state folder, which its containers bear as their owner's.
  const owner = join(files.kubeletRoot, "docker");
  const signal = AbortSignal.timeout(CLEAN_TIMEOUT_MS);
  try {
    await removeContainersOf(owner, { socket: files.dockerSocket, signal });
  } finally {
    await unmountAll(files.kubeletRoot);
  }
  await rm(owner, { recursive: true, force: true });
  await rm(files.ipamDir, { recursive: true, force: true });
  await removeCgroup(cgroupOf(config, node));
}
