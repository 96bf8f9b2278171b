/**
 * The API's status of each container, from what the runtime says, what the probes say, why the last start failed, and
 * what was reported before. Pure. Restart counts never fall and a last state once reported is kept.
 * Source: SEMANTICS of pod status are upstream's pkg/kubelet status, as kubectl shows them.
 */
import type {
  Container,
  ContainerState,
  ContainerStatus,
  Pod,
  PodStatus,
  ResourceRequirements,
} from "@knarr/api/generated/types/core-v1.ts";
import type { ObservedContainer, ObservedPod } from "./observed-pod.ts";
import type { ContainerKind } from "./pod-actions.ts";
import { isRecursivelyReadOnly } from "./read-only-mounts.ts";
import { isSidecar, restartsAfter } from "./restart-policy.ts";

export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

export interface ContainerStatusInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  /** The status reported last, "" fields and all. */
  readonly previous: PodStatus;
  /** "containerd" */
  readonly runtimeName: string;
  /** Why the last attempt to start a container of this name failed or is put off. */
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  /** Readiness by container id; undefined when there is no such probe. */
  readonly ready: (containerId: string) => boolean | undefined;
  /** Outcome of the startup probe by container id; undefined when there is none. */
  readonly started: (containerId: string) => boolean | undefined;
  /** Termination messages read from files, by container id. */
  readonly terminationMessages: ReadonlyMap<string, string>;
  /** Nothing will run any more: what was running and is not found has ended in an unknown way. */
  readonly podIsOver: boolean;
  /** Every container is being taken away, to start the pod again from its first init container. */
  readonly restartsAll?: boolean;
  /** Whether the runtime mounts read-only to every depth; undefined where it does not say. */
  readonly recursiveReadOnly?: boolean | undefined;
  /** The resources in force in a running container, by its id; undefined when it is not known to differ. */
  readonly actuated?: ((containerId: string) => ResourceRequirements | undefined) | undefined;
}

/** RFC 3339 with whole seconds, or undefined for a time that is not known. */
export function apiTime(ms: number): string | undefined {
  return ms <= 0 ? undefined : `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

export function containerStatuses(
  input: ContainerStatusInput,
  containers: readonly Container[],
  previous: readonly ContainerStatus[] | undefined,
  kind: ContainerKind,
): ContainerStatus[] {
  const statuses = containers.map((container) => {
    const before = previous?.find((s) => s.name === container.name);
    return containerStatus(input, container, before, kind);
  });
  return kind === "init" ? statuses : statuses.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function containerStatus(
  input: ContainerStatusInput,
  container: Container,
  before: ContainerStatus | undefined,
  kind: ContainerKind,
): ContainerStatus {
  const all = input.observed.containers.filter((c) => c.name === container.name);
  const latest = all[0];
  if (latest === undefined) return withoutContainer(input, container, before, kind);
  const { state, restartCount } = stateOf(input, latest, before);
  const lastEnded = all.slice(1).find((c) => c.state === "exited");
  const status: ContainerStatus = {
    name: container.name,
    image: latest.image === "" ? (container.image ?? "") : latest.image,
    imageID: latest.imageId,
    containerID: `${input.runtimeName}://${latest.id}`,
    restartCount: Math.max(restartCount, before?.restartCount ?? 0),
    state,
    lastState: lastEnded === undefined ? lastStateBefore(input, latest, before) : terminated(input, lastEnded),
    ready: false,
    started: false,
    ...resourcesOf(container, latest.state === "running" ? input.actuated?.(latest.id) : undefined),
    ...volumeMountsOf(input, container),
    ...userOf(latest),
    ...stopSignalOf(container, latest),
  };
  overrideWaiting(input, container, latest, status);
  return withReadiness(input, container, latest, status, { kind, before });
}

/** What was reported of a container that the runtime does not have any more, or of the one before it. */
function lastStateBefore(
  input: ContainerStatusInput,
  latest: ObservedContainer,
  before: ContainerStatus | undefined,
): ContainerState {
  const other = before?.containerID !== undefined && before.containerID !== `${input.runtimeName}://${latest.id}`;
  if (other && before.state?.terminated !== undefined) return before.state;
  return before?.lastState ?? {};
}

