/**
 * What the runtime says of one pod, as plain data: the input of every decision. Built anew from the runtime before each
 * sync, never kept and edited. Pure.
 */
import type {
  ContainerState,
  ContainerStatus,
  LinuxContainerResources,
  Mount,
  RuntimeContainer,
  SandboxStatus,
} from "@knarr/cri/types.ts";

/** Upstream's own names, so that upstream's kubelet and this one adopt each other's containers. */
export const Labels = {
  podName: "io.kubernetes.pod.name",
  podNamespace: "io.kubernetes.pod.namespace",
  podUid: "io.kubernetes.pod.uid",
  containerName: "io.kubernetes.container.name",
} as const;

export const Annotations = {
  hash: "io.kubernetes.container.hash",
  restartCount: "io.kubernetes.container.restartCount",
  terminationMessagePath: "io.kubernetes.container.terminationMessagePath",
  terminationMessagePolicy: "io.kubernetes.container.terminationMessagePolicy",
  podTerminationGracePeriod: "io.kubernetes.pod.terminationGracePeriod",
  preStopHandler: "io.kubernetes.container.preStopHandler",
  ports: "io.kubernetes.container.ports",
} as const;

export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly state: ContainerState;
  /** Epoch milliseconds; 0 when it has not happened. */
  readonly createdAt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly image: string;
  readonly imageId: string;
  readonly hash: string;
  readonly restartCount: number;
  readonly resources: LinuxContainerResources | undefined;
  readonly user: ContainerStatus["user"];
  /** undefined where the runtime does not tell. */
  readonly stopSignal: string | undefined;
  readonly mounts: readonly Mount[];
  readonly logPath: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ObservedPod {
  readonly uid: string;
  /** Newest first. */
  readonly sandboxes: readonly SandboxStatus[];
  /** Every container of every sandbox, newest first. */
  readonly containers: readonly ObservedContainer[];
  /** Addresses of the newest ready sandbox; empty for pods on the host's network. */
  readonly ips: readonly string[];
}

export const emptyObservedPod = (uid: string): ObservedPod => ({ uid, sandboxes: [], containers: [], ips: [] });

/** Joins the answers of the runtime about one pod. `listed` tells which sandbox each status belongs to. */
export function observePod(
  uid: string,
  sandboxes: readonly SandboxStatus[],
  listed: readonly RuntimeContainer[],
  statuses: ReadonlyMap<string, ContainerStatus>,
): ObservedPod {
  const newestFirst = sandboxes.toSorted((a, b) => b.createdAt - a.createdAt);
  const containers = listed.flatMap((item) => {
    const status = statuses.get(item.id);
    return status === undefined ? [] : [observeContainer(item, status)];
  });
  return {
    uid,
    sandboxes: newestFirst,
    containers: containers.toSorted((a, b) => b.createdAt - a.createdAt || b.restartCount - a.restartCount),
    ips: newestFirst.find((s) => s.state === "ready")?.ips ?? [],
  };
}

function observeContainer(item: RuntimeContainer, status: ContainerStatus): ObservedContainer {
  return {
    id: status.id,
    name: item.labels[Labels.containerName] ?? status.name,
    sandboxId: item.podSandboxId,
    state: status.state,
    createdAt: status.createdAt,
    startedAt: status.startedAt,
    finishedAt: status.finishedAt,
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    image: status.image,
    // Source: upstream's imageID is the reference that the runtime resolved, the id of the image where there is none.
    imageId: status.imageRef === "" ? status.imageId : status.imageRef,
    hash: status.annotations[Annotations.hash] ?? "",
    restartCount: Number(status.annotations[Annotations.restartCount] ?? status.attempt),
    resources: status.resources,
    user: status.user,
    stopSignal: status.stopSignal,
    mounts: status.mounts,
    logPath: status.logPath,
    annotations: status.annotations,
  };
}

/** The newest container of a name. */
export function latestOf(observed: ObservedPod, name: string): ObservedContainer | undefined {
  return observed.containers.find((c) => c.name === name);
}

/**
 * How a container of a name last ended; undefined when none did. Back-off counts from it: one that is being replaced
 * while it still runs (its liveness probe failed) waits for as long as one that crashes.
 */
export function latestExitOf(observed: ObservedPod, name: string): ObservedContainer | undefined {
  return observed.containers.find((c) => c.name === name && c.state === "exited" && c.finishedAt !== 0);
}
