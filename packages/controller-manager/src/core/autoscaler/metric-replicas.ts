/**
 * How many replicas a metric asks for. Pure: (target, samples, pods, now) -> proposal.
 *
 * desired = ceil(usage / target x pods), but pods without a sample, or too young for one that means something, count so
 * that they only ever dampen: nothing when scaling up, everything when scaling down.
 * Source: kubernetes/pkg/controller/podautoscaler/replica_calculator.go
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { cpuMillis } from "@knarr/apimachinery/quantity.ts";
import { isPodReady, podCondition } from "../pod-state.ts";

/** One pod's usage, in thousandths. */
export interface Sample {
  readonly milli: number;
  readonly atMs: number;
  readonly windowMs: number;
}
export type Samples = ReadonlyMap<string, Sample>;

export interface Tolerances {
  readonly up: number;
  readonly down: number;
}

export interface PodsView {
  /** Of the scale target's selector. */
  readonly pods: readonly Pod[];
  readonly currentReplicas: number;
  readonly tolerances: Tolerances;
  readonly cpuInitializationMs: number;
  readonly initialReadinessMs: number;
  readonly nowMs: number;
}

export interface Proposal {
  readonly replicas: number;
  /** Per pod, in thousandths. */
  readonly averageMilli: number;
  /** Of the requests, in percent. */
  readonly utilization?: number;
}

/** What keeps a metric from being used; its message goes into conditions and events. */
export class MetricError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MetricError";
  }
}

const NO_PODS = "no pods returned by selector while calculating replica count";

export function isWithin(ratio: number, { up, down }: Tolerances): boolean {
  return 1 - down <= ratio && ratio <= 1 + up;
}

interface Groups {
  readonly readyCount: number;
  readonly unready: readonly Pod[];
  readonly missing: readonly Pod[];
  /** Without those of unready and ignored pods. */
  readonly usable: Map<string, number>;
}

/** Sorts the pods into those that count, those too young, those without a sample. Ended and going ones are left out. */
export function groupPods(view: PodsView, samples: Samples, resource: string): Groups {
  const unready: Pod[] = [];
  const missing: Pod[] = [];
  const usable = new Map([...samples].map(([name, { milli }]) => [name, milli]));
  let readyCount = 0;
  for (const pod of view.pods) {
    const { name = "" } = pod.metadata;
    const sample = samples.get(name);
    if (pod.metadata.deletionTimestamp !== undefined || pod.status?.phase === "Failed") usable.delete(name);
    else if (pod.status?.phase === "Pending") {
      unready.push(pod);
      usable.delete(name);
    } else if (sample === undefined) missing.push(pod);
    else if (resource === "cpu" && isTooYoung(view, pod, sample)) {
      unready.push(pod);
      usable.delete(name);
    } else readyCount++;
  }
  return { readyCount, unready, missing, usable };
}

/** Its CPU says more about starting than about the load. */
function isTooYoung(view: PodsView, pod: Pod, sample: Sample): boolean {
  const ready = podCondition(pod, "Ready");
  const startedMs = Date.parse(pod.status?.startTime ?? "");
  if (ready === undefined || Number.isNaN(startedMs)) return true;
  const changedMs = Date.parse(ready.lastTransitionTime ?? "");
  if (startedMs + view.cpuInitializationMs > view.nowMs) {
    return ready.status === "False" || sample.atMs < changedMs + sample.windowMs;
  }
  return ready.status === "False" && startedMs + view.initialReadinessMs > changedMs;
}

/** Target in percent of the pods' requests. */
export function utilizationReplicas(
  view: PodsView,
  of: { readonly samples: Samples; readonly resource: string; readonly container?: string; readonly target: number },
): Proposal {
  const { samples, resource, container, target } = of;
  if (view.pods.length === 0) throw new MetricError(NO_PODS);
  const groups = groupPods(view, samples, resource);
  if (groups.usable.size === 0) throw noMetrics();
  const requests = new Map(view.pods.map((pod) => [pod.metadata.name ?? "", requestOf(pod, resource, container)]));
  const { ratio, utilization, averageMilli } = utilizationRatio(groups.usable, requests, target);
  const replicas = dampened(view, groups, {
    ratio,
    // Pods that tell nothing use all they asked for (or the target, if that is more) when scaling down.
    fullMilli: (pod) => ((requests.get(pod.metadata.name ?? "") ?? 0) * Math.max(100, target)) / 100,
    ratioOf: (usage) => utilizationRatio(usage, requests, target).ratio,
  });
  return { replicas, averageMilli, utilization };
}

