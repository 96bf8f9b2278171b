/**
 * GET /metrics/cadvisor: the series of cAdvisor that dashboards and alerts are made of, under its names and labels: the
 * machine, the groups of all pods, each pod and each container.
 * Source: google/cadvisor metrics/prometheus.go; k8s.io/kubernetes/pkg/kubelet/server containerPrometheusLabelsFunc
 */
import { readFile } from "node:fs/promises";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Labels } from "../core/observed-pod.ts";
import { type DeviceUsage, type GroupUsage, readGroupUsage } from "./group-usage.ts";
import { addDisks, addMachine, addRoot, type Families } from "./machine-metrics.ts";
import { containerGroups, type Measurement, measure } from "./measure.ts";
import { type InterfaceUsage, readNetworkUsage } from "./network-usage.ts";
import { type ProcessUsage, readProcessUsage } from "./process-usage.ts";
import { type LabelValues, MetricFamily, renderFamilies } from "./prometheus-text.ts";
import type { Serving } from "./serving.ts";

interface GroupSource {
  readonly labels: LabelValues;
  readonly path: string;
  readonly startedMs?: number | undefined;
}

type Reading = readonly [name: string, type: "counter" | "gauge", help: string, (u: GroupUsage) => number | undefined];

/** One sample per group. */
const PER_GROUP: readonly Reading[] = [
  [
    "container_cpu_user_seconds_total",
    "counter",
    "Cumulative user cpu time consumed in seconds.",
    (u) => u.cpuUserSeconds,
  ],
  [
    "container_cpu_system_seconds_total",
    "counter",
    "Cumulative system cpu time consumed in seconds.",
    (u) => u.cpuSystemSeconds,
  ],
  [
    "container_cpu_cfs_periods_total",
    "counter",
    "Number of elapsed enforcement period intervals.",
    (u) => (u.cpuQuotaUs === undefined ? undefined : u.periods),
  ],
  [
    "container_cpu_cfs_throttled_periods_total",
    "counter",
    "Number of throttled period intervals.",
    (u) => (u.cpuQuotaUs === undefined ? undefined : u.throttledPeriods),
  ],
  [
    "container_cpu_cfs_throttled_seconds_total",
    "counter",
    "Total time duration the container has been throttled.",
    (u) => (u.cpuQuotaUs === undefined ? undefined : u.throttledSeconds),
  ],
  [
    "container_memory_usage_bytes",
    "gauge",
    "Current memory usage in bytes, including all memory regardless of when it was accessed",
    (u) => u.memoryUsageBytes,
  ],
  ["container_memory_working_set_bytes", "gauge", "Current working set in bytes.", (u) => u.memoryWorkingSetBytes],
  ["container_memory_rss", "gauge", "Size of RSS in bytes.", (u) => u.memoryRssBytes],
  ["container_memory_cache", "gauge", "Number of bytes of page cache memory.", (u) => u.memoryCacheBytes],
  ["container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.", (u) => u.memoryMappedFileBytes],
  ["container_memory_swap", "gauge", "Container swap usage in bytes.", (u) => u.swapBytes],
  ["container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes", (u) => u.memoryMaxUsageBytes],
  ["container_memory_failcnt", "counter", "Number of memory usage hits limits", (u) => u.memoryFailCount],
  [
    "container_oom_events_total",
    "counter",
    "Count of out of memory events observed for the container",
    (u) => u.oomKills,
  ],
  ["container_threads", "gauge", "Number of threads running inside the container", (u) => u.processes],
  ["container_memory_kernel_usage", "gauge", "Size of kernel memory allocated in bytes.", (u) => u.memoryKernelBytes],
  [
    "container_memory_total_active_file_bytes",
    "gauge",
    "Current total active file in bytes.",
    (u) => u.activeFileBytes,
  ],
  [
    "container_memory_total_inactive_file_bytes",
    "gauge",
    "Current total inactive file in bytes.",
    (u) => u.inactiveFileBytes,
  ],
  [
    "container_threads_max",
    "gauge",
    "Maximum number of threads allowed inside the container, infinity if value is zero",
    (u) => u.threadsMax ?? 0,
  ],
  ["container_spec_cpu_period", "gauge", "CPU period of the container.", (u) => u.cpuPeriodUs],
  ["container_spec_cpu_quota", "gauge", "CPU quota of the container.", (u) => u.cpuQuotaUs],
  ["container_spec_cpu_shares", "gauge", "CPU share of the container.", (u) => u.cpuShares],
  ["container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.", (u) => u.memoryLimitBytes ?? 0],
  [
    "container_spec_memory_reservation_limit_bytes",
    "gauge",
    "Memory reservation limit for the container.",
    (u) => u.memoryReservationBytes ?? 0,
  ],
  [
    "container_spec_memory_swap_limit_bytes",
    "gauge",
    "Memory swap limit for the container.",
    (u) => u.swapLimitBytes ?? 0,
  ],
  ...(["cpu", "memory", "io"] as const).flatMap((resource): Reading[] => {
    const name = resource === "memory" ? resource : resource.toUpperCase();
    return [
      [
        `container_pressure_${resource}_stalled_seconds_total`,
        "counter",
        `Total time duration no tasks in the container could make progress due to ${name} congestion.`,
        (u) => secondsOf(u.pressure?.[resource]?.full.total),
      ],
      [
        `container_pressure_${resource}_waiting_seconds_total`,
        "counter",
        `Total time duration tasks in the container have waited due to ${name} congestion.`,
        (u) => secondsOf(u.pressure?.[resource]?.some.total),
      ],
    ];
  }),
];

