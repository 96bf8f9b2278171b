/** A container that is a node: containerd inside, and the node's daemons. */
import { Resolver } from "node:dns/promises";
import { access, constants, mkdir, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { NodeConfig } from "../cluster-config.ts";
import { cgroupOf, planNode } from "../components.ts";
import { waitUntilHealthy } from "../health.ts";
import { buildImageArchive } from "../images/image-archive.ts";
import { PAUSE_IMAGE, pauseImage } from "../images/pause-image.ts";
import { importImage } from "../import-images.ts";
import { applyNodeFiles, cgroupHierarchies, removeNodeState } from "../node-files.ts";
import { clusterPaths } from "../paths.ts";
import { issueNodeCredentials, usersOfNode } from "../phases/credentials.ts";
import { READY_TIMEOUT_MS } from "../phases/phase.ts";
import { projectRoot } from "../project-root.ts";
import { runCommand, tryCommand } from "../run-command.ts";
import { findTools } from "../tools.ts";
import { APISERVER_URL, containerCluster, DATA_DIR, nodeNameFrom } from "./config.ts";
import { type ContainerComponents, RUN_DIR } from "./run-components.ts";

/** Archives that the image brings: the examples' applications. */
const IMAGES_DIR = "/opt/knarr/images";
/** Goes with the container, not with the volume. */
const NAME_FILE = join(RUN_DIR, "node-name");
/** How long the engine may take until it knows the container's name; then the host name has to do. */
const NAME_TIMEOUT_MS = 20_000;
const NAME_RETRY_MS = 500;

export async function runNode(ip: string, components: ContainerComponents, signal: AbortSignal): Promise<void> {
  const name = await ownName(ip, signal);
  const config = containerCluster(ip);
  const paths = clusterPaths(DATA_DIR);
  const files = paths.node(name);
  const node: NodeConfig = { name, ip, netns: "", link: "" };
  await issueNodeCredentials({
    clusterName: config.name,
    paths,
    nodes: [node],
    users: usersOfNode(name, APISERVER_URL),
    note: (certificate) => process.stdout.write(`certificate ${certificate}\n`),
  });
  await runCommand(["hostname", name]);
  await prepareCgroups();
  await enableForwarding();
  // What an earlier container of this node left in its folder is as after a reboot: no process, no mount.
  await mkdir(files.dir, { recursive: true });
  await removeNodeState(files);
  const tools = await findTools({ dataDir: DATA_DIR, env: process.env });
  // The engine's own resolver answers inside this container only; the cluster's passes on what it does not know.
  const resolvers = [config.dnsServiceIp];
  await applyNodeFiles({
    ...{ paths: files, tools, runtime: config.runtime, sandboxImage: PAUSE_IMAGE },
    ...{ resolvers, cgroup: cgroupOf(config, node) },
  });
  const options = { config, paths, tools, node: process.execPath, projectRoot, enter: inHere };
  const [runtime, ...daemons] = planNode(options, node);
  if (runtime === undefined) throw new Error("a node needs a container runtime");
  await components.start(runtime);
  await waitUntilHealthy(runtime, READY_TIMEOUT_MS, signal);
  const importing = { tools, socket: files.containerdSocket, signal };
  await importImage(await buildImageArchive(pauseImage(), join(files.dir, "images")), importing);
  for (const daemon of daemons) await components.start(daemon);
  for (const archive of await exampleImages()) await importImage(archive, importing);
  process.stdout.write(`${name} (${ip}) runs\n`);
}

/**
 * The name that the engine gave this container, for as long as the container lives: an engine that was just started again
 * may start containers before it can tell their names, and a node must not join under another one then.
 */
async function ownName(ip: string, signal: AbortSignal): Promise<string> {
  const given = process.env.KNARR_NODE_NAME ?? (await readOr(NAME_FILE, "")).trim();
  if (given !== "") return given;
  const deadlineMs = systemClock.monotonicMs() + NAME_TIMEOUT_MS;
  let found: string | undefined;
  do {
    found = nodeNameFrom(await engineNamesOf(ip));
    if (found === undefined) await systemClock.sleep(NAME_RETRY_MS, signal);
  } while (found === undefined && systemClock.monotonicMs() < deadlineMs);
  const name = found ?? hostname();
  await mkdir(dirname(NAME_FILE), { recursive: true });
  await writeFile(NAME_FILE, `${name}\n`);
  return name;
}

async function readOr(path: string, absent: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return absent;
    throw error;
  }
}

/** What the engine's DNS calls this container; /etc/hosts, which has the container's id, is not asked. */
async function engineNamesOf(ip: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2000, tries: 3 });
  try {
    return await resolver.resolvePtr(`${ip.split(".").toReversed().join(".")}.in-addr.arpa`);
  } catch (error) {
    process.stderr.write(`no name for ${ip}: ${(error as Error).message}; the host name will do\n`);
    return [];
  }
}

export const inHere = (_node: NodeConfig, command: readonly string[]) => command;

export async function exampleImages(): Promise<string[]> {
  const text = await tryCommand(["find", IMAGES_DIR, "-name", "*.tar"]);
  return (text ?? "").split("\n").filter((line) => line !== "");
}

export async function enableForwarding(): Promise<void> {
  const path = "/proc/sys/net/ipv4/ip_forward";
  if ((await readFile(path, "utf8")).trim() !== "1") await writeFile(path, "1");
}

/**
 * Pods' cgroups are made below this container's own. They must be writable, and on v2 no process may stay in a cgroup
 * that hands controllers down. Source: Documentation/admin-guide/cgroup-v2.rst ("No Internal Process Constraint")
 */
async function prepareCgroups(): Promise<void> {
  for (const hierarchy of await cgroupHierarchies()) {
    const writable = await access(hierarchy, constants.W_OK).then(
      () => true,
      () => false,
    );
    if (!writable) await runCommand(["mount", "-o", "remount,bind,rw", hierarchy]);
    const isUnified = await access(join(hierarchy, "cgroup.subtree_control")).then(
      () => true,
      () => false,
    );
    if (!isUnified) continue;
    await mkdir(join(hierarchy, "init"), { recursive: true });
    for (const pid of (await readFile(join(hierarchy, "cgroup.procs"), "utf8")).split("\n")) {
      // A process that ended meanwhile, or a kernel thread, can't be moved and need not be.
      if (pid !== "") await writeFile(join(hierarchy, "init/cgroup.procs"), pid).catch(() => {});
    }
  }
}