/** Target as an average per pod, in thousandths. `resource` is "" for pods' custom metrics. */
export function averageReplicas(
  view: PodsView,
  { samples, resource, targetMilli }: { samples: Samples; resource: string; targetMilli: number },
): Proposal {
  if (view.pods.length === 0) throw new MetricError(NO_PODS);
  const groups = groupPods(view, samples, resource);
  if (groups.usable.size === 0) throw noMetrics();
  const mean = (usage: ReadonlyMap<string, number>) => sum(usage.values()) / usage.size;
  const averageMilli = mean(groups.usable);
  const replicas = dampened(view, groups, {
    ratio: averageMilli / targetMilli,
    fullMilli: () => targetMilli,
    ratioOf: (usage) => mean(usage) / targetMilli,
  });
  return { replicas, averageMilli: Math.trunc(averageMilli) };
}

function dampened(
  { currentReplicas, tolerances }: PodsView,
  { readyCount, unready, missing, usable }: Groups,
  of: {
    ratio: number;
    fullMilli: (pod: Pod) => number;
    ratioOf: (usage: ReadonlyMap<string, number>) => number;
  },
): number {
  const { ratio } = of;
  const upWithUnready = unready.length > 0 && ratio > 1;
  if (!upWithUnready && missing.length === 0) {
    return isWithin(ratio, tolerances) ? currentReplicas : ceil(ratio * readyCount);
  }
  const usage = new Map(usable);
  if (ratio !== 1) for (const pod of missing) usage.set(pod.metadata.name ?? "", ratio < 1 ? of.fullMilli(pod) : 0);
  if (upWithUnready) for (const pod of unready) usage.set(pod.metadata.name ?? "", 0);
  const next = of.ratioOf(usage);
  // The dampening must not turn the direction round.
  if (isWithin(next, tolerances) || (ratio < 1 && next > 1) || (ratio > 1 && next < 1)) return currentReplicas;
  const replicas = ceil(next * usage.size);
  const wrongWay = (next < 1 && replicas > currentReplicas) || (next > 1 && replicas < currentReplicas);
  return wrongWay ? currentReplicas : replicas;
}

function utilizationRatio(
  usage: ReadonlyMap<string, number>,
  requests: ReadonlyMap<string, number>,
  target: number,
): { ratio: number; utilization: number; averageMilli: number } {
  let [used, requested, count] = [0, 0, 0];
  for (const [name, milli] of usage) {
    const request = requests.get(name);
    if (request === undefined) continue;
    used += milli;
    requested += request;
    count++;
  }
  if (requested === 0) throw new MetricError("no metrics returned matched known pods");
  const utilization = Math.trunc((used * 100) / requested);
  return { ratio: utilization / target, utilization, averageMilli: Math.trunc(used / count) };
}

function requestOf(pod: Pod, resource: string, container: string | undefined): number {
  const { containers = [], initContainers = [] } = pod.spec ?? {};
  // Sidecars run as long as the pod and use what they ask for.
  const running = [...containers, ...initContainers.filter(({ restartPolicy }) => restartPolicy === "Always")];
  let total = 0;
  for (const { name, resources } of running) {
    if (container !== undefined && container !== name) continue;
    const request = resources?.requests?.[resource];
    if (request === undefined) {
      throw new MetricError(`missing request for ${resource} in container ${name} of Pod ${pod.metadata.name}`);
    }
    total += milliOf(request);
  }
  return total;
}

/** A target for one value that belongs to all replicas together. */
export function ratioReplicas(view: PodsView, ratio: number): number {
  // From zero, the ratio is all there is to go by.
  if (view.currentReplicas === 0) return ceil(ratio);
  if (isWithin(ratio, view.tolerances)) return view.currentReplicas;
  if (view.pods.length === 0) throw new MetricError(NO_PODS);
  return ceil(ratio * view.pods.filter((pod) => pod.status?.phase === "Running" && isPodReady(pod)).length);
}

/** A target for one value shared out among the replicas that there are. */
export function perPodReplicas(
  view: PodsView,
  statusReplicas: number,
  of: { milli: number; targetMilli: number },
): number {
  const ratio = of.milli / (of.targetMilli * statusReplicas);
  return statusReplicas > 0 && isWithin(ratio, view.tolerances) ? statusReplicas : ceil(of.milli / of.targetMilli);
}

/** Without the noise of floating point: 3.0000000000000004 pods are 3. */
function ceil(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value - rounded) < 1e-9 ? rounded : Math.ceil(value);
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
const noMetrics = () => new MetricError("did not receive metrics for targeted pods (pods might be unready)");

/** Thousandths, rounded up, of any quantity. */
export const milliOf = cpuMillis;
