/** Asks the runtime about one pod. */
import type { Runtime } from "@knarr/cri/runtime.ts";
import { isRuntimeNotFound } from "@knarr/cri/runtime-error.ts";
import type { ContainerStatus, SandboxStatus } from "@knarr/cri/types.ts";
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
    Promise.all(containers.map((c) => present(runtime.containerStatus(c.id, options)))),
  ]);
  const statuses = new Map<string, ContainerStatus>();
  for (const status of containerStatuses) if (status !== undefined) statuses.set(status.id, status);
  const known = sandboxStatuses.filter((s): s is SandboxStatus => s !== undefined);
  return observePod(uid, known, containers, statuses);
}

async function present<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isRuntimeNotFound(error)) return undefined;
    throw error;
  }
}
