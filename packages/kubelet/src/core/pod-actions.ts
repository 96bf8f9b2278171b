/**
 * Decides what to do for a pod, given what it should be and what the runtime says it is. Returns a plan, does nothing.
 *
 *   no usable sandbox -> kill what is left, make a sandbox (unless nothing is left to run)
 *   init containers   -> one after the other; the next starts when the one before ended well, or, for a sidecar, has started
 *   containers        -> start what is missing or ended and should run again; kill what failed its probes or changed
 *   nothing runs and nothing is to be started -> the pod is over: kill it
 *
 * Laws (pod-actions.test.ts): a running container is never started; an init container never starts once a container has;
 * nothing is started in a pod that is over. Back-off is not decided here: whoever applies the plan may put a start off.
 */
import type { Container, Pod, ResourceRequirements } from "@knarr/api/generated/types/core-v1.ts";
import { containerHash } from "./container-hash.ts";
import { latestOf, type ObservedContainer, type ObservedPod } from "./observed-pod.ts";
import { judgeResize } from "./resize.ts";
import { isSidecar, restartsAfter, restartsOnFailure, restartTrigger, shouldRun } from "./restart-policy.ts";

export type ProbeOutcome = "unknown" | "success" | "failure";

/** The latest verdict on a container, by its id; undefined when it has no such probe. */
export interface ProbeView {
  liveness(containerId: string): ProbeOutcome | undefined;
  startup(containerId: string): ProbeOutcome | undefined;
}

export type ContainerKind = "init" | "container" | "ephemeral";

export interface StartAction {
  readonly kind: ContainerKind;
  readonly name: string;
}

export type KillReason =
  | "livenessProbe"
  | "startupProbe"
  | "unknownState"
  | "specChanged"
  | "failedPostStartHook"
  | "resize"
  | "restartAll";

export interface KillAction {
  readonly id: string;
  readonly name: string;
  readonly reason: KillReason;
  readonly message: string;
}

/** A running container is given other limits. */
export interface ResizeAction {
  readonly id: string;
  readonly name: string;
  readonly resources: ResourceRequirements;
}

export interface PodPlan {
  /** Kill every container and the sandbox first. */
  readonly killPod: boolean;
  readonly createSandbox: boolean;
  /** Of the sandbox to make; 0 for a pod's first. */
  readonly attempt: number;
  /** The sandbox that containers are started in, when none is to be made. */
  readonly sandboxId: string | undefined;
  readonly kill: readonly KillAction[];
  readonly start: readonly StartAction[];
  readonly resize: readonly ResizeAction[];
  /** Ended containers to be taken away, so that the pod starts from its first init container; put off by `trigger`. */
  readonly reset?: { readonly trigger: string; readonly ids: readonly string[] } | undefined;
}

/** What is known of containers beside what the runtime says. */
export interface ContainerView extends ProbeView {
  /** The resources that a container was last given; undefined when that is not known, and then nothing is changed. */
  actuated?(containerId: string): ResourceRequirements | undefined;
}

const NO_PROBES: ContainerView = { liveness: () => undefined, startup: () => undefined };

export function computePodActions(pod: Pod, observed: ObservedPod, probes: ContainerView = NO_PROBES): PodPlan {
  const sandbox = judgeSandbox(pod, observed);
  if (sandbox.usable !== undefined) return planInSandbox(pod, observed, probes, sandbox.usable);
  const start = startsInNewSandbox(pod, observed);
  const createSandbox = start.length > 0 && (sandbox.attempt === 0 || mayRestart(pod, observed));
  return {
    killPod: true,
    createSandbox,
    attempt: sandbox.attempt,
    sandboxId: undefined,
    kill: [],
    start: createSandbox ? start : [],
    resize: [],
  };
}

/** Whether the newest sandbox can be used, or which attempt the next one would be. */
function judgeSandbox(pod: Pod, observed: ObservedPod): { usable?: string; attempt: number } {
  const latest = observed.sandboxes[0];
  if (latest === undefined) return { attempt: 0 };
  const attempt = latest.metadata.attempt + 1;
  const readyCount = observed.sandboxes.filter((s) => s.state === "ready").length;
  if (latest.state !== "ready" || readyCount > 1) return { attempt };
  const hostNetwork = pod.spec?.hostNetwork ?? false;
  if ((latest.networkMode === "NODE") !== hostNetwork) return { attempt };
  if (!hostNetwork && latest.ips.length === 0) return { attempt };
  return { usable: latest.id, attempt };
}

/** A pod that never restarts gets no second sandbox once a container of it was made. */
function mayRestart(pod: Pod, observed: ObservedPod): boolean {
  const containers = pod.spec?.containers ?? [];
  return observed.containers.length === 0 || containers.some((c) => restartsOnFailure(pod, c));
}

