/** The status of a pod as the API shows it, computed from what the runtime says and what was reported before. Pure. */
import type { ContainerStatus, PodCondition, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { apiTime, type ContainerStatusInput, containerStatuses } from "./container-status.ts";
import { podConditions } from "./pod-conditions.ts";
import { isFinalPhase, type PodPhase, podPhase } from "./pod-phase.ts";
import { qosClass } from "./qos.ts";
import type { ResizeState } from "./resize.ts";

export interface PodStatusInput extends ContainerStatusInput {
  readonly now: number;
  /** The node's addresses, primary first. */
  readonly hostIps: readonly string[];
  /** Why the kubelet itself ends the pod: an eviction, a refused admission, a deadline. */
  readonly verdict?: Verdict | undefined;
  readonly resize?: ResizeState | undefined;
}

interface Verdict {
  readonly reason: string;
  readonly message: string;
  readonly condition?: { readonly type: string; readonly reason: string; readonly message: string } | undefined;
}

export function computePodStatus(input: PodStatusInput): PodStatus {
  const { pod, observed, previous } = input;
  const spec = pod.spec;
  const initStatuses = containerStatuses(input, spec?.initContainers ?? [], previous.initContainerStatuses, true);
  const statuses = containerStatuses(input, spec?.containers ?? [], previous.containerStatuses, false);
  const ephemerals = containerStatuses(
    input,
    spec?.ephemeralContainers ?? [],
    previous.ephemeralContainerStatuses,
    false,
  );
  const phase = phaseOf(input, initStatuses, statuses);
  const now = apiTime(input.now) ?? "";
  const conditions = podConditions({
    pod,
    phase,
    initStatuses,
    statuses,
    observed,
    previous: previous.conditions ?? [],
    now,
    resize: input.resize ?? {},
  });
  const ips = spec?.hostNetwork === true ? input.hostIps : observed.ips;
  const podIps = ips.length > 0 ? ips : (previous.podIPs ?? []).map((entry) => entry.ip);
  // Why the pod failed is told together with its being Failed, not while its containers are still stopping.
  const { reason, message } = isFinalPhase(phase) && input.verdict !== undefined ? input.verdict : previous;
  return {
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    phase,
    conditions: isFinalPhase(phase) ? [...conditions, ...verdictCondition(input, now)] : conditions,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(input.hostIps[0] === undefined
      ? {}
      : { hostIP: input.hostIps[0], hostIPs: input.hostIps.map((ip) => ({ ip })) }),
    ...(podIps[0] === undefined ? {} : { podIP: podIps[0], podIPs: podIps.map((ip) => ({ ip })) }),
    startTime: previous.startTime ?? now,
    ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: statuses,
    ...(ephemerals.length === 0 ? {} : { ephemeralContainerStatuses: ephemerals }),
    qosClass: previous.qosClass ?? qosClass(pod),
    ...podLevelResources(input),
  };
}

/** Of a pod with resources of its own: what it was allocated, which is what its cgroup has. */
function podLevelResources({ pod }: PodStatusInput): Partial<PodStatus> {
  const resources = pod.spec?.resources;
  if (resources === undefined) return {};
  return { ...(resources.requests === undefined ? {} : { allocatedResources: resources.requests }), resources };
}

/** Sent with the final phase, not while containers are still stopping. Source: KEP-3329 */
function verdictCondition({ pod, previous, verdict }: PodStatusInput, now: string): PodCondition[] {
  const wanted = verdict?.condition;
  if (wanted === undefined) return [];
  const before = previous.conditions?.find((c) => c.type === wanted.type && c.status === "True");
  const { generation } = pod.metadata;
  return [
    {
      ...wanted,
      status: "True",
      lastTransitionTime: before?.lastTransitionTime ?? now,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    },
  ];
}

function phaseOf(
  input: PodStatusInput,
  initStatuses: readonly ContainerStatus[],
  statuses: readonly ContainerStatus[],
): PodPhase {
  const { previous } = input;
  // A final phase is final: nothing that is seen later changes it.
  if (previous.phase === "Succeeded" || previous.phase === "Failed") return previous.phase;
  const phase =
    input.verdict === undefined ? podPhase(input.pod, initStatuses, statuses, input.podIsOver) : ("Failed" as const);
  // Nobody may take a pod for over while a container of it (a sidecar, say) still runs.
  const runs = input.observed.containers.some((c) => c.state === "running");
  return isFinalPhase(phase) && runs ? "Running" : phase;
}
