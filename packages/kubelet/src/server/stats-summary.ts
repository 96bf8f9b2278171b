/**
 * GET /stats/summary: what the node, its pods, containers and volumes use, for people and older metrics-servers. With
 * ?only_cpu_and_memory=true without file systems, volumes and networks.
 * Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1 types.go
 */
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { podLogDirectory } from "../pods/pod-files.ts";
import type { DiskUsage, DiskUsages } from "./disk-usage.ts";
import { readBasicUsage } from "./group-usage.ts";
import {
  cpuRates,
  type MeasuredContainer,
  type MeasuredPod,
  type Measurement,
  measure,
  podCpuNanoSeconds,
  podWorkingSetBytes,
} from "./measure.ts";
import { type InterfaceUsage, readNetworkUsage } from "./network-usage.ts";
import { type GroupPressure, readPressure } from "./pressure.ts";
import type { Serving } from "./serving.ts";
import { type FsStats, filesystemOf, type VolumeStats, volumeStats } from "./volume-stats.ts";

interface Frame {
  readonly serving: Serving;
  readonly disks: DiskUsages;
  readonly now: string;
  readonly onlyCpuAndMemory: boolean;
  readonly nodeFs: FsStats;
}

const iso = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

export async function statsSummary(serving: Serving, disks: DiskUsages, onlyCpuAndMemory: boolean): Promise<object> {
  const measured = await measure(serving);
  const now = iso(measured.atMs);
  const nodeFs = await filesystemOf(serving.config.rootDir, now);
  const frame: Frame = { serving, disks, now, onlyCpuAndMemory, nodeFs };
  const pods: object[] = [];
  // One after the other: the folders of a hundred pods at once would be a storm of reads.
  for (const pod of measured.pods) pods.push(await podStats(frame, pod));
  return { node: await nodeStats(frame, measured), pods };
}

async function nodeStats(frame: Frame, { node }: Measurement): Promise<object> {
  const { serving, now, onlyCpuAndMemory, nodeFs } = frame;
  const { usage } = serving.state;
  const pressure = serving.context.cgroups?.version === 2 ? await readPressure("/sys/fs/cgroup") : undefined;
  const base = {
    nodeName: serving.config.nodeName,
    systemContainers: await systemContainers(frame),
    startTime: iso(node.bootedAtMs),
    cpu: { ...cpuStats(now, node.cpuNanoSeconds, cpuRates.of("node")), ...psi(pressure?.cpu) },
    memory: {
      time: now,
      ...psi(pressure?.memory),
      availableBytes: node.memoryAvailableBytes,
      usageBytes: node.memoryUsageBytes,
      workingSetBytes: node.memoryWorkingSetBytes,
      rssBytes: node.memoryRssBytes,
      pageFaults: node.pageFaults,
      majorPageFaults: node.majorPageFaults,
    },
    swap: {
      time: now,
      swapAvailableBytes: node.swapTotalBytes - node.swapUsageBytes,
      swapUsageBytes: node.swapUsageBytes,
    },
    ...ioStats(now, pressure),
  };
  if (onlyCpuAndMemory) return base;
  return {
    ...base,
    network: networkStats(now, await readNetworkUsage("self")),
    fs: nodeFs,
    runtime: await runtimeFilesystems(frame),
    rlimit: { time: now, maxpid: usage.pidsMax, curproc: usage.pidsUsed },
  };
}

