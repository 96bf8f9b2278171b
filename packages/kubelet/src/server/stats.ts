/** Resource usage: /stats/summary for metrics-server's older versions, /metrics/resource for its newer ones. */
import { readFile } from "node:fs/promises";
import type { ContainerStats } from "@knarr/cri/types.ts";
import { Labels } from "../core/observed-pod.ts";
import type { Serving } from "./serving.ts";

interface Sample {
  readonly at: number;
  readonly nanoSeconds: number;
}

/** CPU use per container id in nanocores, from this sample and the one before. */
export class CpuRates {
  readonly #last = new Map<string, Sample>();
  readonly #rates = new Map<string, number>();

  /** Adds samples and forgets the containers that are gone. */
  update(stats: readonly ContainerStats[]): void {
    const present = new Set(stats.map((s) => s.id));
    for (const id of this.#last.keys()) {
      if (present.has(id)) continue;
      this.#last.delete(id);
      this.#rates.delete(id);
    }
    for (const { id, timestamp, cpuUsageNanoSeconds } of stats) {
      if (cpuUsageNanoSeconds === undefined) continue;
      const before = this.#last.get(id);
      const elapsedMs = timestamp - (before?.at ?? 0);
      if (before !== undefined && elapsedMs < 500) continue;
      if (before !== undefined) {
        const used = Math.max(0, cpuUsageNanoSeconds - before.nanoSeconds);
        this.#rates.set(id, Math.round((used / elapsedMs) * 1000));
      }
      this.#last.set(id, { at: timestamp, nanoSeconds: cpuUsageNanoSeconds });
    }
  }

  rate(id: string): number | undefined {
    return this.#rates.get(id);
  }
}

const rates = new CpuRates();

interface NodeUsage {
  readonly cpuNanoSeconds: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryAvailableBytes: number;
}

/** User, nice, system, irq, softirq and steal time of all processors together, in nanoseconds. */
async function readNodeUsage(memoryBytes: number): Promise<NodeUsage> {
  const fields = (/^cpu +(.*)$/m.exec(await readFile("/proc/stat", "utf8"))?.[1] ?? "").split(" ").map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  const ticks = user + nice + system + irq + softirq + steal;
  const meminfo = await readFile("/proc/meminfo", "utf8");
  const availableBytes = Number(/^MemAvailable:\s+(\d+)/m.exec(meminfo)?.[1] ?? 0) * 1024;
  return {
    cpuNanoSeconds: ticks * 10_000_000,
    memoryWorkingSetBytes: memoryBytes - availableBytes,
    memoryAvailableBytes: availableBytes,
  };
}

interface Measured {
  readonly stats: readonly ContainerStats[];
  readonly node: NodeUsage;
}

async function measure(serving: Serving): Promise<Measured> {
  const stats = (await serving.context.runtime.listContainerStats()).filter(
    (s) => s.labels[Labels.podUid] !== undefined,
  );
  const node = await readNodeUsage(serving.state.machine.memoryBytes);
  rates.update(stats);
  return { stats, node };
}

const iso = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
const sum = (values: readonly (number | undefined)[]) => values.reduce<number>((total, v) => total + (v ?? 0), 0);

function cpuStats(time: string, nanoSeconds: number | undefined, nanoCores: number | undefined) {
  return {
    time,
    ...(nanoCores === undefined ? {} : { usageNanoCores: nanoCores }),
    ...(nanoSeconds === undefined ? {} : { usageCoreNanoSeconds: nanoSeconds }),
  };
}

export async function statsSummary(serving: Serving): Promise<object> {
  const { stats, node } = await measure(serving);
  const { config, context, state } = serving;
  const now = iso(context.clock.now());
  const pods = [...Map.groupBy(stats, (s) => s.labels[Labels.podUid] ?? "")].map(([uid, containers]) => {
    const first = containers[0]?.labels ?? {};
    return {
      podRef: { name: first[Labels.podName], namespace: first[Labels.podNamespace], uid },
      startTime: serving.pods.get(uid)?.pod.status?.startTime ?? now,
      containers: containers.map((c) => containerSummary(c)),
      cpu: cpuStats(
        now,
        sum(containers.map((c) => c.cpuUsageNanoSeconds)),
        sum(containers.map((c) => rates.rate(c.id))),
      ),
      memory: {
        time: now,
        workingSetBytes: sum(containers.map((c) => c.memoryWorkingSetBytes)),
        usageBytes: sum(containers.map((c) => c.memoryUsageBytes)),
      },
    };
  });
  const { usage } = state;
  return {
    node: {
      nodeName: config.nodeName,
      startTime: iso(state.startedAt),
      cpu: cpuStats(now, node.cpuNanoSeconds, undefined),
      memory: { time: now, availableBytes: node.memoryAvailableBytes, workingSetBytes: node.memoryWorkingSetBytes },
      fs: {
        time: now,
        availableBytes: usage.diskAvailableBytes,
        capacityBytes: usage.diskTotalBytes,
        usedBytes: usage.diskTotalBytes - usage.diskAvailableBytes,
        inodes: usage.inodesTotal,
        inodesFree: usage.inodesFree,
      },
      rlimit: { time: now, maxpid: usage.pidsMax, curproc: usage.pidsUsed },
    },
    pods,
  };
}

