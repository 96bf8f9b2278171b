/** Takes a local cluster down and leaves nothing of it but its data. */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { withClusterLock } from "./cluster-lock.ts";
import { cgroupOf } from "./components.ts";
import { engineContainerdSocket } from "./docker-config.ts";
import { readCluster } from "./load-cluster.ts";
import { removeHostNetwork } from "./network.ts";
import { cgroupPids, removeCgroup, removeNodeState, unmountAll } from "./node-files.ts";
import { type ClusterPaths, clusterPaths } from "./paths.ts";
import { endLeftover, identityFile } from "./supervisor/component-process.ts";
import { askSupervisor, SupervisorGoneError } from "./supervisor/protocol.ts";

export interface DownOptions {
  readonly dataDir: string;
  readonly purge: boolean;
  readonly report: (text: string) => void;
}

/** Idempotent; false when there is no cluster in the folder. Throws ClusterBusyError. */
export function bringDown(options: DownOptions): Promise<boolean> {
  return withClusterLock(options.dataDir, () => takeAway(options));
}

async function takeAway({ dataDir, purge, report }: DownOptions): Promise<boolean> {
  const config = await readCluster(dataDir);
  if (config === undefined) return false;
  const paths = clusterPaths(dataDir);
  await stopComponents(paths);
  report("processes stopped");
  for (const node of config.nodes) await removeNode(config, node.name, paths);
  report("pods, mounts and cgroups removed");
  await removeHostNetwork(config);
  report("network removed");
  if (purge) {
    await unmountAll(dataDir);
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
    report(`${dataDir} removed`);
  }
  return true;
}

async function stopComponents(paths: ClusterPaths): Promise<void> {
  try {
    const { pid } = await askSupervisor(paths.supervisorSocket, { op: "shutdown" }, 120_000);
    await waitForEnd(pid);
  } catch (error) {
    if (!(error instanceof SupervisorGoneError)) throw error;
  }
  // What a killed supervisor left behind, the supervisor itself first so that it starts nothing again.
  await endLeftover(identityFile(paths.run, "supervisor"), 5000, systemClock);
  const files = await readdir(paths.run).catch(() => []); // nothing ever ran
  for (const file of files.filter((name) => name.endsWith(".json"))) {
    await endLeftover(join(paths.run, file), 10_000, systemClock);
  }
}

async function waitForEnd(pid: number): Promise<void> {
  for (let i = 0; i < 100; i++) {
    try {
      process.kill(pid, 0);
    } catch {
      // ESRCH: it is gone, which is what we wait for.
      return;
    }
    await systemClock.sleep(50);
  }
}

export async function removeNode(config: ClusterConfig, name: string, paths: ClusterPaths): Promise<void> {
  const node = config.nodes.find((n) => n.name === name);
  if (node === undefined) return;
  const files = paths.node(name);
  const cgroup = cgroupOf(config, node);
  // Containers first, then the shims that would report their end to a runtime that is gone.
  await killAll(() => cgroupPids(cgroup));
  await killAll(() => shimsOf([files.containerdSocket, engineContainerdSocket(files)]));
  await removeNodeState(files);
  await removeCgroup(cgroup);
}

async function killAll(find: () => Promise<readonly number[]>): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const pids = await find();
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    await systemClock.sleep(50);
  }
}

/** containerd's shims, which outlive it, are known by the socket they report to. */
async function shimsOf(sockets: readonly string[]): Promise<number[]> {
  const pids: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const command = (await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "")).split("\0"); // ended meanwhile
    const isShim = (command[0] ?? "").includes("containerd-shim");
    if (isShim && sockets.includes(command[command.indexOf("-address") + 1] ?? "")) pids.push(Number(entry));
  }
  return pids;
}
