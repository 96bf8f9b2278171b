/**
 * The loop: pop a pod, run one cycle on the cache, assume the pod on its node, bind it in the background.
 *
 * Inputs: informers (as onNode, onPod, onOther), the clock. Never awaits between snapshot and assume, so that a cycle sees
 * one state of the cluster. A binding that fails is undone in the cache and the pod goes back to the queue.
 */
import { setImmediate } from "node:timers/promises";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { SchedulerCache } from "./core/cache.ts";
import type { ClusterEvent } from "./core/cluster-event.ts";
import { type CycleResult, type Placed, runCycle, type Unschedulable } from "./core/cycle.ts";
import type { DecisionLog, Outcome } from "./core/decisions.ts";
import { renderFitError } from "./core/fit-error.ts";
import { Code, type Framework, type PluginStatus, type PreemptionPlan } from "./core/framework.ts";
import { nodeChange } from "./core/node-change.ts";
import type { Nominations } from "./core/nominations.ts";
import { isTerminal, type PodInfo, podId, podInfoOf, schedulerNameOf } from "./core/pod-info.ts";
import { type QueuedPod, SchedulingQueue } from "./core/queue.ts";
import { RefusalMemo } from "./core/refusal-memo.ts";
import { CycleTimes } from "./cycle-times.ts";
import type { SchedulerMetrics } from "./metrics.ts";

/** What the loop tells the cluster besides bindings. Neither may throw. */
export interface SchedulerReports {
  scheduled(pod: Pod, nodeName: string): void;
  /** `reason` is the PodScheduled condition's; `nominate` sets ("node") or clears ("") the pod's nominated node. */
  failed(pod: Pod, reason: "Unschedulable" | "SchedulerError", message: string, nominate?: string): void;
  /** The node that was being made free for the pod goes to another one. */
  clearNomination(pod: Pod): void;
}
/** Removes pods for another one. Resolves when every victim was asked to go; rejects when one could not be. */
export type Preempt = (pod: Pod, plan: PreemptionPlan, signal: AbortSignal) => Promise<void>;

export interface SchedulerOptions {
  readonly frameworks: ReadonlyMap<string, Framework>;
  readonly nominations: Nominations;
  /** Pods for which others are being removed right now; shared with the plugins. */
  readonly preempting: Set<string>;
  readonly preempt: Preempt;
  readonly reports: SchedulerReports;
  readonly decisions: DecisionLog;
  readonly metrics: SchedulerMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly maxUnschedulableMs: number;
  readonly percentageOfNodesToScore: number;
  /** The pod as the informer has it now. */
  readonly currentPod: (namespace: string, name: string) => Pod | undefined;
  readonly random?: () => number;
}

