/**
 * GET /metrics/resource: the little that autoscalers and metrics-server need, each sample with its own time.
 * Source: k8s.io/kubernetes/pkg/kubelet/metrics/collectors/resource_metrics.go
 */
import { readSwap } from "./group-usage.ts";
import { measure, podCpuNanoSeconds, podWorkingSetBytes } from "./measure.ts";
import { MetricFamily, renderFamilies } from "./prometheus-text.ts";
import type { Serving } from "./serving.ts";

function families() {
  const stable = (name: string, type: "counter" | "gauge", help: string) =>
    new MetricFamily(name, type, `[STABLE] ${help}`);
  const alpha = (name: string, help: string) => new MetricFamily(name, "gauge", `[ALPHA] ${help}`);
  const cpu = (of: string) => `Cumulative cpu time consumed by the ${of} in core-seconds`;
  const memory = (of: string) => `Current working set of the ${of} in bytes`;
  const amountOfSwap = (of: string) =>
    `Current amount of the ${of} swap usage in bytes. Reported only on non-windows systems`;
  return {
    containerCpu: stable("container_cpu_usage_seconds_total", "counter", cpu("container")),
    containerMemory: stable("container_memory_working_set_bytes", "gauge", memory("container")),
    containerSwap: alpha("container_swap_usage_bytes", amountOfSwap("container")),
    containerStart: stable(
      "container_start_time_seconds",
      "gauge",
      "Start time of the container since unix epoch in seconds",
    ),
    nodeCpu: stable("node_cpu_usage_seconds_total", "counter", cpu("node")),
    nodeMemory: stable("node_memory_working_set_bytes", "gauge", memory("node")),
    nodeSwap: alpha(
      "node_swap_usage_bytes",
      "Current swap usage of the node in bytes. Reported only on non-windows systems",
    ),
    podCpu: stable("pod_cpu_usage_seconds_total", "counter", cpu("pod")),
    podMemory: stable("pod_memory_working_set_bytes", "gauge", memory("pod")),
    podSwap: alpha("pod_swap_usage_bytes", amountOfSwap("pod")),
    scrapeError: stable(
      "resource_scrape_error",
      "gauge",
      "1 if there was an error while getting container metrics, 0 otherwise",
    ),
  };
}

export async function resourceMetrics(serving: Serving): Promise<string> {
  const all = families();
  try {
    await collect(serving, all);
    all.scrapeError.add({}, 0);
  } catch (error) {
    // The scrape itself succeeds and says that there are no figures.
    serving.context.log.warn({ err: error }, "resource metrics could not be measured");
    all.scrapeError.add({}, 1);
  }
  return renderFamilies(Object.values(all));
}

async function collect(serving: Serving, all: ReturnType<typeof families>): Promise<void> {
  const { atMs, node, pods } = await measure(serving);
  const version = serving.context.cgroups?.version;
  all.nodeCpu.add({}, node.cpuNanoSeconds / 1e9, atMs);
  all.nodeMemory.add({}, node.memoryWorkingSetBytes, atMs);
  all.nodeSwap.add({}, node.swapUsageBytes, atMs);
  for (const pod of pods) {
    const labels = { namespace: pod.namespace, pod: pod.name };
    for (const { stats, container, groupPath } of pod.containers) {
      const of = { ...labels, container: stats.name };
      const cpu = stats.cpuUsageNanoSeconds;
      all.containerStart.add(of, container === undefined ? undefined : container.createdAt / 1000);
      all.containerCpu.add(of, cpu === undefined ? undefined : cpu / 1e9, stats.timestamp);
      all.containerMemory.add(of, stats.memoryWorkingSetBytes, stats.timestamp);
      const swap = version === undefined || groupPath === undefined ? undefined : await readSwap(version, groupPath);
      all.containerSwap.add(of, swap, stats.timestamp);
    }
    all.podCpu.add(labels, podCpuNanoSeconds(pod) / 1e9, atMs);
    all.podMemory.add(labels, podWorkingSetBytes(pod), atMs);
    all.podSwap.add(labels, pod.group?.swapBytes, atMs);
  }
}
