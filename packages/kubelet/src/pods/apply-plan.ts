/** Carries a pod's plan out, step by step, and tells what became of it. Decides nothing but the back-off. */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { containerHash } from "../core/container-hash.ts";
import type { WaitingReason } from "../core/container-status.ts";
import { goSeconds, type Moment } from "../core/crash-backoff.ts";
import { latestExitOf, type ObservedPod } from "../core/observed-pod.ts";
import type { KillAction, PodPlan, StartAction } from "../core/pod-actions.ts";
import { podCgroupLimits } from "../core/qos.ts";
import { podName } from "../core/security-context.ts";
import { applyResize } from "./apply-resize.ts";
import { killContainer, killPod } from "./kill-pod.ts";
import { observe } from "./observe.ts";
import type { PodContext } from "./pod-context.ts";
import { kindOf } from "./pod-events.ts";
import type { PodResources } from "./pod-resources.ts";
import { StartError, startContainer } from "./start-container.ts";
import { configureSandbox, SandboxError, startSandbox } from "./start-sandbox.ts";

export interface ApplyInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly plan: PodPlan;
  readonly signal: AbortSignal;
  /** Called when something visible happened, so that statuses follow before the next step. */
  readonly progress: () => void;
  /** Why containers wait, by name; edited here. */
  readonly waiting: Map<string, WaitingReason>;
  readonly log: Logger;
  readonly resources: PodResources;
}

export interface ApplyResult {
  /** Something was started or ended: look again at once. */
  readonly changed: boolean;
  /** Something failed or is put off: milliseconds until it is worth trying again; undefined leaves it to the back-off. */
  readonly retryMs: number | undefined;
  readonly failed: boolean;
  /** Why granted resources could not be given to a container. */
  readonly resizeError?: string | undefined;
}

const NOTHING: ApplyResult = { changed: false, retryMs: undefined, failed: false };
const DEFAULT_GRACE_SECONDS = 30;

