/**
 * One pod's serial loop: look at the runtime, report the status, plan, apply, sleep until something changes. Its states
 * are those of core/pod-lifecycle.ts. Two steps of one pod never overlap; a termination interrupts what is under way.
 */
import type { ContainerStatus, Pod, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { WaitingReason } from "../core/container-status.ts";
import type { ObservedPod } from "../core/observed-pod.ts";
import { computePodActions } from "../core/pod-actions.ts";
import {
  advanceLifecycle,
  type LifecycleEvent,
  type PodLifecycle,
  type TerminationCause,
} from "../core/pod-lifecycle.ts";
import { isFinalPhase } from "../core/pod-phase.ts";
import { computePodStatus } from "../core/pod-status.ts";
import { type ResizeRefusal, type ResizeState, resizeMessage, sameResources } from "../core/resize.ts";
import { isSidecar } from "../core/restart-policy.ts";
import { sameJson } from "../core/status-patch.ts";
import { applyPlan } from "./apply-plan.ts";
import { collectGarbage, erasePod, releasePod } from "./clean-pod.ts";
import { killPod } from "./kill-pod.ts";
import { observe } from "./observe.ts";
import type { PodContext } from "./pod-context.ts";
import { readTerminationMessage } from "./pod-files.ts";
import { PodResources } from "./pod-resources.ts";

export interface Verdict {
  readonly reason: string;
  readonly message: string;
  /** A condition that the pod gets, True, together with its final phase. */
  readonly condition?: { readonly type: string; readonly reason: string; readonly message: string } | undefined;
}

export interface WorkerOptions {
  /**
   * Asked before the first start of a pod; a verdict ends it as Failed, "wait": room is being made, ask again,
   * "allocate": the pod is to be given what is its alone first.
   */
  readonly admit: (pod: Pod) => Verdict | "wait" | "allocate" | undefined;
  /** Gives the pod what is to be its alone; asked no more than once. */
  readonly allocate: (pod: Pod) => Promise<Verdict | undefined>;
  /** Asked before a running pod is granted other resources; undefined: it may have them. */
  readonly refuseResize: (pod: Pod) => ResizeRefusal | undefined;
  /** The pod gave resources back: others may be waiting for them. */
  readonly onFreed: () => void;
}

const DEFAULT_GRACE_SECONDS = 30;
const ADMISSION_WAIT_MS = 250;

export class PodWorker {
  readonly uid: string;
  readonly #context: PodContext;
  readonly #options: WorkerOptions;
  readonly #log: Logger;
  readonly #waiting = new Map<string, WaitingReason>();
  readonly #messages = new Map<string, string>();
  readonly #retry = new Backoff({ initialMs: 500, maxMs: 10_000, factor: 2, jitter: 0 });
  readonly #run: RunState = {
    dirty: true,
    wake: undefined,
    step: new AbortController(),
    lastRefresh: 0,
    looks: 0,
    retryAt: 0,
    seenAt: 0,
  };
  readonly #resources: PodResources;
  #resize: ResizeState = {};
  #pod: Pod;
  #lifecycle: PodLifecycle = { state: "syncing" };
  #verdict: Verdict | undefined;
  #admitted = false;
  #released = false;

  constructor(context: PodContext, pod: Pod, options: WorkerOptions) {
    this.#context = context;
    this.#options = options;
    this.#pod = pod;
    this.uid = pod.metadata.uid ?? "";
    this.#run.seenAt = context.clock.monotonicMs();
    this.#resources = new PodResources(context.config.rootDir, this.uid);
    this.#log = context.log.child({ pod: `${pod.metadata.namespace}/${pod.metadata.name}`, uid: this.uid });
    // A pod that this node took before is not asked again: its containers may run.
    this.#admitted = pod.status?.startTime !== undefined;
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The pod with the resources that it was granted, which are not always those that it asks for. */
  get allocatedPod(): Pod {
    return this.#resources.allocatedPod(this.#pod);
  }

  /** When the resize that was put off was put off first, epoch ms; undefined when none is. */
  get resizeWaitsSince(): number | undefined {
    return this.#resize.pending?.since;
  }

  get lifecycle(): PodLifecycle {
    return this.#lifecycle;
  }

  /** Whether the pod counts against the node's resources. */
  get holdsResources(): boolean {
    return this.#admitted && this.#lifecycle.state !== "terminated" && this.#lifecycle.state !== "gone";
  }

  /** Whether nothing of the pod runs, is mounted or has a cgroup any more. */
  get released(): boolean {
    return this.#released;
  }

  /** The pod changed in its source. */
  update(pod: Pod): void {
    const before = this.#pod;
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.terminate("deleted", pod.metadata.deletionGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS);
    } else if (isFinalPhase(pod.status?.phase)) {
      this.terminate("finished", pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS);
    }
    // Our own status coming back asks for nothing.
    if (asksForSync(before, pod)) this.retryNow();
  }

  /** The pod is to end: it left its source, was evicted, or is over. */
  terminate(cause: TerminationCause, graceSeconds: number, verdict?: Verdict): void {
    if (verdict !== undefined) this.#verdict ??= verdict;
    const before = this.#lifecycle;
    this.#advance({ type: "terminate", cause, graceSeconds, now: this.#context.clock.now() });
    const shorter = before.state === "terminating" && this.#lifecycle !== before;
    if ((before.state === "syncing" && this.#lifecycle.state !== "syncing") || shorter) {
      // A pull or a hook under way must not hold the end up, nor a stop with the longer grace.
      this.#run.step.abort(new DOMException("the pod is terminating", "AbortError"));
    }
    this.kick();
  }

  /** Something that a start failed for may have changed: it is tried again without waiting its time out. */
  retryNow(): void {
    this.#run.retryAt = 0;
    this.kick();
  }

  /** Something about the pod may have changed. */
  kick(): void {
    this.#run.dirty = true;
    this.#run.wake?.();
  }

  /** Works until the pod is gone or the signal aborts; containers are left running then. */
  async run(signal: AbortSignal): Promise<void> {
    while (this.#lifecycle.state !== "gone" && !signal.aborted) {
      this.#run.dirty = false;
      this.#run.step = new AbortController();
      const stepSignal = AbortSignal.any([signal, this.#run.step.signal]);
      const waitMs = await this.#guarded(stepSignal);
      if (!this.#run.dirty && this.lifecycle.state !== "gone") await this.#sleep(waitMs, signal);
    }
  }

  async #guarded(signal: AbortSignal): Promise<number> {
    const { clock, counts } = this.#context;
    const startedAt = clock.monotonicMs();
    const kind = this.#lifecycle.state !== "syncing" ? "kill" : this.#run.looks === 0 ? "create" : "sync";
    if (this.#run.looks === 0) counts?.workerStarted(startedAt - this.#run.seenAt);
    try {
      const waitMs = await this.#step(signal);
      counts?.stepped(kind, clock.monotonicMs() - startedAt);
      return waitMs ?? this.#retry.next();
    } catch (error) {
      if (signal.aborted) return 0;
      // Whatever a step failed with, the next may do better: the runtime or the API come back, files appear.
      this.#log.error({ err: error }, "pod sync failed");
      return this.#retry.next();
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#context.clock.setTimeout(resolve, ms);
    this.#run.wake = resolve;
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    cancel();
    this.#run.wake = undefined;
  }

  #advance(event: LifecycleEvent): void {
    const next = advanceLifecycle(this.#lifecycle, event);
    if (next !== this.#lifecycle) this.#log.debug({ from: this.#lifecycle.state, to: next.state }, "pod lifecycle");
    this.#lifecycle = next;
  }

  /** Milliseconds until the next look, 0 for at once, undefined for the retry back-off. */
  async #step(signal: AbortSignal): Promise<number | undefined> {
    this.#run.looks++;
    const observed = await observe(this.#context.runtime, this.uid, signal);
    await this.#readMessages(observed);
    switch (this.#lifecycle.state) {
      case "syncing":
        return await this.#sync(observed, signal);
      case "terminating":
        return await this.#terminate(observed, this.#lifecycle.graceSeconds, signal);
      case "terminated":
        return await this.#cleanUp(observed, this.#lifecycle.cause);
      case "gone":
        return 0;
      default:
        return this.#lifecycle satisfies never;
    }
  }

  async #sync(observed: ObservedPod, signal: AbortSignal): Promise<number | undefined> {
    const { prober, config, clock } = this.#context;
    if (!this.#admitted && observed.sandboxes.length === 0) {
      const asked = this.#options.admit(this.allocatedPod);
      if (asked === "wait") return ADMISSION_WAIT_MS;
      // What others were given meanwhile counts: asked again at once.
      const verdict = asked === "allocate" ? await this.#options.allocate(this.allocatedPod) : asked;
      if (asked === "allocate" && verdict === undefined) return 0;
      if (verdict !== undefined) {
        this.#context.events.pod(this.#pod, "Warning", verdict.reason, verdict.message);
        return this.#end(observed, { ...verdict, message: `Pod was rejected: ${verdict.message}` });
      }
    }
    this.#admitted = true;
    await this.#allocate(observed);
    const pod = this.allocatedPod;
    prober.setPodIp(this.uid, observed.ips[0]);
    prober.sync(pod, observed, this.#previousStatuses());
    const status = this.#report(observed, false);
    const overdue = this.#deadlineMs(status);
    if (overdue !== undefined && overdue <= 0) {
      const message = "Pod was active on the node longer than the specified deadline";
      this.#context.events.pod(pod, "Normal", "DeadlineExceeded", message);
      return this.#end(observed, { reason: "DeadlineExceeded", message });
    }
    const plan = computePodActions(pod, observed, {
      liveness: (id) => prober.liveness(id),
      startup: (id) => prober.startup(id),
      actuated: (id) => this.#resources.actuated(id),
    });
    if (isFinalPhase(status.phase) || (plan.killPod && !plan.createSandbox && observed.containers.length > 0)) {
      this.terminate("finished", pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS);
      return 0;
    }
    const waitMs = this.#run.retryAt - clock.monotonicMs();
    // A start that failed is not tried again by whatever else happens to the pod meanwhile.
    if (
      waitMs > 0 &&
      plan.kill.length === 0 &&
      plan.resize.length === 0 &&
      !(plan.killPod && observed.containers.length > 0)
    )
      return waitMs;
    const progress = () => this.#reportSoon(signal);
    const result = await applyPlan(this.#context, {
      pod,
      observed,
      plan,
      signal,
      progress,
      waiting: this.#waiting,
      log: this.#log,
      resources: this.#resources,
    });
    this.#noteResizeError(result.resizeError);
    // Where something changed, `observed` is older than what was reported meanwhile: the next step looks again at once.
    if (!result.changed) this.#report(observed, false);
    if (result.changed) {
      if (result.failed) this.#run.retryAt = clock.monotonicMs() + (result.retryMs ?? this.#retry.next());
      else this.#retry.reset();
      return 0;
    }
    if (result.failed) {
      const retryMs = result.retryMs ?? this.#retry.next();
      this.#run.retryAt = clock.monotonicMs() + retryMs;
      return retryMs;
    }
    this.#retry.reset();
    await collectGarbage(this.#context.runtime, config, pod, observed);
    await this.#refreshVolumes(observed);
    const waits = [result.retryMs, overdue, config.syncFrequencyMs].filter((ms) => ms !== undefined);
    return Math.max(0, Math.min(...waits, this.#run.lastRefresh + config.syncFrequencyMs - clock.monotonicMs() + 1));
  }

  /** Grants what the pod asks for, if the node has it, and notes what is not in force yet. */
  async #allocate(observed: ObservedPod): Promise<void> {
    await this.#resources.load();
    const { events } = this.#context;
    if (!this.#resources.isAllocated) await this.#adoptResources(observed);
    const before = this.#resize;
    let { pending } = before;
    if (!this.#resources.isWanted(this.#pod)) pending = undefined;
    else {
      const refusal = this.#options.refuseResize(this.#pod);
      pending = refusal && { ...refusal, since: before.pending?.since ?? this.#waitsSince() };
      if (pending === undefined) {
        await this.#resources.allocate(this.#pod);
        events.pod(this.#pod, "Normal", "ResizeStarted", resizeMessage("Pod resize started", this.#pod));
        // What it gave back, another may be waiting for.
        this.#options.onFreed();
      } else if (!sameJson(pending, before.pending)) {
        const message = resizeMessage(`Pod resize ${pending.reason}`, this.#pod, pending.message);
        events.pod(this.#pod, "Warning", `Resize${pending.reason}`, message);
      }
    }
    const inProgress = this.#isResizing(observed) ? (before.inProgress ?? {}) : undefined;
    if (before.inProgress !== undefined && inProgress === undefined) {
      events.pod(this.#pod, "Normal", "ResizeCompleted", resizeMessage("Pod resize completed", this.allocatedPod));
      this.#options.onFreed();
    }
    this.#resize = { pending, inProgress };
  }

  /** A kubelet that starts anew goes on counting from what it told before. */
  #waitsSince(): number {
    const told = this.#pod.status?.conditions?.find((c) => c.type === "PodResizePending" && c.status === "True");
    return told?.lastTransitionTime === undefined ? this.#context.clock.now() : Date.parse(told.lastTransitionTime);
  }

  /** A pod seen for the first time is granted what it asks for; what runs of it (another kubelet's) is taken to have it. */
  async #adoptResources(observed: ObservedPod): Promise<void> {
    await this.#resources.allocate(this.#pod);
    const ids = observed.containers.map((c) => c.id);
    for (const { name, resources } of this.#pod.spec?.containers ?? []) {
      const latest = observed.containers.find((c) => c.name === name && c.state === "running");
      if (latest !== undefined) await this.#resources.actuate(latest.id, resources ?? {}, ids);
    }
  }

  /** Whether a running container has other resources than it was granted. */
  #isResizing(observed: ObservedPod): boolean {
    const { spec } = this.allocatedPod;
    const containers = [...(spec?.initContainers ?? []).filter(isSidecar), ...(spec?.containers ?? [])];
    return containers.some((container) => {
      const latest = observed.containers.find((c) => c.name === container.name);
      const actuated = latest?.state === "running" ? this.#resources.actuated(latest.id) : undefined;
      return actuated !== undefined && !sameResources(actuated, container.resources);
    });
  }

  #noteResizeError(error: string | undefined): void {
    const { inProgress } = this.#resize;
    if (inProgress === undefined || inProgress.error === error) return;
    this.#resize = { ...this.#resize, inProgress: error === undefined ? {} : { error } };
    if (error === undefined) return;
    const message = resizeMessage("Pod resize error", this.allocatedPod, error);
    this.#context.events.pod(this.#pod, "Warning", "ResizeError", message);
  }

  #end(observed: ObservedPod, verdict: Verdict): number {
    this.terminate("evicted", this.#pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS, verdict);
    this.#report(observed, false);
    return 0;
  }

  /** Milliseconds until activeDeadlineSeconds is over; undefined without one. */
  #deadlineMs(status: PodStatus): number | undefined {
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined || status.startTime === undefined) return undefined;
    return Date.parse(status.startTime) + seconds * 1000 - this.#context.clock.now();
  }

  #previousStatuses(): ContainerStatus[] {
    const { initContainerStatuses = [], containerStatuses = [] } = this.#pod.status ?? {};
    return [...initContainerStatuses, ...containerStatuses];
  }

  async #terminate(observed: ObservedPod, graceSeconds: number, signal: AbortSignal): Promise<number | undefined> {
    const { prober, node } = this.#context;
    prober.stopLiveness(this.uid);
    this.#waiting.clear();
    this.#report(observed, false);
    await killPod(this.#context, this.#pod, observed, { graceSeconds, signal });
    const after = await observe(this.#context.runtime, this.uid, signal);
    if (after.containers.some((c) => c.state === "running")) return undefined;
    prober.remove(this.uid);
    // Before anybody is told that the pod is over: others may be given its claims then.
    await this.#context.claims?.unprepare(this.uid, signal);
    await this.#readMessages(after);
    this.#advance({ type: "stopped" });
    this.#report({ ...after, ips: after.ips.length > 0 ? after.ips : observed.ips }, true);
    this.#log.debug({ node: node().hostIps[0] }, "pod stopped");
    return 0;
  }

  async #cleanUp(observed: ObservedPod, cause: TerminationCause): Promise<number | undefined> {
    const pod = this.#pod;
    await releasePod(this.#context, pod);
    this.#released = true;
    const leaving = cause === "deleted" || cause === "removed";
    if (!leaving) {
      // A pod that ran to its end stays as it is, for its logs, until the API drops it.
      this.#report(observed, true);
      return this.#context.config.syncFrequencyMs;
    }
    if (cause === "deleted") {
      this.#report(observed, true);
      await this.#context.status.finish(pod);
    }
    await erasePod(this.#context, pod, observed);
    this.#context.images.forget(this.uid);
    this.#context.mounts.forget(this.uid);
    this.#context.crashes.forget(`${this.uid}/`);
    this.#context.status.forget(this.uid);
    this.#advance({ type: "cleaned" });
    return 0;
  }

  #report(observed: ObservedPod, podIsOver: boolean): PodStatus {
    const { status, runtimeName, prober, node, clock, counts } = this.#context;
    const previous = status.current(this.#pod);
    const computed = computePodStatus({
      pod: this.allocatedPod,
      observed,
      previous,
      runtimeName,
      waiting: this.#waiting,
      ready: (id) => prober.ready(id),
      started: (id) => prober.started(id),
      terminationMessages: this.#messages,
      podIsOver,
      now: clock.now(),
      hostIps: node().hostIps,
      verdict: this.#verdict,
      actuated: (id) => this.#resources.actuated(id),
      recursiveReadOnly: node().handlers.get(observed.sandboxes[0]?.runtimeHandler ?? "")?.recursiveReadOnlyMounts,
      resize: this.#resize,
    });
    status.set(this.#pod, computed);
    if (computed.phase === "Running" && (previous.phase ?? "Pending") === "Pending") {
      const { creationTimestamp } = this.#pod.metadata;
      const sinceCreatedMs = creationTimestamp === undefined ? undefined : clock.now() - Date.parse(creationTimestamp);
      counts?.podRuns(clock.monotonicMs() - this.#run.seenAt, sinceCreatedMs);
    }
    return computed;
  }

  /**
   * Reports what can be seen while a longer step goes on. A look that a newer one overtook is dropped: to it, containers
   * that were reported since would seem lost, and their restarts be counted.
   */
  #reportSoon(signal: AbortSignal): void {
    const look = ++this.#run.looks;
    observe(this.#context.runtime, this.uid, signal)
      .then((observed) => {
        if (signal.aborted || look !== this.#run.looks || this.#lifecycle.state !== "syncing") return;
        this.#report(observed, false);
      })
      .catch((error: unknown) => {
        // The step's end reports anyway.
        this.#log.debug({ err: error }, "early status report failed");
      });
  }

  async #readMessages(observed: ObservedPod): Promise<void> {
    const ended = observed.containers.filter((c) => c.state === "exited");
    const { spec } = this.#pod;
    const count = (spec?.initContainers?.length ?? 0) + (spec?.containers.length ?? 0);
    for (const container of ended) {
      if (this.#messages.has(container.id)) continue;
      const message = await readTerminationMessage(container, count);
      if (message !== "") this.#messages.set(container.id, message);
    }
    const known = new Set(observed.containers.map((c) => c.id));
    for (const id of this.#messages.keys()) if (!known.has(id)) this.#messages.delete(id);
  }

  /** Brings changed ConfigMaps, Secrets and tokens into the running pod. */
  async #refreshVolumes(observed: ObservedPod): Promise<void> {
    const { clock, mounts } = this.#context;
    this.#run.lastRefresh = clock.monotonicMs();
    if ((this.#pod.spec?.volumes?.length ?? 0) === 0 || observed.containers.length === 0) return;
    await mounts.setUp(this.#pod, observed.ips);
  }
}

interface RunState {
  dirty: boolean;
  wake: (() => void) | undefined;
  /** Aborts the step under way. */
  step: AbortController;
  lastRefresh: number;
  /** How many looks at the runtime were begun. */
  looks: number;
  /** Until then, failed starts are left alone. */
  retryAt: number;
  /** When the pod came, on the steady clock. */
  seenAt: number;
}

/** Conditions that this kubelet computes; those of others (readiness gates) matter to the Ready condition. */
const OWN_CONDITIONS = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/** Whether a new version of a pod differs in more than the status that we wrote ourselves. */
function asksForSync(before: Pod, after: Pod): boolean {
  const view = ({ metadata, spec, status }: Pod) => {
    const { labels, annotations, deletionTimestamp, deletionGracePeriodSeconds } = metadata;
    const others = status?.conditions?.filter((c) => !OWN_CONDITIONS.includes(c.type));
    return { labels, annotations, deletionTimestamp, deletionGracePeriodSeconds, spec, others };
  };
  return before === after || !sameJson(view(before), view(after));
}
