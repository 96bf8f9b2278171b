/** The one word that sums a pod up. Pure. Source: kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle#pod-phase */
import type { Container, ContainerStatus, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isSidecar, restartsAfter } from "./restart-policy.ts";

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed";

export function isFinalPhase(phase: string | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

type InitOutcome = "done" | "pending" | "failed";

function initOutcome(pod: Pod, container: Container, status: ContainerStatus | undefined): InitOutcome {
  if (status === undefined) return "pending";
  if (isSidecar(container))
    return status.started === true || status.state?.terminated !== undefined ? "done" : "pending";
  const ended = status.state?.terminated;
  if (ended === undefined) return "pending";
  if (ended.exitCode === 0) return "done";
  return restartsAfter(pod, container, ended.exitCode) ? "pending" : "failed";
}

/** `podIsOver`: nothing of the pod will run again, whatever its restart policy. */
export function podPhase(
  pod: Pod,
  initStatuses: readonly ContainerStatus[],
  statuses: readonly ContainerStatus[],
  podIsOver: boolean,
): PodPhase {
  const inits = (pod.spec?.initContainers ?? []).map((c) =>
    initOutcome(
      pod,
      c,
      initStatuses.find((s) => s.name === c.name),
    ),
  );
  if (inits.includes("failed")) return "Failed";
  const count = { running: 0, waiting: 0, stopped: 0, succeeded: 0 };
  for (const status of statuses) {
    if (status.state?.running !== undefined) count.running++;
    else if (status.state?.terminated !== undefined) {
      count.stopped++;
      if (status.state.terminated.exitCode === 0) count.succeeded++;
    } else if (status.lastState?.terminated !== undefined) count.stopped++;
    else count.waiting++;
  }
  const anyRan = count.running > 0 || count.stopped > 0;
  if (inits.includes("pending") && !anyRan) return podIsOver ? "Failed" : "Pending";
  if (count.waiting > 0) return podIsOver ? "Failed" : "Pending";
  if (count.running > 0) return "Running";
  const allSucceeded = count.stopped === count.succeeded;
  if (podIsOver) return allSucceeded ? "Succeeded" : "Failed";
  const comesBack = (pod.spec?.containers ?? []).some((c) => {
    const status = statuses.find((s) => s.name === c.name);
    const ended = status?.state?.terminated;
    return ended === undefined || restartsAfter(pod, c, ended.exitCode);
  });
  if (comesBack) return "Running";
  return allSucceeded ? "Succeeded" : "Failed";
}