/** All pods together, and the kubelet itself. */
async function systemContainers({ serving, now }: Frame): Promise<object[]> {
  const { cgroups, clock } = serving.context;
  // Told from the steady clock, so that it moves with a wall clock that was put right.
  const startTime = iso(clock.now() - (clock.monotonicMs() - serving.state.startedAt));
  const own = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const kubelet = {
    name: "kubelet",
    startTime,
    cpu: cpuStats(now, (user + system) * 1000, undefined),
    memory: { time: now, usageBytes: own.rss, workingSetBytes: own.rss, rssBytes: own.rss },
  };
  const group = cgroups === undefined ? undefined : await readBasicUsage(cgroups.version, cgroups.base);
  if (group === undefined) return [kubelet];
  const pods = {
    name: "pods",
    startTime,
    cpu: cpuStats(now, Math.round(group.cpuSeconds * 1e9), undefined),
    memory: {
      time: now,
      usageBytes: group.memoryUsageBytes,
      workingSetBytes: group.memoryWorkingSetBytes,
      ...defined({
        rssBytes: group.memoryRssBytes,
        pageFaults: group.pageFaults,
        majorPageFaults: group.majorPageFaults,
      }),
    },
  };
  return [kubelet, pods];
}

/** Containers write where their images are. Source: KEP-4191; two filesystems are not told apart here. */
async function runtimeFilesystems(frame: Frame): Promise<object> {
  const imageFs = await imageFilesystem(frame);
  return { imageFs, containerFs: imageFs };
}

/** Where the runtime keeps images; the node's file system when it does not say. */
async function imageFilesystem({ serving, nodeFs, now }: Frame): Promise<object> {
  const [first] = await serving.context.runtime.imageFilesystems();
  if (first === undefined) return nodeFs;
  // The runtime may live in another mount namespace: then only what it says itself is known.
  const whole = await filesystemOf(first.mountpoint, now).catch(() => nodeFs);
  return { ...whole, usedBytes: first.usedBytes, inodesUsed: first.inodesUsed };
}

async function podStats(frame: Frame, measured: MeasuredPod): Promise<object> {
  const { now, onlyCpuAndMemory } = frame;
  const { uid, name, namespace, pod, group, network } = measured;
  const base = {
    podRef: { name, namespace, uid },
    startTime: pod?.status?.startTime ?? iso(oldestMs(measured) ?? frame.serving.context.clock.now()),
    containers: await Promise.all(measured.containers.map((one) => containerStats(frame, measured, one))),
    cpu: { ...cpuStats(now, podCpuNanoSeconds(measured), cpuRates.of(`pod/${uid}`)), ...psi(group?.pressure?.cpu) },
    memory: {
      time: now,
      ...psi(group?.pressure?.memory),
      ...memoryLeft(pod, podWorkingSetBytes(measured)),
      usageBytes: group?.memoryUsageBytes ?? sum(measured.containers.map(({ stats }) => stats.memoryUsageBytes)),
      workingSetBytes: podWorkingSetBytes(measured),
      ...defined({
        rssBytes: group?.memoryRssBytes,
        pageFaults: group?.pageFaults,
        majorPageFaults: group?.majorPageFaults,
      }),
    },
    ...(group?.processes === undefined ? {} : { process_stats: { process_count: group.processes } }),
    ...(group?.swapBytes === undefined ? {} : { swap: { time: now, swapUsageBytes: group.swapBytes } }),
    ...ioStats(now, group?.pressure),
  };
  if (onlyCpuAndMemory) return base;
  const { serving, disks, nodeFs } = frame;
  const volumes = pod === undefined ? [] : await volumeStats({ config: serving.config, disks, nodeFs }, pod);
  return {
    ...base,
    ...(network.length === 0 ? {} : { network: networkStats(now, network) }),
    ...(volumes.length === 0 ? {} : { volume: volumes.map(({ ephemeral: _, ...volume }) => volume) }),
    "ephemeral-storage": await ephemeralStorage(frame, measured, volumes),
  };
}

