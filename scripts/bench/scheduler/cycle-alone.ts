/** The scheduling cycle without an API: nodes and pods in memory, bindings that succeed at once. Runs in this process. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { defaultConfigFile } from "@knarr/scheduler/config/config-file.ts";
import { buildFramework } from "@knarr/scheduler/config/profile.ts";
import { SchedulerCache } from "@knarr/scheduler/core/cache.ts";
import { type CycleObserver, runCycle } from "@knarr/scheduler/core/cycle.ts";
import { type ListedKind, type Listers, listOf } from "@knarr/scheduler/core/listers.ts";
import { Nominations } from "@knarr/scheduler/core/nominations.ts";
import { podInfoOf } from "@knarr/scheduler/core/pod-info.ts";
import { benchNode, churnedNode, type Workload } from "./workloads.ts";

export interface CycleFigures {
  readonly workload: string;
  readonly nodes: number;
  readonly pods: number;
  readonly perSecond: number;
  /** Per second of processor time: what a machine with nothing else to do would reach. */
  readonly perCpuSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly unplaced: number;
  /** Plugin to microseconds per cycle, of the cycles in which plugins were timed. */
  readonly plugins: readonly { readonly name: string; readonly p50Us: number; readonly p99Us: number }[];
}

const KINDS: readonly ListedKind[] = [
  ...(["services", "replicationControllers", "replicaSets", "statefulSets", "namespaces"] as const),
  ...(["persistentVolumeClaims", "persistentVolumes", "storageClasses", "csiNodes", "csiDrivers"] as const),
  ...(["csiStorageCapacities", "volumeAttachments", "podDisruptionBudgets"] as const),
];

/** Plugins are timed in every so many cycles, as the scheduler does. */
const SAMPLE_EVERY = 10;

export function measureCycles(workload: Workload, nodes: number, pods: number): CycleFigures {
  const cache = new SchedulerCache();
  for (let i = 0; i < nodes; i++) cache.setNode(benchNode(i, workload.node));
  place(cache, workload, nodes);
  const nominations = new Nominations();
  const framework = makeFramework(nominations);
  const times: number[] = [];
  const byPlugin = new Map<string, number[]>();
  let unplaced = 0;
  let startIndex = 0;
  // Made before, as the informer does it in the scheduler; measured are the cycle and the assumption.
  const waiting = Array.from({ length: pods }, (_, i) => withUid(workload.pod(i)));
  for (const pod of waiting) podInfoOf(pod);
  const begin = performance.now();
  const cpu = process.cpuUsage();
  for (const [i, pod] of waiting.entries()) {
    if (workload.churn === true && i % 10 === 0) churn(cache, nodes, i / 10);
    const sums = i % SAMPLE_EVERY === 0 ? new Map<string, number>() : undefined;
    const started = performance.now();
    const result = runCycle(framework, podInfoOf(pod), cache.snapshot(), {
      random: Math.random,
      startIndex,
      percentageOfNodesToScore: 0,
      nominations,
      observer: sums && observer(sums),
    });
    const plan = result.kind === "unschedulable" ? result.postFilter?.plan : undefined;
    for (const victim of plan?.victims ?? []) cache.removePod(victim.pod);
    const nodeName = result.kind === "placed" ? result.nodeName : plan?.nodeName;
    if (nodeName === undefined) unplaced++;
    else cache.assume(pod, nodeName);
    if (result.kind === "placed") startIndex = (startIndex + result.evaluated) % nodes;
    times.push((performance.now() - started) * 1000);
    for (const [name, us] of sums ?? []) push(byPlugin, name, us);
  }
  const seconds = (performance.now() - begin) / 1000;
  const used = process.cpuUsage(cpu);
  return {
    workload: workload.name,
    nodes,
    pods,
    perSecond: pods / seconds,
    perCpuSecond: (pods * 1e6) / (used.user + used.system),
    p50Us: quantile(times, 0.5),
    p99Us: quantile(times, 0.99),
    unplaced,
    plugins: [...byPlugin]
      .map(([name, all]) => ({ name, p50Us: quantile(all, 0.5), p99Us: quantile(all, 0.99) }))
      .sort((a, b) => b.p50Us - a.p50Us),
  };
}

function makeFramework(nominations: Nominations) {
  const [profile] = defaultConfigFile().profiles;
  if (profile === undefined) throw new Error("the default configuration has no profile");
  return buildFramework(profile, {
    listers: Object.fromEntries(KINDS.map((kind) => [kind, listOf([])])) as unknown as Listers,
    writes: {
      bind: async () => undefined,
      updateVolume: async (volume) => volume,
      updateClaim: async (claim) => claim,
    },
    nominations,
    clock: systemClock,
    random: Math.random,
    isPreempting: () => false,
  });
}

function place(cache: SchedulerCache, { existing }: Workload, nodes: number): void {
  for (let i = 0; existing !== undefined; i++) {
    const pod = existing(i, nodes);
    if (pod === undefined) return;
    cache.assume(withUid(pod), `node-${i % nodes}`);
  }
}

function churn(cache: SchedulerCache, nodes: number, step: number): void {
  const { node, isGone } = churnedNode(nodes, step);
  if (isGone) cache.removeNode(node.metadata.name ?? "");
  else cache.setNode(node);
}

function observer(sums: Map<string, number>): CycleObserver {
  return {
    monotonicMs: () => performance.now(),
    extensionPoint: () => undefined,
    plugin: (name, _point, _code, seconds) => void sums.set(name, (sums.get(name) ?? 0) + seconds * 1e6),
  };
}

function withUid(pod: Pod): Pod {
  return { ...pod, metadata: { ...pod.metadata, uid: pod.metadata.name } };
}
function push(lists: Map<string, number[]>, name: string, value: number): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [value]);
  else list.push(value);
}
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1))] ?? 0;
}
