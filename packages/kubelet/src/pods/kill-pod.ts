/** Ends containers: preStop hook, stop signal, kill; within the grace, in the order that sidecars ask for. */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ObservedContainer, ObservedPod } from "../core/observed-pod.ts";
import { isSidecar } from "../core/restart-policy.ts";
import { runHook } from "./lifecycle-hook.ts";
import type { PodContext } from "./pod-context.ts";
import { kindOf } from "./pod-events.ts";

/** A container gets this long even when its preStop hook used up the grace. Source: upstream's minimum. */
const MIN_STOP_SECONDS = 2;

export interface KillOptions {
  readonly graceSeconds: number;
  readonly message?: string;
  readonly signal: AbortSignal;
}

function specOf(pod: Pod, name: string): Container | undefined {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? { containers: [] };
  return [...initContainers, ...containers, ...(ephemeralContainers as Container[])].find((c) => c.name === name);
}

/** Ends one container; resolves when the runtime says that it is stopped. */
export async function killContainer(
  context: PodContext,
  pod: Pod,
  target: ObservedContainer,
  podIps: readonly string[],
  options: KillOptions,
): Promise<void> {
  const { clock, events, runtime } = context;
  const event = events.container(pod, kindOf(pod, target.name), target.name);
  event("Normal", "Killing", options.message ?? `Stopping container ${target.name}`);
  const spec = specOf(pod, target.name);
  const preStop = spec?.lifecycle?.preStop;
  let graceSeconds = options.graceSeconds;
  if (preStop !== undefined && spec !== undefined && graceSeconds > 0 && target.state === "running") {
    const started = clock.monotonicMs();
    try {
      await runHook(
        preStop,
        { containerId: target.id, container: spec, podIp: podIps[0] ?? "" },
        { runtime, clock, timeoutMs: graceSeconds * 1000, signal: options.signal },
      );
    } catch (error) {
      if (options.signal.aborted) throw error;
      // A hook that fails does not keep the container alive.
      context.log.warn({ err: error, pod: pod.metadata.name, container: target.name }, "preStop hook failed");
      event("Warning", "FailedPreStopHook", "PreStopHook failed");
    }
    graceSeconds -= Math.floor((clock.monotonicMs() - started) / 1000);
  }
  const seconds = options.graceSeconds <= 1 ? options.graceSeconds : Math.max(MIN_STOP_SECONDS, graceSeconds);
  await runtime.stopContainer(target.id, seconds, { signal: options.signal });
}

/** Ends every container that may run, then the sandboxes. Sidecars end after the containers, last declared first. */
export async function killPod(
  context: PodContext,
  pod: Pod,
  observed: ObservedPod,
  options: KillOptions,
): Promise<void> {
  const started = context.clock.monotonicMs();
  const remaining = () =>
    Math.max(1, options.graceSeconds - Math.floor((context.clock.monotonicMs() - started) / 1000));
  const running = observed.containers.filter((c) => c.state === "running" || c.state === "unknown");
  const sidecarNames = (pod.spec?.initContainers ?? []).filter(isSidecar).map((c) => c.name);
  const sidecars = sidecarNames.toReversed().flatMap((name) => running.filter((c) => c.name === name));
  const others = running.filter((c) => !sidecarNames.includes(c.name));
  const kill = (target: ObservedContainer) =>
    killContainer(context, pod, target, observed.ips, { ...options, graceSeconds: remaining() });
  await settleAll(others.map(kill));
  for (const sidecar of sidecars) await kill(sidecar);
  await settleAll(observed.sandboxes.map((s) => context.runtime.stopSandbox(s.id, { signal: options.signal })));
}

/** Waits for all, then throws the first failure: one container that can't be stopped doesn't spare the others. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((r) => r.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
