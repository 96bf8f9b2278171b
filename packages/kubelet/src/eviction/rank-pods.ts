/**
 * In which order pods are evicted: who uses more than was asked for goes first, then the lower priority, then who uses most
 * beyond its request. Pure.
 * Source: kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction#pod-selection-for-kubelet-eviction
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { podRequests } from "@knarr/scheduling/pod-requests.ts";
import { type DiskPart, diskUse, type PodUsage } from "./pod-usage.ts";
import type { ScarceResource } from "./signals.ts";

export type UsageOf = (pod: Pod) => PodUsage | undefined;

type Compare = (a: Pod, b: Pod) => number;

const priorityOf = (pod: Pod) => pod.spec?.priority ?? 0;
const byPriority: Compare = (a, b) => priorityOf(a) - priorityOf(b);

interface Weighing {
  /** undefined: nothing is known of the pod's usage. */
  readonly used: (pod: Pod) => number | undefined;
  readonly requested: (pod: Pod) => number;
}

/** Pods of which nothing is known go first: they can't show that they keep to what they asked for. */
function byExcess({ used, requested }: Weighing): Compare {
  const rank = (pod: Pod) => {
    const amount = used(pod);
    return amount === undefined ? 0 : amount > requested(pod) ? 1 : 2;
  };
  return (a, b) => rank(a) - rank(b);
}

function byAmount({ used, requested }: Weighing): Compare {
  const beyond = (pod: Pod) => {
    const amount = used(pod);
    return amount === undefined ? Number.POSITIVE_INFINITY : amount - requested(pod);
  };
  return (a, b) => {
    const [x, y] = [beyond(a), beyond(b)];
    return x === y ? 0 : y > x ? 1 : -1;
  };
}

function ordered(pods: readonly Pod[], compares: readonly Compare[]): Pod[] {
  return pods.toSorted((a, b) => {
    for (const compare of compares) {
      const order = compare(a, b);
      if (order !== 0) return order;
    }
    return 0;
  });
}

/** The candidates, the first to go first. `parts`: what of a pod lies on the filesystem that is short. */
export function rankPods(
  pods: readonly Pod[],
  resource: ScarceResource,
  usageOf: UsageOf,
  parts: readonly DiskPart[],
): Pod[] {
  switch (resource) {
    case "memory": {
      const weighing: Weighing = {
        used: (pod) => usageOf(pod)?.memoryBytes,
        requested: (pod) => podRequests(pod).get("memory") ?? 0,
      };
      return ordered(pods, [byExcess(weighing), byPriority, byAmount(weighing)]);
    }
    case "pids":
      return ordered(pods, [byPriority, byAmount({ used: (pod) => usageOf(pod)?.processes, requested: () => 0 })]);
    case "ephemeral-storage":
    case "inodes": {
      const used = (pod: Pod) => {
        const usage = usageOf(pod);
        if (usage === undefined) return undefined;
        const use = diskUse(pod, usage, parts);
        return resource === "inodes" ? use.inodes : use.bytes;
      };
      const requested = (pod: Pod) => (resource === "inodes" ? 0 : (podRequests(pod).get("ephemeral-storage") ?? 0));
      const weighing: Weighing = { used, requested };
      return ordered(pods, [byExcess(weighing), byPriority, byAmount(weighing)]);
    }
    default:
      return resource satisfies never;
  }
}