function startsInNewSandbox(pod: Pod, observed: ObservedPod): StartAction[] {
  const runnable = (pod.spec?.containers ?? []).filter((c) => {
    const latest = latestOf(observed, c.name);
    return latest === undefined || latest.state !== "exited" || restartsAfter(pod, c, latest.exitCode);
  });
  if (runnable.length === 0) return [];
  const firstInit = pod.spec?.initContainers?.[0];
  if (firstInit !== undefined) return [{ kind: "init", name: firstInit.name }];
  return [
    ...ephemeralStarts(pod, observed),
    ...runnable.map((c): StartAction => ({ kind: "container", name: c.name })),
  ];
}

function ephemeralStarts(pod: Pod, observed: ObservedPod): StartAction[] {
  return (pod.spec?.ephemeralContainers ?? [])
    .filter((c) => latestOf(observed, c.name) === undefined)
    .map((c): StartAction => ({ kind: "ephemeral", name: c.name }));
}

function planInSandbox(pod: Pod, observed: ObservedPod, probes: ContainerView, sandboxId: string): PodPlan {
  const inSandbox: ObservedPod = {
    ...observed,
    containers: observed.containers.filter((c) => c.sandboxId === sandboxId),
  };
  const base = { createSandbox: false, attempt: 0, sandboxId, resize: [] };
  const trigger = restartTrigger(pod, inSandbox, sandboxId);
  if (trigger !== undefined) return { ...base, killPod: false, start: [], ...planReset(pod, inSandbox, trigger) };
  const init = planInit(pod, observed, inSandbox, probes);
  const ephemeral = ephemeralStarts(pod, observed);
  if (init.failed) return { ...base, killPod: true, kill: [], start: [] };
  if (!init.initialized) return { ...base, killPod: false, kill: init.kill, start: [...ephemeral, ...init.start] };

  const kill: KillAction[] = [];
  const start: StartAction[] = [];
  const resize: ResizeAction[] = [];
  let kept = 0;
  for (const container of pod.spec?.containers ?? []) {
    const latest = latestOf(observed, container.name);
    const verdict = judgeContainer(pod, container, latest, probes);
    if (verdict.kill !== undefined) kill.push(verdict.kill);
    if (verdict.start) start.push({ kind: "container", name: container.name });
    if (verdict.keep) kept++;
    if (verdict.resize !== undefined) resize.push(verdict.resize);
  }
  if (kept === 0 && start.length === 0) return { ...base, killPod: true, kill: [], start: [] };
  return {
    ...base,
    killPod: false,
    kill: [...init.kill, ...kill],
    start: [...ephemeral, ...init.start, ...start],
    resize: [...init.resize, ...resize],
  };
}

/** First whatever runs is ended, and then, seen and reported as ended, taken away. Ephemeral containers stay. */
function planReset(pod: Pod, inSandbox: ObservedPod, trigger: string): Pick<PodPlan, "kill" | "reset"> {
  const ephemeral = new Set((pod.spec?.ephemeralContainers ?? []).map((c) => c.name));
  const all = inSandbox.containers.filter((c) => !ephemeral.has(c.name));
  const message = `Container ${trigger} exited with a code that restarts all containers`;
  const kill = all.filter((c) => c.state !== "exited").map((c) => killOf(c, "restartAll", message));
  if (kill.length > 0) return { kill };
  // The trigger goes last: until then the pod is known to be starting again, also by a kubelet that starts meanwhile.
  const ids = all.toSorted((a, b) => Number(a.name === trigger) - Number(b.name === trigger)).map((c) => c.id);
  return { kill, reset: { trigger, ids } };
}

interface Verdict {
  readonly kill?: KillAction;
  readonly start: boolean;
  readonly keep: boolean;
  readonly resize?: ResizeAction;
}

const UNKNOWN_STATE = 'is in "unknown" state, try killing it before restart';

