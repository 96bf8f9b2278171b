/** Asks the runtime about one pod. */
import type { Runtime } from "@knarr/cri/runtime.ts";
import { isRuntimeNotFound } from "@knarr/cri/runtime-error.ts";
import type { ContainerStatus, SandboxStatus } from "@knarr/cri/types.ts";
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import { Labels, type ObservedPod, observePod } from "../core/observed-pod.ts";

/** The pod as it is now; what vanishes between the questions is left out. */
export async function observe(runtime: Runtime, uid: string, signal?: AbortSignal): Promise<ObservedPod> {
  const options = { signal };
  const filter = { labelSelector: { [Labels.podUid]: uid } };
  const [sandboxes, containers] = await Promise.all([
    runtime.listSandboxes(filter, options),
    runtime.listContainers(filter, options),
  ]);
  const [sandboxStatuses, containerStatuses] = await Promise.all([
    Promise.all(sandboxes.map((s) => present(runtime.sandboxStatus(s.id, options)))),
    Promise.all(containers.map((c) => present(settledStatus(runtime, c.id, signal)))),
  ]);
  const statuses = new Map<string, ContainerStatus>();
  for (const status of containerStatuses) if (status !== undefined) statuses.set(status.id, status);
  const known = sandboxStatuses.filter((s): s is SandboxStatus => s !== undefined);
  return observePod(uid, known, containers, statuses);
}

/** How long a container that was killed just now is asked again for the reason. */
const REASON_WAIT_MS = 300;
const REASON_POLL_MS = 50;
const SIGKILLED = 137;

/**
 * containerd tells a container's end and that it ran out of memory by two events; when the second comes late, the status
 * says "Error" for a moment. Restarts and conditions are decided on what is read here, so it is worth that moment.
 */
export async function settledStatus(
  runtime: Pick<Runtime, "containerStatus">,
  id: string,
  signal?: AbortSignal,
  clock: Clock = systemClock,
): Promise<ContainerStatus> {
  let status = await runtime.containerStatus(id, { signal });
  const askedAt = clock.monotonicMs();
  // An end in the future tells of a clock that was set back, long or short ago.
  const endedAgoMs = clock.now() - status.finishedAt;
  if (endedAgoMs < 0 || endedAgoMs >= REASON_WAIT_MS) return status;
  while (
    status.exitCode === SIGKILLED &&
    status.reason === "Error" &&
    clock.monotonicMs() - askedAt < REASON_WAIT_MS - endedAgoMs
  ) {
    await clock.sleep(REASON_POLL_MS, signal);
    status = await runtime.containerStatus(id, { signal });
  }
  return status;
}

async function present<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isRuntimeNotFound(error)) return undefined;
    throw error;
  }
}
