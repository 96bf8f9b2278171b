/**
 * NodeResourcesFit: a pod fits where its requests are free. Scores by LeastAllocated (emptier is better), MostAllocated or
 * RequestedToCapacityRatio, as the arguments say.
 * Source: plugins/noderesources/fit.go, least_allocated.go, most_allocated.go, requested_to_capacity_ratio.go
 */
import { amountsOf } from "@knarr/scheduling/resource-list.ts";
import { Code, MAX_NODE_SCORE, type Plugin, type PluginStatus } from "../core/framework.ts";
import type { NodeInfo } from "../core/node-info.ts";
import { type PodInfo, podInfoOf } from "../core/pod-info.ts";
import { type ResourceWeight, requestedOf } from "./node-resources.ts";
import type { PluginFactory } from "./plugin-handle.ts";

const name = "NodeResourcesFit";

export interface FitArgs {
  readonly ignoredResources?: readonly string[];
  readonly ignoredResourceGroups?: readonly string[];
  readonly scoringStrategy: {
    readonly type: "LeastAllocated" | "MostAllocated" | "RequestedToCapacityRatio";
    readonly resources: readonly ResourceWeight[];
    readonly requestedToCapacityRatio?: { readonly shape: readonly ShapePoint[] };
  };
}
interface ShapePoint {
  readonly utilization: number;
  readonly score: number;
}

interface Insufficient {
  readonly resource: string;
  /** Even the empty node would be too small. */
  readonly unresolvable: boolean;
}

/** Everything that `node` lacks for `pod`: pods first, then CPU, memory, ephemeral storage, and the rest as requested. */
export function insufficientResources(
  pod: PodInfo,
  node: NodeInfo,
  isIgnored: (resource: string) => boolean = () => false,
): Insufficient[] {
  const lacks: Insufficient[] = [];
  if (node.pods.size + 1 > node.allowedPods) lacks.push({ resource: "pods", unresolvable: false });
  const { requests } = pod;
  const { allocatable, requested } = node;
  const check = (resource: string, wanted: number, total: number, used: number) => {
    if (wanted > 0 && wanted > total - used) lacks.push({ resource, unresolvable: wanted > total });
  };
  check("cpu", requests.cpuMillis, allocatable.cpuMillis, requested.cpuMillis);
  check("memory", requests.memoryBytes, allocatable.memoryBytes, requested.memoryBytes);
  check("ephemeral-storage", requests.ephemeralBytes, allocatable.ephemeralBytes, requested.ephemeralBytes);
  for (const [resource, wanted] of requests.scalars) {
    if (wanted === 0 || isIgnored(resource)) continue;
    check(resource, wanted, allocatable.scalars.get(resource) ?? 0, requested.scalars.get(resource) ?? 0);
  }
  return lacks;
}

/** insufficientResources() in the frequent case, without making anything. */
function fits(pod: PodInfo, node: NodeInfo): boolean {
  const { requests } = pod;
  const { allocatable, requested } = node;
  if (requests.scalars.size > 0 || node.pods.size >= node.allowedPods) return false;
  return (
    (requests.cpuMillis === 0 || requests.cpuMillis <= allocatable.cpuMillis - requested.cpuMillis) &&
    (requests.memoryBytes === 0 || requests.memoryBytes <= allocatable.memoryBytes - requested.memoryBytes) &&
    (requests.ephemeralBytes === 0 || requests.ephemeralBytes <= allocatable.ephemeralBytes - requested.ephemeralBytes)
  );
}

/** The same few refusals are given for thousands of nodes: one object each. */
const refusals = new Map<string, PluginStatus>();

function refusalOf(lacks: readonly Insufficient[]): PluginStatus {
  const code = lacks.some(({ unresolvable }) => unresolvable) ? Code.UnschedulableAndUnresolvable : Code.Unschedulable;
  const key = `${code} ${lacks.map(({ resource }) => resource).join(" ")}`;
  let status = refusals.get(key);
  if (status === undefined) {
    const reasons = lacks.map(({ resource }) => (resource === "pods" ? "Too many pods" : `Insufficient ${resource}`));
    status = { code, reasons, plugin: name };
    if (refusals.size > 1000) refusals.clear();
    refusals.set(key, status);
  }
  return status;
}