function stateOf(
  input: ContainerStatusInput,
  latest: ObservedContainer,
  before: ContainerStatus | undefined,
): { state: ContainerState; restartCount: number } {
  const { restartCount } = latest;
  switch (latest.state) {
    case "running":
      return { state: { running: { startedAt: apiTime(latest.startedAt) } }, restartCount };
    case "exited":
      return { state: terminated(input, latest), restartCount };
    case "created":
      return { state: { waiting: waitingOf(input, latest.name) }, restartCount };
    case "unknown":
      if (before?.state?.running !== undefined)
        return { state: lost("terminated", input.restartsAll), restartCount: restartCount + 1 };
      if (before?.state?.terminated !== undefined) return { state: before.state, restartCount };
      return { state: { waiting: waitingOf(input, latest.name) }, restartCount };
    default:
      return latest.state satisfies never;
  }
}

/** What the runtime's 0 is: a container that could not be started ended without having begun. */
const NEVER = "1970-01-01T00:00:00Z";

function terminated(input: ContainerStatusInput, container: ObservedContainer): ContainerState {
  const message = input.terminationMessages.get(container.id) ?? container.message;
  return {
    terminated: {
      exitCode: container.exitCode,
      reason: container.reason === "" ? (container.exitCode === 0 ? "Completed" : "Error") : container.reason,
      ...(message === "" ? {} : { message }),
      startedAt: apiTime(container.startedAt) ?? NEVER,
      finishedAt: apiTime(container.finishedAt) ?? NEVER,
      containerID: `${input.runtimeName}://${container.id}`,
    },
  };
}

const LOST = {
  terminated: "The container could not be located when the pod was terminated",
  deleted: "The container could not be located when the pod was deleted.  The container used to be Running",
} as const;

/** The state of a container that was running when last seen and that the runtime does not know any more. */
function lost(when: keyof typeof LOST, restartsAll = false): ContainerState {
  const reason = restartsAll ? RESTARTING_ALL.reason : "ContainerStatusUnknown";
  return { terminated: { exitCode: 137, reason, message: LOST[when] } };
}

/** Source: pkg/kubelet/kubelet_pods.go, KEP-5532 */
const RESTARTING_ALL = {
  reason: "RestartingAllContainers",
  message: "The container is removed because RestartAllContainers in place",
} as const;

function waitingOf(input: ContainerStatusInput, name: string): { reason: string; message?: string } {
  const why = input.waiting.get(name);
  if (why !== undefined) return { reason: why.reason, ...(why.message === "" ? {} : { message: why.message }) };
  const hasInit = (input.pod.spec?.initContainers?.length ?? 0) > 0;
  return { reason: hasInit ? "PodInitializing" : "ContainerCreating" };
}

function withoutContainer(
  input: ContainerStatusInput,
  container: Container,
  before: ContainerStatus | undefined,
  kind: ContainerKind,
): ContainerStatus {
  const base: ContainerStatus = {
    name: container.name,
    image: container.image ?? "",
    imageID: "",
    restartCount: before?.restartCount ?? 0,
    lastState: before?.lastState ?? {},
    ready: false,
    ...(kind === "ephemeral" ? {} : { started: false }),
    ...volumeMountsOf(input, container),
  };
  if (input.restartsAll === true && before?.state !== undefined && before.state.waiting === undefined) {
    return {
      ...base,
      restartCount: base.restartCount + 1,
      lastState: { terminated: { exitCode: 137, ...RESTARTING_ALL } },
      state: { waiting: { ...RESTARTING_ALL } },
    };
  }
  const kept = { image: before?.image ?? base.image, imageID: before?.imageID ?? "", containerID: before?.containerID };
  // What ended and was collected since keeps the state that was reported.
  if (before?.state?.terminated !== undefined) return { ...base, ...kept, state: before.state, ready: before.ready };
  if (before?.state?.running !== undefined) {
    if (input.podIsOver) return { ...base, ...kept, state: lost("terminated") };
    return {
      ...base,
      // A pod that is being deleted does not start it again.
      restartCount: before.restartCount + (input.pod.metadata.deletionTimestamp === undefined ? 1 : 0),
      lastState: lost("deleted"),
      state: { waiting: waitingOf(input, container.name) },
    };
  }
  if (kind === "init" && !isSidecar(container) && hasOwnContainer(input)) {
    return { ...base, state: { terminated: { exitCode: 0, ...INFERRED_END } }, ready: true };
  }
  return { ...base, state: { waiting: waitingOf(input, container.name) } };
}

