/**
 * Which pods make room for a critical one: as few and as small as do, best effort before burstable before guaranteed. Pure.
 * Source: pkg/kubelet/preemption/preemption.go
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { podRequests } from "@knarr/scheduling/pod-requests.ts";
import type { Shortage } from "./admission.ts";
import { mayPreempt } from "./critical-pod.ts";
import { qosClass } from "./qos.ts";

/** Missing amounts by resource. */
type Needs = ReadonlyMap<string, number>;

function requestOf(pod: Pod, resource: string): number {
  return resource === "pods" ? 1 : (podRequests(pod).get(resource) ?? 0);
}

function without(needs: Needs, pods: readonly Pod[]): Needs {
  const left = [...needs].map(([resource, amount]): [string, number] => [
    resource,
    pods.reduce((sum, pod) => sum - requestOf(pod, resource), amount),
  ]);
  return new Map(left.filter(([, amount]) => amount > 0));
}

/** How far the pod's going leaves us from what is needed; each resource counts alike. */
function distance(needs: Needs, pod: Pod): number {
  let sum = 0;
  for (const [resource, amount] of needs) {
    const left = amount - requestOf(pod, resource);
    if (left > 0) sum += (left / amount) ** 2;
  }
  return sum;
}

function isSmaller(a: Pod, b: Pod): boolean {
  for (const resource of ["memory", "cpu"]) {
    const difference = requestOf(a, resource) - requestOf(b, resource);
    if (difference !== 0) return difference < 0;
  }
  return true;
}

function describe(needs: Needs): string {
  return `[${[...needs].map(([resource, amount]) => `(res: ${resource}, q: ${amount}), `).join("")}]`;
}

function closest(pods: readonly Pod[], needs: Needs): Pod[] {
  const left = [...pods];
  const chosen: Pod[] = [];
  let rest = needs;
  while (rest.size > 0) {
    let best: { pod: Pod; distance: number } | undefined;
    for (const pod of left) {
      const far = distance(rest, pod);
      const closer = best === undefined || far < best.distance || (far === best.distance && isSmaller(pod, best.pod));
      if (closer) best = { pod, distance: far };
    }
    if (best === undefined) throw new Error(`no set of running pods found to reclaim resources: ${describe(rest)}`);
    chosen.push(best.pod);
    left.splice(left.indexOf(best.pod), 1);
    rest = without(rest, [best.pod]);
  }
  return chosen;
}

/** The pods to end so that `preemptor` fits. Throws an Error in upstream's words when no set of them is enough. */
export function planPreemption(preemptor: Pod, running: readonly Pod[], shortages: readonly Shortage[]): Pod[] {
  const needs: Needs = new Map(shortages.map((s) => [s.resource, s.requested - (s.capacity - s.used)]));
  const candidates = running.filter((pod) => mayPreempt(preemptor, pod));
  const of = (qos: string) => candidates.filter((pod) => qosClass(pod) === qos);
  const [bestEffort, burstable, guaranteed] = [of("BestEffort"), of("Burstable"), of("Guaranteed")];
  const missing = without(needs, candidates);
  if (missing.size > 0) {
    throw new Error(
      `preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: ${describe(missing)}`,
    );
  }
  const fromGuaranteed = closest(guaranteed, without(needs, [...bestEffort, ...burstable]));
  const fromBurstable = closest(burstable, without(needs, [...bestEffort, ...fromGuaranteed]));
  const fromBestEffort = closest(bestEffort, without(needs, [...fromBurstable, ...fromGuaranteed]));
  return [...fromBestEffort, ...fromBurstable, ...fromGuaranteed];
}
