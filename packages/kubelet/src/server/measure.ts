/**
 * One measurement of the node, its pods and their containers: what the runtime says of containers, and what the kernel
 * counts for the pods' cgroups, their network namespaces and the machine. Everything that reports use starts here.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ContainerStats, RuntimeContainer } from "@knarr/cri/types.ts";
import { Labels } from "../core/observed-pod.ts";
import { CpuRates } from "./cpu-rates.ts";
import { type BasicUsage, readBasicUsage } from "./group-usage.ts";
import { type InterfaceUsage, processOf, readNetworkUsage } from "./network-usage.ts";
import type { Serving } from "./serving.ts";

export interface MeasuredContainer {
  readonly stats: ContainerStats;
  /** As the last list of the runtime had it. */
  readonly container: RuntimeContainer | undefined;
  /** Its cgroup below the hierarchies' roots; undefined when the kubelet keeps none, or it is gone. */
  readonly groupPath: string | undefined;
}

export interface MeasuredPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly pod: Pod | undefined;
  readonly containers: readonly MeasuredContainer[];
  /** Below the hierarchies' roots; undefined when the kubelet keeps no cgroups. */
  readonly groupPath: string | undefined;
  readonly group: BasicUsage | undefined;
  /** Of the pod's own network; empty for pods on the node's. */
  readonly network: readonly InterfaceUsage[];
}

export interface NodeUsage {
  /** When the machine started, epoch ms. */
  readonly bootedAtMs: number;
  readonly cpuNanoSeconds: number;
  readonly memoryUsageBytes: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryAvailableBytes: number;
  readonly memoryRssBytes: number;
  readonly swapUsageBytes: number;
  readonly swapTotalBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
}

export interface Measurement {
  readonly atMs: number;
  readonly node: NodeUsage;
  readonly pods: readonly MeasuredPod[];
}

/** Nanocores by container id, by "pod/UID", by "node". */
export const cpuRates = new CpuRates();

export async function measure(serving: Serving): Promise<Measurement> {
  const { context } = serving;
  const all = await context.runtime.listContainerStats();
  const mine = all.filter((s) => s.labels[Labels.podUid] !== undefined);
  const byPod = [...Map.groupBy(mine, (s) => s.labels[Labels.podUid] ?? "")];
  const pods = await Promise.all(byPod.map(([uid, stats]) => measurePod(serving, uid, stats)));
  const node = await readNodeUsage();
  const atMs = context.clock.now();
  const seenMs = context.clock.monotonicMs();
  cpuRates.update([
    { id: "node", atMs, seenMs, nanoSeconds: node.cpuNanoSeconds },
    ...pods.flatMap((pod) => [
      { id: `pod/${pod.uid}`, atMs, seenMs, nanoSeconds: podCpuNanoSeconds(pod) },
      ...pod.containers.flatMap(({ stats: { id, timestamp, cpuUsageNanoSeconds: nanoSeconds } }) =>
        nanoSeconds === undefined ? [] : [{ id, atMs: timestamp, seenMs, nanoSeconds }],
      ),
    ]),
  ]);
  return { atMs, node, pods };
}

async function measurePod(serving: Serving, uid: string, stats: readonly ContainerStats[]): Promise<MeasuredPod> {
  const labels = stats[0]?.labels ?? {};
  const pod = serving.pods.get(uid)?.pod;
  const { cgroups } = serving.context;
  const { relist } = serving;
  const known = new Map((relist.snapshot?.containers ?? []).map((c) => [c.id, c]));
  const named = { uid, name: labels[Labels.podName] ?? "", namespace: labels[Labels.podNamespace] ?? "", pod };
  const bare = stats.map((one) => ({ stats: one, container: known.get(one.id), groupPath: undefined }));
  if (cgroups === undefined || pod === undefined) {
    return { ...named, containers: bare, groupPath: undefined, group: undefined, network: [] };
  }
  const { version } = cgroups;
  const groupPath = cgroups.podPath(pod);
  const [group, groups] = await Promise.all([readBasicUsage(version, groupPath), containerGroups(version, groupPath)]);
  const containers = bare.map((one) => ({ ...one, groupPath: groups.get(one.stats.id) }));
  const network = pod.spec?.hostNetwork === true ? [] : await podNetwork(version, containers);
  return { ...named, containers, groupPath, group, network };
}

/** All containers of a pod share its network: the first with a process tells. */
async function podNetwork(version: 1 | 2, containers: readonly MeasuredContainer[]): Promise<InterfaceUsage[]> {
  for (const { groupPath } of containers) {
    const pid = groupPath === undefined ? undefined : await processOf(version, groupPath);
    if (pid !== undefined) return readNetworkUsage(pid);
  }
  return [];
}

/** The cgroups below a pod's, by container id: "ID" with the cgroupfs driver, "cri-containerd-ID.scope" with systemd's. */
export async function containerGroups(version: 1 | 2, podGroup: string): Promise<Map<string, string>> {
  const root = version === 2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
  // The pod may be gone by now.
  const names = await readdir(`${root}${podGroup}`).catch(() => [] as string[]);
  const result = new Map<string, string>();
  for (const name of names) {
    const id = /([0-9a-f]{64})(\.scope)?$/.exec(basename(name))?.[1];
    if (id !== undefined) result.set(id, `${podGroup}/${name}`);
  }
  return result;
}

/** With the pod's own group the sandbox counts too, as upstream. */
export function podCpuNanoSeconds({ group, containers }: MeasuredPod): number {
  if (group !== undefined) return Math.round(group.cpuSeconds * 1e9);
  return containers.reduce((total, { stats }) => total + (stats.cpuUsageNanoSeconds ?? 0), 0);
}

export function podWorkingSetBytes({ group, containers }: MeasuredPod): number {
  if (group !== undefined) return group.memoryWorkingSetBytes;
  return containers.reduce((total, { stats }) => total + (stats.memoryWorkingSetBytes ?? 0), 0);
}

/** Source: runc's figures of the root group, from /proc/meminfo: used is what is not free, less the inactive files. */
async function readNodeUsage(): Promise<NodeUsage> {
  const [stat, meminfo, vmstat] = await Promise.all([text("/proc/stat"), text("/proc/meminfo"), text("/proc/vmstat")]);
  const times = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? "").split(" ").map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = times;
  const memory = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
  const counter = (field: string) => Number(new RegExp(`^${field} (\\d+)$`, "m").exec(vmstat)?.[1] ?? 0);
  const total = memory("MemTotal");
  const usage = total - memory("MemFree");
  const workingSet = Math.max(0, usage - memory("Inactive\\(file\\)"));
  return {
    bootedAtMs: Number(/^btime (\d+)$/m.exec(stat)?.[1] ?? 0) * 1000,
    // In hundredths of a second.
    cpuNanoSeconds: (user + nice + system + irq + softirq + steal) * 10_000_000,
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: workingSet,
    memoryAvailableBytes: total - workingSet,
    memoryRssBytes: memory("AnonPages"),
    swapUsageBytes: memory("SwapTotal") - memory("SwapFree"),
    swapTotalBytes: memory("SwapTotal"),
    pageFaults: counter("pgfault"),
    majorPageFaults: counter("pgmajfault"),
  };
}

async function text(path: string): Promise<string> {
  return await readFile(path, "utf8");
}