/** An init container that nobody knows of any more must have ended well, or the pod's own would not have been made. */
const INFERRED_END = {
  reason: "Completed",
  message:
    "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally",
} as const;

function hasOwnContainer({ pod, observed }: ContainerStatusInput): boolean {
  const own = pod.spec?.containers ?? [];
  return observed.containers.some(({ name }) => own.some((c) => c.name === name));
}

/** A container that ended and is to run again waits, with the reason why its start failed or was put off. */
function overrideWaiting(
  input: ContainerStatusInput,
  container: Container,
  latest: ObservedContainer,
  status: ContainerStatus,
): void {
  const why = input.waiting.get(container.name);
  if (why === undefined || latest.state !== "exited" || input.podIsOver) return;
  const restarts = restartsAfter(input.pod, container, latest.exitCode) || latest.exitCode !== 0;
  if (!restarts) return;
  status.lastState = terminated(input, latest);
  status.state = { waiting: waitingOf(input, container.name) };
}

function withReadiness(
  input: ContainerStatusInput,
  container: Container,
  latest: ObservedContainer,
  status: ContainerStatus,
  { kind, before }: { readonly kind: ContainerKind; readonly before: ContainerStatus | undefined },
): ContainerStatus {
  // Nobody waits for a debugging container: it has no probes, and upstream never calls one ready.
  if (kind === "ephemeral") {
    const { started: _, ...rest } = status;
    return rest;
  }
  if (kind === "init" && !isSidecar(container)) {
    const done = status.state?.terminated?.exitCode === 0;
    return { ...status, ready: done, started: latest.state === "running" };
  }
  if (latest.state !== "running" || status.state?.running === undefined) return status;
  // A probe that has not been set up yet has not succeeded either, unless the container was seen to be well before.
  const known = before?.containerID === status.containerID ? before : undefined;
  const started = input.started(latest.id) ?? (container.startupProbe === undefined || known?.started === true);
  const ready = input.ready(latest.id) ?? (container.readinessProbe === undefined || known?.ready === true);
  return { ...status, started, ready: started && ready };
}

/** `container` carries what was allocated; `actuated` is what runs meanwhile. */
function resourcesOf(container: Container, actuated: ResourceRequirements | undefined): Partial<ContainerStatus> {
  const allocated = container.resources ?? {};
  const { requests, limits } = { ...allocated, ...actuated };
  return {
    ...(allocated.requests === undefined ? {} : { allocatedResources: allocated.requests }),
    resources: { ...(limits === undefined ? {} : { limits }), ...(requests === undefined ? {} : { requests }) },
  };
}

function volumeMountsOf(input: ContainerStatusInput, container: Container): Partial<ContainerStatus> {
  const mounts = container.volumeMounts ?? [];
  if (mounts.length === 0) return {};
  const supported = input.recursiveReadOnly === true;
  return {
    volumeMounts: mounts.map((m) => ({
      name: m.name,
      mountPath: m.mountPath,
      ...(m.readOnly === true
        ? { readOnly: true, recursiveReadOnly: isRecursivelyReadOnly(m, supported) ? "Enabled" : "Disabled" }
        : {}),
    })),
  };
}

/** The runtime's own word; where it has none, the kubelet sees to it that the one asked for is sent. */
function stopSignalOf(container: Container, latest: ObservedContainer): Partial<ContainerStatus> {
  const stopSignal = latest.stopSignal ?? container.lifecycle?.stopSignal;
  return stopSignal === undefined ? {} : { stopSignal };
}

function userOf(latest: ObservedContainer): Partial<ContainerStatus> {
  if (latest.user === undefined) return {};
  const { uid, gid, supplementalGroups } = latest.user;
  return { user: { linux: { uid, gid, supplementalGroups: [...supplementalGroups] } } };
}