/** Of the kernel's microseconds. */
function secondsOf(micros: number | undefined): number | undefined {
  return micros === undefined ? undefined : micros / 1e6;
}

/** One sample per interface of a pod. */
const PER_INTERFACE = [
  ["container_network_receive_bytes_total", "Cumulative count of bytes received", "rxBytes"],
  ["container_network_receive_packets_total", "Cumulative count of packets received", "rxPackets"],
  ["container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", "rxErrors"],
  [
    "container_network_receive_packets_dropped_total",
    "Cumulative count of packets dropped while receiving",
    "rxDropped",
  ],
  ["container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "txBytes"],
  ["container_network_transmit_packets_total", "Cumulative count of packets transmitted", "txPackets"],
  ["container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", "txErrors"],
  [
    "container_network_transmit_packets_dropped_total",
    "Cumulative count of packets dropped while transmitting",
    "txDropped",
  ],
] as const;

/** One sample per device. */
const PER_DEVICE = [
  ["container_fs_reads_bytes_total", "Cumulative count of bytes read", "readBytes"],
  ["container_fs_writes_bytes_total", "Cumulative count of bytes written", "writeBytes"],
  ["container_fs_reads_total", "Cumulative count of reads completed", "reads"],
  ["container_fs_writes_total", "Cumulative count of writes completed", "writes"],
] as const satisfies readonly (readonly [string, string, keyof DeviceUsage])[];

export async function cadvisorMetrics(serving: Serving): Promise<string> {
  const families = new Map<string, MetricFamily>();
  const family = (name: string, type: "counter" | "gauge", help: string): MetricFamily => {
    const known = families.get(name) ?? new MetricFamily(name, type, help);
    families.set(name, known);
    return known;
  };
  const failed = family(
    "container_scrape_error",
    "gauge",
    "1 if there was an error while getting container metrics, 0 otherwise",
  );
  try {
    const measured = await measure(serving);
    await addMachine(serving.state.machine, family);
    const root = { ...NOBODY, id: "/" };
    addRoot(root, measured.node, measured.atMs, family);
    await addDisks(root, measured.atMs, family);
    addNetwork(root, await readNetworkUsage("self"), measured.atMs, family);
    const sources = await groupSources(serving, measured);
    for (const source of sources) await addGroup(serving, source, measured.atMs, family);
    if (serving.context.cgroups !== undefined) {
      await addProcesses(serving.context.cgroups.version, sources, measured.atMs, family);
    }
    // The pod's own group stands for its network, as the sandbox holds it.
    for (const { groupPath, namespace, name, network } of measured.pods) {
      addNetwork({ ...NOBODY, id: groupPath ?? "", namespace, pod: name }, network, measured.atMs, family);
    }
    failed.add({}, 0);
  } catch (error) {
    // The scrape itself succeeds and says that there are no figures.
    serving.context.log.warn({ err: error }, "container metrics could not be measured");
    failed.add({}, 1);
  }
  return renderFamilies([...families.values()]);
}

/** Only containers are looked at: what is above them has what they have together. */
async function addProcesses(
  version: 1 | 2,
  sources: readonly GroupSource[],
  atMs: number,
  family: Families,
): Promise<void> {
  const containers: [path: string, usage: ProcessUsage][] = [];
  for (const { path, labels } of sources) {
    if (labels.name !== "") containers.push([path, await readProcessUsage(version, path)]);
  }
  for (const { path, labels } of sources) {
    const own = containers.filter(([one]) => one === path || one.startsWith(`${path}/`)).map(([, usage]) => usage);
    const add = (name: string, help: string, of: (usage: ProcessUsage) => number) => {
      const sum = own.reduce((total, usage) => total + of(usage), 0);
      family(name, "gauge", help).add(labels, sum, atMs);
    };
    add("container_processes", "Number of processes running inside the container.", (u) => u.processes);
    add("container_file_descriptors", "Number of open file descriptors for the container.", (u) => u.files);
    add("container_sockets", "Number of open sockets for the container.", (u) => u.sockets);
    const limits = family(
      "container_ulimits_soft",
      "gauge",
      "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice",
    );
    if (labels.name !== "") limits.add({ ...labels, ulimit: "max_open_files" }, own[0]?.maxOpenFiles, atMs);
  }
}

const NOBODY = { container: "", image: "", name: "", namespace: "", pod: "" };

async function groupSources({ context, relist }: Serving, { pods }: Measurement): Promise<GroupSource[]> {
  const { cgroups } = context;
  if (cgroups === undefined) return [];
  const all = [...cgroups.commonPaths];
  const sources: GroupSource[] = all.map((path) => ({ path, labels: { ...NOBODY, id: path } }));
  const sandboxes = new Map((relist.snapshot?.sandboxes ?? []).map((one) => [one.id, one]));
  for (const { groupPath, namespace, name: pod, containers, pod: object } of pods) {
    if (groupPath === undefined) continue;
    sources.push({ path: groupPath, labels: { ...NOBODY, id: groupPath, namespace, pod } });
    for (const [id, path] of await containerGroups(cgroups.version, groupPath)) {
      const known = containers.find(({ stats }) => stats.id === id);
      const labels = { ...NOBODY, id: path, name: id, namespace, pod };
      if (known !== undefined) {
        const container = known.stats.labels[Labels.containerName] ?? known.stats.name;
        const image = imageOf(object, container) ?? known.container?.image ?? "";
        sources.push({ path, startedMs: known.container?.createdAt, labels: { ...labels, container, image } });
      } else if (sandboxes.has(id)) {
        sources.push({ path, startedMs: sandboxes.get(id)?.createdAt, labels });
      }
    }
  }
  return sources;
}

/** As the pod names it; the runtime may know it by its digest only. */
function imageOf(pod: Pod | undefined, container: string): string | undefined {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod?.spec ?? {};
  return [...containers, ...initContainers, ...ephemeralContainers].find((one) => one.name === container)?.image;
}

async function addGroup(
  { context }: Serving,
  { labels, path, startedMs }: GroupSource,
  atMs: number,
  family: Families,
): Promise<void> {
  const usage = context.cgroups === undefined ? undefined : await readGroupUsage(context.cgroups.version, path);
  // It went while we looked.
  if (usage === undefined) return;
  family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.").add(
    { ...labels, cpu: "total" },
    usage.cpuSeconds,
    atMs,
  );
  for (const [name, type, help, read] of PER_GROUP) family(name, type, help).add(labels, read(usage), atMs);
  const faults = family(
    "container_memory_failures_total",
    "counter",
    "Cumulative count of memory allocation failures.",
  );
  faults.add({ ...labels, failure_type: "pgfault", scope: "hierarchy" }, usage.pageFaults, atMs);
  faults.add({ ...labels, failure_type: "pgmajfault", scope: "hierarchy" }, usage.majorPageFaults, atMs);
  for (const [name, help, field] of PER_DEVICE) {
    const target = family(name, "counter", help);
    for (const one of usage.devices) target.add({ ...labels, device: await deviceName(one.device) }, one[field], atMs);
  }
  const started = family(
    "container_start_time_seconds",
    "gauge",
    "Start time of the container since unix epoch in seconds.",
  );
  started.add(labels, startedMs === undefined ? undefined : startedMs / 1000, atMs);
  family("container_last_seen", "gauge", "Last time a container was seen by the exporter").add(
    labels,
    atMs / 1000,
    atMs,
  );
}

function addNetwork(of: LabelValues, network: readonly InterfaceUsage[], atMs: number, family: Families): void {
  for (const one of network) {
    const labels = { ...of, interface: one.name };
    for (const [metric, help, field] of PER_INTERFACE) family(metric, "counter", help).add(labels, one[field], atMs);
  }
}

const devices = new Map<string, string>();

/** "8:0" -> "/dev/sda"; "" for devices without a name. */
async function deviceName(device: string): Promise<string> {
  const known = devices.get(device);
  if (known !== undefined) return known;
  // A device that was taken away has no name.
  const text = await readFile(`/sys/dev/block/${device}/uevent`, "utf8").catch(() => "");
  const name = /^DEVNAME=(.+)$/m.exec(text)?.[1];
  const path = name === undefined ? "" : `/dev/${name}`;
  devices.set(device, path);
  return path;
}