/** In upstream's words, which tell of sidecars with fewer. */
function judgeContainer(
  pod: Pod,
  container: Container,
  latest: ObservedContainer | undefined,
  probes: ContainerView,
): Verdict {
  const sidecar = isSidecar(container);
  const who = sidecar ? "Init container" : "Container";
  if (latest === undefined || latest.state !== "running") {
    const start = shouldRun(pod, container, latest);
    // Source: a container in an unknown state is stopped before another is made, lest two of them run.
    if (start && latest?.state === "unknown") {
      return { kill: killOf(latest, "unknownState", `${who} ${UNKNOWN_STATE}`), start, keep: false };
    }
    return { start, keep: false };
  }
  const told = (what: string, restarts: boolean) =>
    `${who} ${container.name} ${what}${restarts && !sidecar ? ", will be restarted" : ""}`;
  if (latest.hash !== "" && latest.hash !== containerHash(container)) {
    return { kill: killOf(latest, "specChanged", told("definition changed", true)), start: true, keep: false };
  }
  const failed = failedProbe(latest, probes);
  if (failed === undefined) return judgeResources(container, latest, probes);
  const restarts = restartsOnFailure(pod, container);
  return {
    kill: killOf(latest, `${failed}Probe`, told(`failed ${failed} probe`, restarts)),
    start: restarts,
    keep: false,
  };
}

function judgeResources(container: Container, latest: ObservedContainer, view: ContainerView): Verdict {
  const resize = judgeResize(container, view.actuated?.(latest.id));
  if (resize === undefined) return { start: false, keep: true };
  if (resize === "restart") {
    const message = `Container ${container.name} resize requires restart`;
    return { kill: killOf(latest, "resize", message), start: true, keep: false };
  }
  const action = { id: latest.id, name: latest.name, resources: container.resources ?? {} };
  return { start: false, keep: true, resize: action };
}

function failedProbe(container: ObservedContainer, probes: ProbeView): "liveness" | "startup" | undefined {
  if (probes.liveness(container.id) === "failure") return "liveness";
  return probes.startup(container.id) === "failure" ? "startup" : undefined;
}

function killOf(container: ObservedContainer, reason: KillReason, message: string): KillAction {
  return { id: container.id, name: container.name, reason, message };
}

interface InitPlan {
  readonly initialized: boolean;
  /** An init container failed for good: the pod is over. */
  readonly failed: boolean;
  readonly kill: KillAction[];
  readonly start: StartAction[];
  readonly resize: ResizeAction[];
}

/** Whether a sidecar counts as started: running, and past its startup probe if it has one. */
function hasStarted(latest: ObservedContainer | undefined, container: Container, probes: ProbeView): boolean {
  if (latest?.state !== "running") return false;
  return container.startupProbe === undefined || probes.startup(latest.id) === "success";
}

function planInit(pod: Pod, observed: ObservedPod, inSandbox: ObservedPod, probes: ContainerView): InitPlan {
  const inits = pod.spec?.initContainers ?? [];
  const plan = {
    initialized: false,
    failed: false,
    kill: [] as KillAction[],
    start: [] as StartAction[],
    resize: [] as ResizeAction[],
  };
  // Once a container of the pod's own was made in this sandbox, initialisation is over for good.
  const wasInitialized = (pod.spec?.containers ?? []).some((c) => latestOf(inSandbox, c.name) !== undefined);
  for (const [index, container] of inits.entries()) {
    if (isSidecar(container)) {
      const ready = planSidecar(pod, container, observed, probes, plan);
      if (!ready && !wasInitialized) return plan;
      continue;
    }
    if (wasInitialized) continue;
    const latest = latestOf(inSandbox, container.name);
    // Its end may have been collected since: it was well, or the next would not have been made.
    const later = () => inits.slice(index + 1).some((c) => latestOf(inSandbox, c.name) !== undefined);
    if (latest?.state !== "running" && later()) continue;
    if (latest?.state === "exited" && latest.exitCode === 0) continue;
    if (latest?.state === "running") {
      const failed = failedProbe(latest, probes);
      if (failed !== undefined)
        plan.kill.push(killOf(latest, `${failed}Probe`, `Container ${container.name} failed ${failed} probe`));
      return plan;
    }
    if (latest?.state === "exited" && !restartsAfter(pod, container, latest.exitCode)) return { ...plan, failed: true };
    if (latest?.state === "unknown") plan.kill.push(killOf(latest, "unknownState", `Init container ${UNKNOWN_STATE}`));
    plan.start.push({ kind: "init", name: container.name });
    return plan;
  }
  return { ...plan, initialized: true };
}

/** Adds what a sidecar needs to the plan; true when it has started, so that the next container may. */
function planSidecar(
  pod: Pod,
  container: Container,
  observed: ObservedPod,
  probes: ContainerView,
  plan: { kill: KillAction[]; start: StartAction[]; resize: ResizeAction[] },
): boolean {
  const latest = latestOf(observed, container.name);
  const verdict = judgeContainer(pod, container, latest, probes);
  if (verdict.kill !== undefined) plan.kill.push(verdict.kill);
  if (verdict.start) plan.start.push({ kind: "init", name: container.name });
  if (verdict.resize !== undefined) plan.resize.push(verdict.resize);
  return verdict.keep && hasStarted(latest, container, probes);
}
