/** Carries resizes out: the pod's cgroup first as wide as needed, then the containers, then the pod's cgroup as allocated. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import { latestOf, type ObservedPod } from "../core/observed-pod.ts";
import type { ResizeAction } from "../core/pod-actions.ts";
import { containerLimits, podCgroupLimits } from "../core/qos.ts";
import { duringResize } from "../core/resize.ts";
import { containerResources } from "../core/runtime-config.ts";
import type { PodContext } from "./pod-context.ts";
import type { PodResources } from "./pod-resources.ts";

export interface ResizeInput {
  /** With the resources that it was allocated. */
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly actions: readonly ResizeAction[];
  /** A container is going to be restarted with other limits: the pod's cgroup stays wide until then. */
  readonly restarts: boolean;
  readonly resources: PodResources;
  readonly signal: AbortSignal;
}

export interface ResizeResult {
  readonly changed: boolean;
  /** Why a container could not be given its resources. */
  readonly error?: string;
}

export async function applyResize(context: PodContext, input: ResizeInput): Promise<ResizeResult> {
  const { pod, observed, actions, resources } = input;
  const limits = JSON.stringify(podCgroupLimits(pod));
  const podIsDone = resources.cgroupLimits === limits;
  if (actions.length === 0 && !input.restarts && podIsDone) return { changed: false };
  // What was set before this kubelet started is set again, once.
  const first = resources.cgroupLimits === "" && actions.length === 0 && !input.restarts;
  if (!first) {
    const actuated = (name: string) => resources.actuated(latestOf(observed, name)?.id ?? "");
    await context.cgroups?.ensurePod(duringResize(pod, actuated));
  }
  for (const action of actions) {
    const error = await updateOne(context, input, action);
    if (error !== undefined) return { changed: false, error };
  }
  if (!input.restarts) {
    await context.cgroups?.ensurePod(pod);
    resources.cgroupLimits = limits;
  }
  return { changed: actions.length > 0 };
}

async function updateOne(context: PodContext, input: ResizeInput, action: ResizeAction): Promise<string | undefined> {
  const { pod, observed, resources, signal } = input;
  const container = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].find(
    (c) => c.name === action.name,
  );
  if (container === undefined) return undefined;
  const { memoryLimitBytes } = containerLimits(container);
  const before = containerLimits({ ...container, resources: resources.actuated(action.id) }).memoryLimitBytes;
  if (memoryLimitBytes > 0 && (before === 0 || memoryLimitBytes < before)) {
    const used = await memoryUse(context, action.id, signal);
    // Source: KEP-1287: a limit below what is in use would only have the container killed.
    if (used !== undefined && used > memoryLimitBytes) {
      return `attempting to set container ${JSON.stringify(action.name)} memory limit (${memoryLimitBytes}) below current usage (${used})`;
    }
  }
  const version = context.cgroups?.version ?? 1;
  const linux = containerResources({
    pod,
    container,
    nodeMemoryBytes: context.node().memoryBytes,
    swap: context.node().swap,
    cgroupVersion: version,
  });
  // A score, once given, is not changed: the runtime only takes limits here.
  const { oomScoreAdj: _, ...update } = linux;
  try {
    await context.runtime.updateContainerResources(action.id, update, { signal });
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    return error.detail;
  }
  await resources.actuate(
    action.id,
    action.resources,
    observed.containers.map((c) => c.id),
  );
  return undefined;
}

async function memoryUse(context: PodContext, id: string, signal: AbortSignal): Promise<number | undefined> {
  const stats = await context.runtime.listContainerStats({ signal });
  const found = stats.find((s) => s.id === id);
  return found?.memoryWorkingSetBytes ?? found?.memoryUsageBytes;
}