async function containerStats(frame: Frame, { pod }: MeasuredPod, { stats, container, groupPath }: MeasuredContainer) {
  const time = iso(stats.timestamp);
  const { cgroups } = frame.serving.context;
  const pressure =
    cgroups?.version === 2 && groupPath !== undefined ? await readPressure(`/sys/fs/cgroup${groupPath}`) : undefined;
  const { nodeFs, onlyCpuAndMemory } = frame;
  const base = {
    name: stats.name,
    startTime: iso(container?.createdAt ?? stats.timestamp),
    cpu: { ...cpuStats(time, stats.cpuUsageNanoSeconds, cpuRates.of(stats.id)), ...psi(pressure?.cpu) },
    memory: {
      time,
      ...psi(pressure?.memory),
      workingSetBytes: stats.memoryWorkingSetBytes ?? 0,
      ...defined({
        availableBytes: stats.memoryAvailableBytes,
        usageBytes: stats.memoryUsageBytes,
        rssBytes: stats.memoryRssBytes,
        pageFaults: stats.pageFaults,
        majorPageFaults: stats.majorPageFaults,
      }),
    },
    ...ioStats(time, pressure),
  };
  if (onlyCpuAndMemory) return base;
  const logs = pod === undefined ? undefined : await logUsage(frame, pod, stats.name);
  return {
    ...base,
    rootfs: {
      ...nodeFs,
      time,
      usedBytes: stats.writableLayerBytes ?? 0,
      inodesUsed: stats.writableLayerInodes ?? 0,
    },
    ...(logs === undefined ? {} : { logs: { ...nodeFs, usedBytes: logs.usedBytes, inodesUsed: logs.inodesUsed } }),
  };
}

function logUsage({ serving, disks }: Frame, pod: Pod, container: string): Promise<DiskUsage | undefined> {
  return disks.of(join(podLogDirectory(serving.config, pod), container));
}

/** Logs, writable layers and volumes that die with the pod. */
async function ephemeralStorage(
  frame: Frame,
  { pod, containers }: MeasuredPod,
  volumes: readonly VolumeStats[],
): Promise<FsStats> {
  const { serving, disks, nodeFs } = frame;
  const logs = pod === undefined ? undefined : await disks.of(podLogDirectory(serving.config, pod));
  const own = volumes.filter(({ ephemeral }) => ephemeral);
  const layers = containers.map(({ stats }) => stats);
  return {
    ...nodeFs,
    usedBytes: sum(layers.map((s) => s.writableLayerBytes)) + sum(own.map((v) => v.usedBytes)) + (logs?.usedBytes ?? 0),
    inodesUsed:
      sum(layers.map((s) => s.writableLayerInodes)) + sum(own.map((v) => v.inodesUsed)) + (logs?.inodesUsed ?? 0),
  };
}

function cpuStats(time: string, nanoSeconds: number | undefined, nanoCores: number | undefined) {
  return { time, ...defined({ usageNanoCores: nanoCores, usageCoreNanoSeconds: nanoSeconds }) };
}

/** Where the kernel tells it. Source: KEP-4205 */
function psi(pressure: GroupPressure["cpu"]): object {
  return pressure === undefined ? {} : { psi: pressure };
}

function ioStats(time: string, pressure: GroupPressure | undefined): object {
  return pressure?.io === undefined ? {} : { io: { time, psi: pressure.io } };
}

/** The first interface is the default one. */
function networkStats(time: string, interfaces: readonly InterfaceUsage[]) {
  const all = interfaces.map(({ name, rxBytes, rxErrors, txBytes, txErrors }) => {
    return { name, rxBytes, rxErrors, txBytes, txErrors };
  });
  return { time, ...all.find(({ name }) => name === "eth0"), interfaces: all };
}

/** Only for pods whose containers all have a limit. */
function memoryLeft(pod: Pod | undefined, workingSetBytes: number): { availableBytes?: number } {
  const limits = (pod?.spec?.containers ?? []).map((c) => c.resources?.limits?.memory);
  if (limits.length === 0 || limits.some((limit) => limit === undefined)) return {};
  const total = sum(limits.map((limit) => quantityValue(limit ?? "0")));
  return { availableBytes: Math.max(0, total - workingSetBytes) };
}

function oldestMs({ containers }: MeasuredPod): number | undefined {
  const times = containers.flatMap(({ container }) => (container === undefined ? [] : [container.createdAt]));
  return times.length === 0 ? undefined : Math.min(...times);
}

function sum(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0);
}

function defined(values: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}