export const nodeResourcesFit: PluginFactory = (given): Plugin => {
  const args = given as unknown as FitArgs;
  const ignored = new Set(args.ignoredResources ?? []);
  const groups = new Set(args.ignoredResourceGroups ?? []);
  const isIgnored = (resource: string) => {
    if (!resource.includes("/")) return false;
    return ignored.has(resource) || groups.has(resource.slice(0, resource.indexOf("/")));
  };
  const { type, resources, requestedToCapacityRatio } = args.scoringStrategy;
  const scorer = scorers[type](requestedToCapacityRatio?.shape ?? []);
  return {
    name,
    events: ["Node/Add", "Node/Update", "AssignedPod/Update", "AssignedPod/Delete", "TargetPod/Update"],
    filter(_state, pod, node) {
      if (fits(pod, node)) return undefined;
      const lacks = insufficientResources(pod, node, isIgnored);
      return lacks.length === 0 ? undefined : refusalOf(lacks);
    },
    score(_state, pod, node) {
      let sum = 0;
      let weights = 0;
      for (const { name: resource, weight } of resources) {
        const capacity = node.allocatable.of(resource);
        const used = requestedOf(pod, node, resource, "nonZero");
        if (capacity === 0 || used === undefined) continue;
        const score = scorer(used, capacity);
        if (score === undefined) continue;
        sum += score * weight;
        weights += weight;
      }
      if (weights === 0) return 0;
      return type === "RequestedToCapacityRatio" ? Math.round(sum / weights) : Math.floor(sum / weights);
    },
    worthRetry(pod, event) {
      if (event.resource === "TargetPod") return true;
      if (event.resource === "AssignedPod") {
        if (event.action === "Update") return shrank(pod, podInfoOf(event.old), podInfoOf(event.pod));
        return event.action === "Delete";
      }
      if (event.resource !== "Node" || event.action === "Delete") return false;
      const allocatable = amountsOf(event.node.status?.allocatable);
      const before = event.action === "Add" ? undefined : amountsOf(event.old.status?.allocatable);
      let grew = before === undefined || (allocatable.get("pods") ?? 0) > (before.get("pods") ?? 0);
      for (const [resource, amount] of wanted(pod)) {
        const now = allocatable.get(resource) ?? 0;
        if (amount > now) return false;
        grew ||= now > (before?.get(resource) ?? 0);
      }
      return grew;
    },
  };
};

function* wanted({ requests }: PodInfo): Iterable<readonly [string, number]> {
  yield ["cpu", requests.cpuMillis];
  yield ["memory", requests.memoryBytes];
  yield ["ephemeral-storage", requests.ephemeralBytes];
  yield* requests.scalars;
}

/** Whether the pod shrank in anything that `pod` wants. */
function shrank(pod: PodInfo, old: PodInfo, now: PodInfo): boolean {
  const after = new Map(wanted(now));
  const before = new Map(wanted(old));
  for (const [resource, amount] of wanted(pod)) {
    if (amount > 0 && (after.get(resource) ?? 0) < (before.get(resource) ?? 0)) return true;
  }
  return false;
}

type Scorer = (requested: number, capacity: number) => number | undefined;
const scorers: Readonly<Record<FitArgs["scoringStrategy"]["type"], (shape: readonly ShapePoint[]) => Scorer>> = {
  LeastAllocated: () => (requested, capacity) =>
    requested > capacity ? 0 : Math.floor(((capacity - requested) * MAX_NODE_SCORE) / capacity),
  MostAllocated: () => (requested, capacity) => Math.floor((Math.min(requested, capacity) * MAX_NODE_SCORE) / capacity),
  RequestedToCapacityRatio: (shape) => (requested, capacity) => {
    const utilization = requested > capacity ? 100 : Math.floor((requested * 100) / capacity);
    const score = alongShape(shape, utilization);
    return score > 0 ? score : undefined;
  },
};

/** Linear between the points, which score 0..10; flat outside of them. */
function alongShape(shape: readonly ShapePoint[], utilization: number): number {
  const scale = MAX_NODE_SCORE / 10;
  for (let i = 0; i < shape.length; i++) {
    const point = shape[i] as ShapePoint;
    if (utilization > point.utilization) continue;
    const before = shape[i - 1];
    if (before === undefined) return point.score * scale;
    const rise = (point.score - before.score) * scale;
    const share = (rise * (utilization - before.utilization)) / (point.utilization - before.utilization);
    return before.score * scale + Math.trunc(share);
  }
  return (shape.at(-1)?.score ?? 0) * scale;
}
