/** The status of a pod as the API shows it, computed from what the runtime says and what was reported before. Pure. */
import type { ContainerStatus, PodCondition, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { apiTime, type ContainerStatusInput, containerStatuses } from "./container-status.ts";
import { isRestartingAll, podConditions } from "./pod-conditions.ts";
import { podLevelResources } from "./pod-level-resources.ts";
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
  const wasRestarting = previous.conditions?.some((c) => c.type === "AllContainersRestarting" && c.status === "True");
  const own = { ...input, restartsAll: wasRestarting === true || isRestartingAll(pod, observed) };
  const initStatuses = containerStatuses(own, spec?.initContainers ?? [], previous.initContainerStatuses, "init");
  const statuses = containerStatuses(own, spec?.containers ?? [], previous.containerStatuses, "container");
  const ephemerals = containerStatuses(
    input,
    spec?.ephemeralContainers ?? [],
    previous.ephemeralContainerStatuses,
    "ephemeral",
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
  const { reason, message } =
    isFinalPhase(phase) && input.verdict !== undefined ? input.verdict : kept(previous, phase);
  // Of a pod that was refused before anything of it was made, nothing is told but that: "OutOfcpu", say, would not show
  // beside containers that seem to be created.
  const refused = isFinalPhase(phase) && observed.containers.length === 0 && previous.containerStatuses === undefined;
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
    ...(initStatuses.length === 0 || refused ? {} : { initContainerStatuses: initStatuses }),
    ...(refused ? {} : { containerStatuses: statuses }),
    ...(ephemerals.length === 0 || refused ? {} : { ephemeralContainerStatuses: ephemerals }),
    qosClass: previous.qosClass ?? qosClass(pod),
    ...podLevelResources(pod),
  };
}

/** Reason and message belong to the phase that they were told with. */
function kept(previous: PodStatus, phase: PodPhase): Pick<PodStatus, "reason" | "message"> {
  return previous.phase === undefined || previous.phase === phase ? previous : {};
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
