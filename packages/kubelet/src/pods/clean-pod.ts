/** Takes away what a pod leaves on the node. Every step is idempotent: a kubelet that dies in between goes on from there. */
import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { Config } from "../config.ts";
import type { ObservedContainer, ObservedPod } from "../core/observed-pod.ts";
import { removePodDirectory, removeVolumes } from "../volumes/remove-volumes.ts";
import type { PodContext } from "./pod-context.ts";
import { podLogDirectory } from "./pod-files.ts";

/** Volumes and cgroup of a pod that runs no more; its logs and ended containers stay to be looked at. */
export async function releasePod(context: PodContext, pod: Pod): Promise<void> {
  await removeVolumes(context.config.rootDir, pod.metadata.uid ?? "");
  await context.cgroups?.removePod(pod);
  await context.userNamespaces.release(pod.metadata.uid ?? "");
  await context.devices.release(pod.metadata.uid ?? "");
  await context.cpus.release(pod.metadata.uid ?? "");
}

/** Everything else: containers, sandboxes, folders, logs. */
export async function erasePod(context: PodContext, pod: Pod, observed: ObservedPod): Promise<void> {
  const { runtime, config } = context;
  for (const container of observed.containers) await runtime.removeContainer(container.id);
  for (const sandbox of observed.sandboxes) {
    await runtime.stopSandbox(sandbox.id);
    await runtime.removeSandbox(sandbox.id);
  }
  await context.cgroups?.removePod(pod);
  await removePodDirectory(config.rootDir, pod.metadata.uid ?? "");
  await rm(podLogDirectory(config, pod), { recursive: true, force: true });
}

/** Ended containers kept per name, for --previous and lastState. Source: upstream's MaxPerPodContainerCount */
const KEPT_DEAD = 1;

/** Removes ended containers, their logs and dead sandboxes beyond what is kept. */
export async function collectGarbage(runtime: Runtime, config: Config, pod: Pod, observed: ObservedPod): Promise<void> {
  const byName = Map.groupBy(observed.containers, (c) => c.name);
  for (const containers of byName.values()) {
    const dead = containers.filter((c) => c.state === "exited" || c.state === "unknown");
    // The newest of a name is its status, whether it runs or not.
    const extra = dead.filter((c) => c !== containers[0]).slice(KEPT_DEAD);
    for (const container of extra) await removeContainer(runtime, config, pod, container);
  }
  const inUse = new Set(observed.containers.map((c) => c.sandboxId));
  for (const sandbox of observed.sandboxes.slice(1)) {
    if (sandbox.state === "notReady" && !inUse.has(sandbox.id)) await runtime.removeSandbox(sandbox.id);
  }
}

async function removeContainer(
  runtime: Runtime,
  config: Config,
  pod: Pod,
  container: ObservedContainer,
): Promise<void> {
  await runtime.removeContainer(container.id);
  const logs = join(podLogDirectory(config, pod), container.name);
  const names = await readdir(logs).catch(() => [] as string[]);
  for (const name of names) {
    if (name === `${container.restartCount}.log` || name.startsWith(`${container.restartCount}.log.`)) {
      await rm(join(logs, name), { force: true });
    }
  }
  const message = container.mounts.find((m) => dirname(m.hostPath).endsWith(`/containers/${container.name}`));
  if (message !== undefined) await rm(message.hostPath, { force: true });
}