function containerSummary(stats: ContainerStats) {
  const time = iso(stats.timestamp);
  return {
    name: stats.name,
    startTime: time,
    cpu: cpuStats(time, stats.cpuUsageNanoSeconds, rates.rate(stats.id)),
    memory: {
      time,
      workingSetBytes: stats.memoryWorkingSetBytes ?? 0,
      usageBytes: stats.memoryUsageBytes ?? 0,
      ...(stats.memoryRssBytes === undefined ? {} : { rssBytes: stats.memoryRssBytes }),
      ...(stats.pageFaults === undefined ? {} : { pageFaults: stats.pageFaults }),
      ...(stats.majorPageFaults === undefined ? {} : { majorPageFaults: stats.majorPageFaults }),
    },
    rootfs: { time, usedBytes: stats.writableLayerBytes ?? 0, inodesUsed: stats.writableLayerInodes ?? 0 },
  };
}

/** One metric in Prometheus' text format, each sample with its own time. */
function metric(name: string, help: string, type: string, samples: readonly string[]): string {
  return `# HELP ${name} [STABLE] ${help}\n# TYPE ${name} ${type}\n${samples.map((s) => `${name}${s}\n`).join("")}`;
}

export async function resourceMetrics(serving: Serving): Promise<string> {
  const { stats, node } = await measure(serving);
  const now = Math.round(serving.context.clock.now());
  const started = (s: ContainerStats) =>
    serving.relist.snapshot?.containers.find((c) => c.id === s.id)?.createdAt ?? s.timestamp;
  const podLabels = (s: ContainerStats) =>
    `namespace="${s.labels[Labels.podNamespace]}",pod="${s.labels[Labels.podName]}"`;
  const of = (s: ContainerStats, value: number) =>
    `{container="${s.name}",${podLabels(s)}} ${value} ${Math.round(s.timestamp)}`;
  const pods = [...Map.groupBy(stats, podLabels)];
  const perPod = (value: (s: ContainerStats) => number) =>
    pods.map(([labels, all]) => `{${labels}} ${sum(all.map(value))} ${Math.round(all[0]?.timestamp ?? now)}`);
  const cpu = (s: ContainerStats) => (s.cpuUsageNanoSeconds ?? 0) / 1e9;
  const memory = (s: ContainerStats) => s.memoryWorkingSetBytes ?? 0;
  return [
    metric(
      "container_cpu_usage_seconds_total",
      "Cumulative cpu time consumed by the container in core-seconds",
      "counter",
      stats.map((s) => of(s, cpu(s))),
    ),
    metric(
      "container_memory_working_set_bytes",
      "Current working set of the container in bytes",
      "gauge",
      stats.map((s) => of(s, memory(s))),
    ),
    metric(
      "container_start_time_seconds",
      "Start time of the container since unix epoch in seconds",
      "gauge",
      stats.map((s) => of(s, started(s) / 1000)),
    ),
    metric("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", "counter", [
      ` ${node.cpuNanoSeconds / 1e9} ${now}`,
    ]),
    metric("node_memory_working_set_bytes", "Current working set of the node in bytes", "gauge", [
      ` ${node.memoryWorkingSetBytes} ${now}`,
    ]),
    metric(
      "pod_cpu_usage_seconds_total",
      "Cumulative cpu time consumed by the pod in core-seconds",
      "counter",
      perPod(cpu),
    ),
    metric("pod_memory_working_set_bytes", "Current working set of the pod in bytes", "gauge", perPod(memory)),
    metric("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", "gauge", [
      " 0",
    ]),
  ].join("");
}