export async function applyPlan(context: PodContext, input: ApplyInput): Promise<ApplyResult> {
  const { pod, observed, plan, signal } = input;
  let changed = false;
  if (plan.killPod && observed.sandboxes.length > 0) {
    if (plan.createSandbox) {
      context.events.pod(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
    }
    const graceSeconds = pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
    await killPod(context, pod, observed, { graceSeconds, signal });
    changed = true;
  }
  for (const kill of plan.kill) {
    await killOne(context, input, kill);
    changed = true;
  }
  if (plan.reset !== undefined) return await resetAll(context, input, plan.reset);
  const resize = await resizeAll(context, input);
  changed ||= resize.changed;
  const result = await startAllowed(context, input, changed);
  if (resize.error === undefined) return result;
  return { ...result, failed: true, retryMs: smaller(result.retryMs, RESIZE_RETRY_MS), resizeError: resize.error };
}

/** Takes the ended containers of a pod away, unless the one that asked for it did so too often lately. */
async function resetAll(
  context: PodContext,
  input: ApplyInput,
  { trigger, ids }: NonNullable<PodPlan["reset"]>,
): Promise<ApplyResult> {
  const { pod, observed } = input;
  const { starts, waitMs } = notBackedOff(context, input, [{ kind: kindOf(pod, trigger), name: trigger }]);
  if (starts.length === 0) return { changed: false, retryMs: waitMs, failed: false };
  const ended = latestExitOf(observed, trigger);
  if (ended !== undefined) context.crashes.step(crashKey(pod, trigger), ended.finishedAt, context.clock.now());
  input.waiting.delete(trigger);
  for (const id of ids) await context.runtime.removeContainer(id, { signal: input.signal });
  return { ...NOTHING, changed: true };
}

/** Back-off is counted anew when a container becomes another one. */
function crashKey(pod: Pod, name: string): string {
  const { initContainers = [], containers = [] } = pod.spec ?? { containers: [] };
  const container = [...initContainers, ...containers].find((c) => c.name === name);
  return `${pod.metadata.uid ?? ""}/${name}/${container === undefined ? "" : containerHash(container)}`;
}

/** A resize that the runtime refuses, or that would kill the container, is tried again at this pace. */
const RESIZE_RETRY_MS = 5000;

async function resizeAll(context: PodContext, input: ApplyInput) {
  const { pod, observed, plan, resources, signal } = input;
  if (plan.killPod || plan.sandboxId === undefined) return { changed: false };
  const restarts = plan.kill.some((k) => k.reason === "resize");
  return await applyResize(context, { pod, observed, actions: plan.resize, restarts, resources, signal });
}

async function startAllowed(context: PodContext, input: ApplyInput, before: boolean): Promise<ApplyResult> {
  const { pod, plan } = input;
  const changed = before;
  if (plan.start.length === 0 || (plan.killPod && !plan.createSandbox)) return { ...NOTHING, changed };
  const ready = notBackedOff(context, input);
  if (ready.starts.length === 0 && !plan.createSandbox) return { changed, retryMs: ready.waitMs, failed: false };
  try {
    const result = await startAll(context, input, ready.starts);
    return { ...result, changed: changed || result.changed, retryMs: smaller(result.retryMs, ready.waitMs) };
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    input.log.warn({ reason: error.reason, why: error.message }, "pod can't start yet");
    context.counts?.sandboxStarted(error.reason);
    context.events.pod(pod, "Warning", error.reason, error.message);
    return { changed, retryMs: undefined, failed: true };
  }
}

function smaller(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

async function killOne(context: PodContext, { pod, observed, signal }: ApplyInput, kill: KillAction): Promise<void> {
  const target = observed.containers.find((c) => c.id === kill.id);
  if (target === undefined) return;
  const spec = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].find((c) => c.name === kill.name);
  const probe =
    kill.reason === "livenessProbe"
      ? spec?.livenessProbe
      : kill.reason === "startupProbe"
        ? spec?.startupProbe
        : undefined;
  // Source: KEP-5532: a pod that starts again as a whole is ended at once, and no preStop hook runs.
  const ofReason = kill.reason === "restartAll" ? 0 : undefined;
  const graceSeconds =
    ofReason ??
    probe?.terminationGracePeriodSeconds ??
    pod.spec?.terminationGracePeriodSeconds ??
    DEFAULT_GRACE_SECONDS;
  await killContainer(context, pod, target, observed.ips, { graceSeconds, message: kill.message, signal });
}

function momentOf(clock: Clock): Moment {
  return { now: clock.now(), monotonicMs: clock.monotonicMs() };
}

/** Leaves out the containers that crashed too recently, and says so in their waiting reason and an event. */
function notBackedOff(
  context: PodContext,
  input: ApplyInput,
  wanted: readonly StartAction[] = input.plan.start,
): { starts: StartAction[]; waitMs: number | undefined } {
  let waitMs: number | undefined;
  const starts = wanted.filter((action) => {
    const ended = latestExitOf(input.observed, action.name);
    if (ended === undefined) return true;
    const key = crashKey(input.pod, action.name);
    const remaining = context.crashes.remainingMs(key, ended.finishedAt, momentOf(context.clock));
    if (remaining === 0) return true;
    waitMs = smaller(waitMs, remaining);
    const name = podName(input.pod);
    if (input.waiting.get(action.name)?.reason !== "CrashLoopBackOff") {
      const event = context.events.container(input.pod, action.kind, action.name);
      event("Warning", "BackOff", `Back-off restarting failed container ${action.name} in pod ${name}`);
    }
    const delay = goSeconds(context.crashes.delayMs(key));
    const message = `back-off ${delay} restarting failed container=${action.name} pod=${name}`;
    input.waiting.set(action.name, { reason: "CrashLoopBackOff", message });
    return false;
  });
  return { starts, waitMs };
}

async function startAll(context: PodContext, input: ApplyInput, starts: readonly StartAction[]): Promise<ApplyResult> {
  const { pod, observed, plan, signal } = input;
  const volumes = await context.mounts.setUp(pod, observed.ips, signal);
  if (volumes === undefined) return { changed: false, retryMs: undefined, failed: true };
  let sandboxId = plan.sandboxId;
  let podIps = observed.ips;
  let changed = false;
  if (plan.createSandbox || sandboxId === undefined) {
    sandboxId = await startSandbox(context, pod, plan.attempt, signal);
    podIps = (await observe(context.runtime, observed.uid, signal)).ips;
    context.counts?.sandboxStarted();
    input.resources.cgroupLimits = JSON.stringify(podCgroupLimits(pod));
    changed = true;
    input.progress();
  }
  const ips = pod.spec?.hostNetwork === true ? context.node().hostIps : podIps;
  const attempt = observed.sandboxes[0]?.metadata.attempt ?? 0;
  const sandbox = await configureSandbox(context, pod, plan.createSandbox ? plan.attempt : attempt);
  let retryMs: number | undefined;
  let failed = false;
  const created: string[] = observed.containers.map((c) => c.id);
  const onCreated = async (id: string, container: Container) => {
    created.push(id);
    await input.resources.actuate(id, container.resources ?? {}, created);
  };
  for (const action of starts) {
    const ended = latestExitOf(observed, action.name);
    if (ended !== undefined) {
      context.crashes.step(crashKey(pod, action.name), ended.finishedAt, context.clock.now());
    }
    try {
      const request = {
        pod,
        action,
        observed,
        sandboxId,
        sandbox,
        podIps: ips,
        volumes,
        signal,
        onCreated,
      };
      await startContainer(context, request);
      context.counts?.containerStarted(action.kind);
      input.waiting.delete(action.name);
      changed = true;
      input.progress();
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      context.counts?.containerStarted(action.kind, error.reason);
      // The same failure again is no news.
      const level = input.waiting.get(action.name)?.reason === error.reason ? "debug" : "warn";
      input.log[level]({ container: action.name, reason: error.reason, why: error.message }, "container did not start");
      input.waiting.set(action.name, { reason: error.reason, message: error.message });
      retryMs = smaller(retryMs, error.retryMs);
      failed = true;
      // What was created and did not start shows in the runtime: look at once.
      if (error.reason === "RunContainerError" || error.reason === "PostStartHookError") changed = true;
      if (action.kind === "init") break;
    }
  }
  return { changed, retryMs, failed };
}
