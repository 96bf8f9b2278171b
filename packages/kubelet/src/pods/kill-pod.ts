/** Ends containers: preStop hook, stop signal, kill; within the grace, in the order that sidecars ask for. */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ObservedContainer, ObservedPod } from "../core/observed-pod.ts";
import { isSidecar } from "../core/restart-policy.ts";
import { runHook } from "./lifecycle-hook.ts";
import type { PodContext } from "./pod-context.ts";
import { kindOf } from "./pod-events.ts";
import { stopBySignal } from "./stop-by-signal.ts";

/** A container gets this long even when its preStop hook used up the grace. Source: upstream's minimum. */
const MIN_STOP_SECONDS = 2;

export interface KillOptions {
  readonly graceSeconds: number;
  /** The container is stopped when this is settled; its preStop hook runs at once. */
  readonly turn?: Promise<unknown> | undefined;
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
  const started = clock.monotonicMs();
  const left = () => options.graceSeconds - Math.floor((clock.monotonicMs() - started) / 1000);
  const event = events.container(pod, kindOf(pod, target.name), target.name);
  event("Normal", "Killing", options.message ?? `Stopping container ${target.name}`);
  const spec = specOf(pod, target.name);
  const preStop = spec?.lifecycle?.preStop;
  if (preStop !== undefined && spec !== undefined && options.graceSeconds > 0 && target.state === "running") {
    try {
      await runHook(
        preStop,
        { containerId: target.id, container: spec, podIp: podIps[0] ?? "" },
        { runtime, clock, timeoutMs: options.graceSeconds * 1000, signal: options.signal },
      );
    } catch (error) {
      if (options.signal.aborted) throw error;
      // A hook that fails does not keep the container alive.
      context.log.warn({ err: error, pod: pod.metadata.name, container: target.name }, "preStop hook failed");
      event("Warning", "FailedPreStopHook", "PreStopHook failed");
    }
  }
  if (options.turn !== undefined) await waitForTurn(context, options.turn, left() * 1000, options.signal);
  // Differs from upstream: a grace of one second, asked for by name, is one second and not two.
  const seconds = options.graceSeconds === 1 ? 1 : Math.max(MIN_STOP_SECONDS, left());
  const ended = await stopBySignal(context, { target, wanted: spec?.lifecycle?.stopSignal, seconds }, options.signal);
  await runtime.stopContainer(target.id, ended === "kill" ? 0 : seconds, { signal: options.signal });
}

async function waitForTurn(
  { clock }: PodContext,
  turn: Promise<unknown>,
  maxMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (maxMs <= 0) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.setTimeout(resolve, maxMs);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await Promise.race([turn.catch(() => undefined), promise]);
  cancel();
  signal.throwIfAborted();
}

/**
 * Ends every container that may run, then the sandboxes. All preStop hooks start at once; sidecars are stopped after the
 * containers, last declared first, as long as the grace lasts. Source: KEP-753
 */
export async function killPod(
  context: PodContext,
  pod: Pod,
  observed: ObservedPod,
  options: KillOptions,
): Promise<void> {
  const running = observed.containers.filter((c) => c.state === "running" || c.state === "unknown");
  const sidecarNames = (pod.spec?.initContainers ?? []).filter(isSidecar).map((c) => c.name);
  const sidecars = sidecarNames.toReversed().flatMap((name) => running.filter((c) => c.name === name));
  const others = running.filter((c) => !sidecarNames.includes(c.name));
  const stops = others.map((c) => stopOf(c, killContainer(context, pod, c, observed.ips, options)));
  for (const sidecar of sidecars) {
    const turn = Promise.allSettled(stops.map(({ over }) => over));
    stops.push(stopOf(sidecar, killContainer(context, pod, sidecar, observed.ips, { ...options, turn })));
  }
  try {
    await settleAll(stops);
    const { runtime } = context;
    await settleAll(
      observed.sandboxes.map((s) => ({
        what: "KillPodSandbox",
        target: observed.uid,
        over: runtime.stopSandbox(s.id, { signal: options.signal }),
      })),
    );
  } catch (error) {
    if (!options.signal.aborted && error instanceof Error) {
      context.events.pod(pod, "Warning", "FailedKillPod", `error killing pod: ${error.message}`);
    }
    throw error;
  }
}

interface Stop {
  readonly what: "KillContainer" | "KillPodSandbox";
  readonly target: string;
  readonly over: Promise<void>;
}

function stopOf(container: ObservedContainer, over: Promise<void>): Stop {
  return { what: "KillContainer", target: container.name, over };
}

/**
 * Waits for all, then throws what failed: one container that can't be stopped doesn't spare the others.
 * Source of the wording: pkg/kubelet/container/sync_result.go
 */
async function settleAll(stops: readonly Stop[]): Promise<void> {
  const results = await Promise.allSettled(stops.map(({ over }) => over));
  const failures = results.flatMap((result, i) => {
    const stop = stops[i];
    if (result.status === "fulfilled" || stop === undefined) return [];
    const why = result.reason instanceof Error ? result.reason.message : String(result.reason);
    const { what, target } = stop;
    return [`failed to "${what}" for ${JSON.stringify(target)} with ${what}Error: ${JSON.stringify(why)}`];
  });
  if (failures.length === 0) return;
  const message = failures.length === 1 ? failures[0] : `[${failures.join(", ")}]`;
  const cause = results.find((r) => r.status === "rejected")?.reason;
  throw new Error(message, { cause });
}