/** Bindings under way at once: enough to hide the API's latency, few enough to leave it air. */
const MAX_BINDINGS = 32;
/** How long the removal of all victims may take before the pod is tried anew. */
const PREEMPT_TIMEOUT_MS = 30_000;
/** A bound pod that no watch event has shown for so long is not believed any more. */
const ASSUME_EXPIRY_MS = 15 * 60_000;
const EXPIRY_CHECK_MS = 1000;
/** Informers and timers share this thread: they get a turn at least this often. */
const SLICE_MS = 5;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #cache = new SchedulerCache();
  readonly #queue: SchedulingQueue;
  readonly #memo = new RefusalMemo();
  readonly #times: CycleTimes;
  readonly #running = new Set<Promise<void>>();
  #bindings = 0;
  #startIndex = 0;
  #checkedExpiryMs = 0;
  #wake: (() => void) | undefined;

  constructor(options: SchedulerOptions) {
    const [first] = options.frameworks.values();
    if (first === undefined) throw new Error("a scheduler needs at least one profile");
    this.#options = options;
    this.#times = new CycleTimes(options.metrics, () => this.#now());
    this.#queue = new SchedulingQueue({
      frameworkFor: (pod) => options.frameworks.get(schedulerNameOf(pod)),
      compare: (a, b) => first.queueSort.compare(a, b),
      initialBackoffMs: options.initialBackoffMs,
      maxBackoffMs: options.maxBackoffMs,
      maxUnschedulableMs: options.maxUnschedulableMs,
      onIncoming: (queue, event) => options.metrics.incomingPods.inc({ queue, event }),
    });
  }

  get queueSizes(): SchedulingQueue["sizes"] {
    return this.#queue.sizes;
  }
  get cacheSizes(): SchedulerCache["sizes"] {
    return this.#cache.sizes;
  }

  /** Where a pod waits, for people who ask. */
  queueStateOf(namespace: string, name: string): { queue: string; attempts: number; refusedBy: string[] } | undefined {
    const pod = this.#options.currentPod(namespace, name);
    const entry = pod && this.#queue.find(podId(pod));
    if (entry === undefined) return undefined;
    return { queue: entry.place, attempts: entry.attempts, refusedBy: [...entry.refusedBy] };
  }

  onNode(old: Node | undefined, node: Node | undefined): void {
    if (node !== undefined) this.#cache.setNode(node);
    else if (old !== undefined) this.#cache.removeNode(old.metadata.name ?? "");
    const change = nodeChange(old, node);
    if (change !== undefined) this.#event(change);
  }

  onPod(old: Pod | undefined, pod: Pod | undefined): void {
    // A pod replaced by another of the same name between two lists arrives as an update with another uid.
    if (old !== undefined && pod !== undefined && old.metadata.uid !== pod.metadata.uid) {
      this.onPod(old, undefined);
      this.onPod(undefined, pod);
      return;
    }
    const current = pod ?? old;
    if (current === undefined) return;
    if (pod === undefined) {
      const { namespace = "", name = "", uid = "" } = current.metadata;
      this.#options.decisions.forget(namespace, name, uid);
    }
    if (isAssigned(current)) this.#onAssignedPod(old, pod);
    else if (pod === undefined || !this.#isOurs(pod)) this.#onPendingPodGone(current);
    else if (!this.#cache.isAssumed(pod)) this.#onPendingPod(old, pod);
  }

  /** Something else that plugins look at changed. */
  onOther(event: ClusterEvent): void {
    this.#event(event);
  }

  /** Places pods until the signal aborts, then waits for the bindings under way. */
  async run(signal: AbortSignal): Promise<void> {
    let sinceYieldMs = this.#now();
    while (!signal.aborted) {
      this.#expire();
      const entry = this.#queue.pop(this.#now());
      if (entry === undefined) {
        await this.#idle(signal);
        sinceYieldMs = this.#now();
        continue;
      }
      this.#scheduleOne(entry, signal);
      while (this.#bindings >= MAX_BINDINGS && !signal.aborted) await Promise.race(this.#running);
      if (this.#now() - sinceYieldMs > SLICE_MS) {
        await setImmediate();
        sinceYieldMs = this.#now();
      }
    }
    await Promise.allSettled(this.#running);
    signal.throwIfAborted();
  }

  /** One turn of the loop; false when nothing waits. For run() and for what measures the cycle alone. */
  scheduleNext(signal: AbortSignal): boolean {
    const entry = this.#queue.pop(this.#now());
    if (entry !== undefined) this.#scheduleOne(entry, signal);
    return entry !== undefined;
  }

  #scheduleOne(entry: QueuedPod, signal: AbortSignal): void {
    const { pod } = entry;
    const framework = this.#options.frameworks.get(schedulerNameOf(pod));
    if (framework === undefined || pod.metadata.deletionTimestamp !== undefined || this.#cache.isAssumed(pod)) {
      this.#queue.done(pod);
      return;
    }
    const startedMs = this.#now();
    const result = this.#tryCycle(framework, pod);
    this.#options.metrics.algorithmSeconds.observe((this.#now() - startedMs) / 1000);
    if (result.kind === "unschedulable") return this.#onUnschedulable(entry, result, startedMs);
    if (result.kind === "error") return this.#onError(entry, result.status, startedMs);
    this.#startIndex = (this.#startIndex + result.evaluated) % Math.max(1, this.#cache.sizes.nodes);
    this.#assume(pod, result.nodeName);
    const refusal = this.#reserve(framework, pod, result);
    this.#start(() =>
      refusal === undefined
        ? this.#bindingCycle(framework, entry, pod, { result, startedMs, signal })
        : this.#onBindFailed(framework, entry, pod, { result, failure: refusal, startedMs }),
    );
  }

  #tryCycle(framework: Framework, pod: Pod): CycleResult {
    const info = podInfoOf(pod);
    const known = this.#memo.find(info);
    if (known !== undefined) return known;
    try {
      const result = runCycle(framework, info, this.#cache.snapshot(), {
        random: this.#options.random ?? Math.random,
        startIndex: this.#startIndex,
        percentageOfNodesToScore: this.#options.percentageOfNodesToScore,
        nominations: this.#options.nominations,
        observer: this.#times.observer(framework.profileName),
      });
      if (result.kind === "unschedulable") this.#memo.remember(info, result);
      return result;
    } catch (error) {
      // A malformed pod or a plugin's bug costs this pod its turn and must not stop the others.
      this.#options.log.error({ err: error, pod: keyString(keyOf(pod)) }, "scheduling cycle failed");
      const message = error instanceof Error ? error.message : String(error);
      return { kind: "error", status: { code: Code.Error, reasons: [message], plugin: "" } };
    }
  }

  #assume(pod: Pod, nodeName: string): void {
    this.#cache.assume(pod, nodeName);
    this.#options.nominations.delete(podId(pod));
    this.#memo.forgetAll();
  }

  #reserve(framework: Framework, pod: Pod, { state, nodeName }: Placed): PluginStatus | undefined {
    for (const plugin of framework.reserve) {
      const status = plugin.reserve?.(state, podInfoOf(pod), nodeName);
      if (status !== undefined) return status;
    }
    return undefined;
  }

  /** Runs `work` aside; run() waits for it at the end. */
  #start(work: () => Promise<void> | void): void {
    const task = (async () => work())()
      .catch((error: unknown) => this.#options.log.error({ err: error }, "binding cycle failed"))
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  async #bindingCycle(
    framework: Framework,
    entry: QueuedPod,
    pod: Pod,
    of: { readonly result: Placed; readonly startedMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const info = podInfoOf(pod);
    const waits = framework.preBind.some((plugin) => plugin.needsPreBind?.(of.result.state, info) !== false);
    // A pod whose volumes take minutes must not hold up those that only need a request.
    if (!waits) this.#bindings++;
    let failure: PluginStatus | undefined;
    try {
      failure = await this.#bind(framework, pod, of.result, of.signal);
    } catch (error) {
      // Aborted, or a plugin broke its contract: either way this pod is not bound and is tried again.
      failure = { code: Code.Error, reasons: [error instanceof Error ? error.message : String(error)], plugin: "" };
    } finally {
      if (!waits) this.#bindings--;
    }
    if (failure !== undefined) this.#onBindFailed(framework, entry, pod, { ...of, failure });
    else this.#onBound(framework, entry, pod, of);
  }

  async #bind(
    framework: Framework,
    pod: Pod,
    { state, nodeName }: Placed,
    signal: AbortSignal,
  ): Promise<PluginStatus | undefined> {
    const info = podInfoOf(pod);
    const refused = await this.#permit(framework, info, { state, nodeName }, signal);
    if (refused !== undefined) return refused;
    for (const plugin of framework.preBind) {
      if (plugin.needsPreBind?.(state, info) === false) continue;
      const status = await plugin.preBind(state, info, nodeName, signal);
      if (status !== undefined) return status;
    }
    for (const plugin of framework.bind) {
      const status = await plugin.bind(pod, nodeName, signal);
      if (status?.code !== Code.Skip) return status;
    }
    return { code: Code.Error, reasons: ["no bind plugin took the pod"], plugin: "" };
  }

  async #permit(
    framework: Framework,
    info: PodInfo,
    { state, nodeName }: Pick<Placed, "state" | "nodeName">,
    signal: AbortSignal,
  ): Promise<PluginStatus | undefined> {
    if (framework.permit.length === 0) return undefined;
    const startedMs = this.#now();
    let refusal: PluginStatus | undefined;
    for (const plugin of framework.permit) {
      refusal = await plugin.permit(state, info, nodeName, signal);
      if (refusal !== undefined) break;
    }
    const result = refusal === undefined ? "Success" : "Unschedulable";
    this.#options.metrics.permitWaitSeconds.observe({ result }, (this.#now() - startedMs) / 1000);
    return refusal;
  }

  #onBound(
    framework: Framework,
    entry: QueuedPod,
    pod: Pod,
    { result, startedMs }: { readonly result: Placed; readonly startedMs: number },
  ): void {
    const { metrics, reports } = this.#options;
    this.#cache.finishBinding(pod, this.#now() + ASSUME_EXPIRY_MS);
    this.#queue.done(pod);
    this.#observe("scheduled", framework.profileName, startedMs);
    metrics.podAttempts.observe(entry.attempts);
    const attempts = entry.attempts >= 16 ? "16+" : String(entry.attempts);
    metrics.podSchedulingSeconds.observe({ attempts }, (this.#now() - entry.addedAtMs) / 1000);
    for (const plugin of framework.postBind) plugin.postBind(pod, result.nodeName);
    this.#decide(entry, pod, { kind: "placed", placed: result, totalNodes: this.#cache.sizes.nodes });
    reports.scheduled(pod, result.nodeName);
  }

  #onBindFailed(
    framework: Framework,
    entry: QueuedPod,
    pod: Pod,
    of: { readonly result: Placed; readonly failure: PluginStatus; readonly startedMs: number },
  ): void {
    const { log, reports } = this.#options;
    const { result, failure, startedMs } = of;
    for (const plugin of framework.reserve.toReversed()) {
      plugin.unreserve?.(result.state, podInfoOf(pod), result.nodeName);
    }
    this.#cache.forget(pod);
    this.#observe("error", framework.profileName, startedMs);
    log.warn({ pod: keyString(keyOf(pod)), node: result.nodeName, reasons: failure.reasons }, "binding failed");
    const message = failure.reasons.join(", ");
    this.#decide(entry, pod, { kind: "placed", placed: result, totalNodes: this.#cache.sizes.nodes, error: message });
    this.#queue.failed(pod, failure.code === Code.Error ? new Set() : new Set([failure.plugin]), this.#now());
    // What the forgotten pod held is free again for others.
    this.#event({ resource: "AssignedPod", action: "Delete", pod });
    if (this.#queue.find(podId(pod)) !== undefined) reports.failed(pod, "SchedulerError", message);
  }

  #onError(entry: QueuedPod, status: PluginStatus, startedMs: number): void {
    const { pod } = entry;
    const message = status.reasons.join(", ");
    this.#observe("error", schedulerNameOf(pod), startedMs);
    this.#queue.failed(pod, new Set(), this.#now());
    this.#decide(entry, pod, { kind: "error", message });
    this.#options.reports.failed(pod, "SchedulerError", message);
  }

  #onUnschedulable(entry: QueuedPod, result: Unschedulable, startedMs: number): void {
    const { pod } = entry;
    const { nominations, metrics, reports } = this.#options;
    const { plugins } = result.diagnosis;
    this.#observe("unschedulable", schedulerNameOf(pod), startedMs);
    const plan = result.postFilter?.plan;
    if (result.postFilter !== undefined) metrics.preemptionAttempts.inc();
    let nominate: string | undefined;
    if (plan !== undefined) {
      nominate = plan.nodeName;
      nominations.set(podInfoOf(pod), plan.nodeName);
      this.#memo.forgetAll();
      this.#preempt(pod, plan);
    } else if (result.postFilter?.clearNomination === true && this.#isNominated(pod)) {
      nominate = "";
      nominations.delete(podId(pod));
      this.#memo.forgetAll();
    }
    // Without nodes nothing refused; only a node can help.
    this.#queue.failed(pod, plugins.size === 0 ? new Set(["NodeName"]) : plugins, this.#now());
    this.#decide(entry, pod, { kind: "unschedulable", refused: result });
    reports.failed(pod, "Unschedulable", renderFitError(result.diagnosis), nominate);
  }

  #isNominated(pod: Pod): boolean {
    return (pod.status?.nominatedNodeName ?? "") !== "" || this.#options.nominations.nodeOf(podId(pod)) !== undefined;
  }

  /** Removes the victims aside. Until all were asked to go the pod waits at its PreEnqueue. */
  #preempt(pod: Pod, plan: PreemptionPlan): void {
    const { preempting, preempt, metrics, nominations, log } = this.#options;
    const id = podId(pod);
    metrics.preemptionVictims.observe(plan.victims.length);
    // Pods of lower priority that were to get the node look for another one.
    for (const other of [...nominations.on(plan.nodeName)]) {
      if (other.priority >= podInfoOf(pod).priority || other.id === id) continue;
      nominations.delete(other.id);
      this.#options.reports.clearNomination(other.pod);
    }
    preempting.add(id);
    this.#start(async () => {
      try {
        await preempt(pod, plan, AbortSignal.timeout(PREEMPT_TIMEOUT_MS));
      } catch (error) {
        log.warn({ err: error, pod: keyString(keyOf(pod)), node: plan.nodeName }, "preemption failed");
        nominations.delete(id);
        this.#queue.activate(id, this.#now());
      } finally {
        preempting.delete(id);
        this.#queue.recheck(id, this.#now());
        this.#wake?.();
      }
    });
  }

  #onAssignedPod(old: Pod | undefined, pod: Pod | undefined): void {
    if (pod === undefined) {
      if (old === undefined) return;
      this.#cache.removePod(old);
      this.#event({ resource: "AssignedPod", action: "Delete", pod: old });
      return;
    }
    const isNew = old === undefined || !isAssigned(old);
    if (isNew) {
      this.#queue.delete(pod);
      this.#options.nominations.delete(podId(pod));
    }
    this.#cache.setPod(pod);
    if (isTerminal(pod)) this.#event({ resource: "AssignedPod", action: "Delete", pod });
    else if (isNew) this.#event({ resource: "AssignedPod", action: "Add", pod });
    else if (assignedPodChanged(old, pod)) this.#event({ resource: "AssignedPod", action: "Update", old, pod });
  }

  #onPendingPodGone(pod: Pod): void {
    this.#queue.delete(pod);
    this.#options.nominations.delete(podId(pod));
    if (!this.#cache.isAssumed(pod)) return;
    this.#cache.removePod(pod);
    this.#event({ resource: "AssignedPod", action: "Delete", pod });
  }

  #onPendingPod(old: Pod | undefined, pod: Pod): void {
    const nominated = pod.status?.nominatedNodeName ?? "";
    const before = old?.status?.nominatedNodeName ?? "";
    if (nominated !== "") this.#options.nominations.set(podInfoOf(pod), nominated);
    // Taken back by somebody; one of ours that the API does not show yet has no `before`.
    else if (before !== "") this.#options.nominations.delete(podId(pod));
    this.#queue.upsert(pod, this.#now());
    this.#wake?.();
  }

  #isOurs(pod: Pod): boolean {
    return (
      this.#options.frameworks.has(schedulerNameOf(pod)) &&
      pod.metadata.deletionTimestamp === undefined &&
      !isTerminal(pod)
    );
  }

  #event(event: ClusterEvent): void {
    this.#memo.forgetAll();
    if (this.#queue.onEvent(event, this.#now()) > 0) this.#wake?.();
  }

  #expire(): void {
    const nowMs = this.#now();
    if (nowMs - this.#checkedExpiryMs < EXPIRY_CHECK_MS) return;
    this.#checkedExpiryMs = nowMs;
    for (const pod of this.#cache.expire(nowMs)) {
      this.#options.log.warn({ pod: keyString(keyOf(pod)) }, "a binding was never seen; the pod is placed anew");
      this.#event({ resource: "AssignedPod", action: "Delete", pod });
      const current = this.#options.currentPod(pod.metadata.namespace ?? "", pod.metadata.name ?? "");
      if (current !== undefined) this.onPod(undefined, current);
    }
  }

  async #idle(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const next = this.#queue.nextFlushMs();
    const cancel =
      next === undefined ? undefined : this.#options.clock.setTimeout(resolve, Math.max(0, next - this.#now()));
    this.#wake = resolve;
    const onAbort = () => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) resolve();
    await promise;
    cancel?.();
    signal.removeEventListener("abort", onAbort);
    this.#wake = undefined;
  }

  /** Brings the gauges up to date; they are read seldom and change all the time. */
  reportSizes(): void {
    const { metrics } = this.#options;
    for (const queue of ["active", "backoff", "unschedulable", "gated"] as const) {
      metrics.pendingPods.set({ queue }, this.#queue.sizes[queue]);
    }
    metrics.unschedulablePods.reset();
    for (const { count, ...labels } of this.#queue.unschedulableCounts()) metrics.unschedulablePods.set(labels, count);
    metrics.inflightEvents.set({ event: "all" }, this.#queue.inFlightEvents);
    const { nodes, pods, assumed } = this.#cache.sizes;
    metrics.cacheSize.set({ type: "nodes" }, nodes);
    metrics.cacheSize.set({ type: "pods" }, pods);
    metrics.cacheSize.set({ type: "assumed_pods" }, assumed);
    metrics.goroutines.set({ operation: "binding" }, this.#running.size);
  }

  #decide(entry: QueuedPod, pod: Pod, outcome: Outcome): void {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    const profile = schedulerNameOf(pod);
    const atMs = this.#options.clock.now();
    const head = { id: entry.id, namespace, pod: name, uid, profile, atMs, attempt: entry.attempts };
    this.#options.decisions.record(head, outcome);
  }

  #observe(result: string, profile: string, startedMs: number): void {
    this.#options.metrics.attempts.inc({ result, profile });
    this.#options.metrics.attemptSeconds.observe({ result, profile }, (this.#now() - startedMs) / 1000);
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}

function isAssigned(pod: Pod): boolean {
  return (pod.spec?.nodeName ?? "") !== "";
}

/** Labels, resources and a beginning end matter to other pods; the rest of an update does not. */
function assignedPodChanged(old: Pod, pod: Pod): boolean {
  return (
    old.metadata.generation !== pod.metadata.generation ||
    JSON.stringify(old.metadata.labels) !== JSON.stringify(pod.metadata.labels) ||
    old.metadata.deletionTimestamp !== pod.metadata.deletionTimestamp
  );
}
