/** The conditions that the kubelet sets on a pod, in upstream's words. Pure. */
import type { ContainerStatus, Pod, PodCondition } from "@knarr/api/generated/types/core-v1.ts";
import type { ObservedPod } from "./observed-pod.ts";
import { isFinalPhase, type PodPhase } from "./pod-phase.ts";
import type { ResizeState } from "./resize.ts";
import { isSidecar, mayRestartAll, restartTrigger } from "./restart-policy.ts";

/** Conditions that a pod has only while they are true. */
export const RESIZE_CONDITIONS = ["PodResizePending", "PodResizeInProgress"] as const;

interface Verdict {
  readonly status: "True" | "False";
  readonly reason?: string;
  readonly message?: string;
}

export interface ConditionInput {
  readonly pod: Pod;
  readonly phase: PodPhase;
  readonly initStatuses: readonly ContainerStatus[];
  readonly statuses: readonly ContainerStatus[];
  readonly observed: ObservedPod;
  /** Conditions as they are now, ours and others'. */
  readonly previous: readonly PodCondition[];
  /** RFC 3339. */
  readonly now: string;
  readonly resize?: ResizeState | undefined;
}

const list = (names: readonly string[]): string => `[${names.join(" ")}]`;

/** A final phase decides some conditions by itself. */
function finalVerdict(phase: PodPhase): Verdict | undefined {
  if (phase === "Succeeded") return { status: "False", reason: "PodCompleted" };
  return phase === "Failed" ? { status: "False", reason: "PodFailed" } : undefined;
}

function incomplete(parts: readonly (readonly [string, readonly string[]])[]): string {
  return parts
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `${what}: ${list(names)}`)
    .join(", ");
}

function initialized(input: ConditionInput): Verdict {
  const unknown: string[] = [];
  const unfinished: string[] = [];
  for (const container of input.pod.spec?.initContainers ?? []) {
    const status = input.initStatuses.find((s) => s.name === container.name);
    if (status === undefined) unknown.push(container.name);
    else if (isSidecar(container) ? status.started !== true : !status.ready) unfinished.push(container.name);
  }
  if (input.phase === "Succeeded" && unknown.length === 0) return { status: "True", reason: "PodCompleted" };
  const started = input.statuses.some((s) => s.state?.running !== undefined || s.state?.terminated !== undefined);
  // Once containers of the pod ran, it was initialised, whatever became of its sidecars.
  if (started || (unknown.length === 0 && unfinished.length === 0)) return { status: "True" };
  return {
    status: "False",
    reason: "ContainersNotInitialized",
    message: incomplete([
      ["containers with unknown status", unknown],
      ["containers with incomplete status", unfinished],
    ]),
  };
}

function containersReady(input: ConditionInput): Verdict {
  const final = finalVerdict(input.phase);
  if (final !== undefined) return final;
  const sidecars = (input.pod.spec?.initContainers ?? []).filter(isSidecar);
  const unknown: string[] = [];
  const unready: string[] = [];
  const all = [...input.initStatuses, ...input.statuses];
  for (const container of [...sidecars, ...(input.pod.spec?.containers ?? [])]) {
    const status = all.find((s) => s.name === container.name);
    if (status === undefined) unknown.push(container.name);
    else if (!status.ready) unready.push(container.name);
  }
  if (unknown.length === 0 && unready.length === 0) return { status: "True" };
  return {
    status: "False",
    reason: "ContainersNotReady",
    message: incomplete([
      ["containers with unknown status", unknown],
      ["containers with unready status", unready],
    ]),
  };
}

/** Ready is ContainersReady and every readiness gate. Source: KEP-580 */
function ready(input: ConditionInput, containers: Verdict): Verdict {
  if (containers.status !== "True") return containers;
  const complaints: string[] = [];
  for (const { conditionType } of input.pod.spec?.readinessGates ?? []) {
    const condition = input.previous.find((c) => c.type === conditionType);
    if (condition === undefined) {
      complaints.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`);
    } else if (condition.status !== "True") {
      complaints.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`);
    }
  }
  if (complaints.length === 0) return { status: "True" };
  return { status: "False", reason: "ReadinessGatesNotReady", message: complaints.join(", ") };
}

function readyToStart(input: ConditionInput): Verdict {
  const sandbox = input.observed.sandboxes[0];
  const hostNetwork = input.pod.spec?.hostNetwork ?? false;
  const usable = sandbox?.state === "ready" && (hostNetwork || sandbox.ips.length > 0);
  return { status: usable ? "True" : "False" };
}

/** Only pods that have such a rule bear the condition. Source: KEP-5532, pkg/kubelet/status/generate.go */
function allRestarting(input: ConditionInput): Record<string, Verdict> {
  if (!mayRestartAll(input.pod)) return {};
  const final = finalVerdict(input.phase);
  if (final !== undefined) return { AllContainersRestarting: final };
  if (!isRestartingAll(input.pod, input.observed)) return { AllContainersRestarting: { status: "False" } };
  const message = "container exited with restart policy rule";
  return { AllContainersRestarting: { status: "True", reason: "RestartAllContainersStarted", message } };
}

/** Whether a container's end has all of them taken away, and they are not gone yet. */
export function isRestartingAll(pod: Pod, observed: ObservedPod): boolean {
  return restartTrigger(pod, observed, observed.sandboxes[0]?.id) !== undefined;
}

function resizeVerdicts({ resize, phase }: ConditionInput): Record<string, Verdict> {
  if (isFinalPhase(phase)) return {};
  const { pending, inProgress } = resize ?? {};
  const error = inProgress?.error;
  return {
    ...(pending === undefined
      ? {}
      : { PodResizePending: { status: "True", reason: pending.reason, message: pending.message } }),
    ...(inProgress === undefined
      ? {}
      : {
          PodResizeInProgress: { status: "True", ...(error === undefined ? {} : { reason: "Error", message: error }) },
        }),
  };
}

/** Only the kubelet's own conditions; those of others are left to whoever writes the status. */
export function podConditions(input: ConditionInput): PodCondition[] {
  const containers = containersReady(input);
  const verdicts: Record<string, Verdict> = {
    PodReadyToStartContainers: readyToStart(input),
    Initialized: initialized(input),
    Ready: ready(input, containers),
    ContainersReady: containers,
    PodScheduled: { status: "True" },
    ...allRestarting(input),
    ...resizeVerdicts(input),
  };
  return Object.entries(verdicts).map(([type, verdict]) => {
    const before = input.previous.find((c) => c.type === type);
    const observedGeneration = input.pod.metadata.generation;
    return {
      type,
      status: verdict.status,
      ...(verdict.reason === undefined ? {} : { reason: verdict.reason }),
      ...(verdict.message === undefined || verdict.message === "" ? {} : { message: verdict.message }),
      lastTransitionTime: before?.status === verdict.status ? (before.lastTransitionTime ?? input.now) : input.now,
      ...(observedGeneration === undefined ? {} : { observedGeneration }),
    };
  });
}

/** Whether a pod's phase and conditions let Services send it traffic. */
export function isReady(conditions: readonly PodCondition[] | undefined, phase: string | undefined): boolean {
  return !isFinalPhase(phase) && conditions?.find((c) => c.type === "Ready")?.status === "True";
}
