/**
 * The loop: pop a pod, run one cycle on a snapshot, assume the pod on its node, bind it in the background.
 *
 * Inputs: informers of pods and nodes (as onPod, onNode), the clock. Never awaits between snapshot and assume, so that a cycle
 * sees one state of the cluster. A binding that fails is undone in the cache and the pod goes back to the queue.
 */
import { setImmediate } from "node:timers/promises";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { type CycleResult, runCycle } from "./core/cycle.ts";
import { refusingPlugins, renderFitError } from "./core/fit-error.ts";
import { type ClusterEvent, Code, type CycleState, type Framework, type PluginStatus } from "./core/framework.ts";
import { type QueuedPod, SchedulingQueue } from "./core/queue.ts";
import { isTerminal, SchedulerCache } from "./core/snapshot.ts";
import type { SchedulerMetrics } from "./metrics.ts";
import { pluginsByName } from "./plugins/index.ts";

/** What the loop tells the cluster besides bindings. Neither may throw. */
export interface SchedulerReports {
  scheduled(pod: Pod, nodeName: string): void;
  /** `reason` is the PodScheduled condition's. */
  failed(pod: Pod, reason: "Unschedulable" | "SchedulerError" | "SchedulingGated", message: string): void;
}

export interface SchedulerOptions {
  readonly frameworks: ReadonlyMap<string, Framework>;
  readonly reports: SchedulerReports;
  readonly metrics: SchedulerMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly maxUnschedulableMs: number;
  readonly percentageOfNodesToScore: number;
  readonly random?: () => number;
}

/** Bindings under way at once: enough to hide the API's latency, few enough to leave it air. */
const MAX_BINDINGS = 64;
/** How long one binding may take before the pod is tried anew. */
const BIND_TIMEOUT_MS = 30_000;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #cache = new SchedulerCache();
  readonly #queue: SchedulingQueue;
  readonly #bindings = new Set<Promise<void>>();
  #startIndex = 0;
  #wake: (() => void) | undefined;

  constructor(options: SchedulerOptions) {
    const [first] = options.frameworks.values();
    if (first === undefined) throw new Error("a scheduler needs at least one profile");
    this.#options = options;
    this.#queue = new SchedulingQueue({
      sort: first.queueSort,
      preEnqueue: first.preEnqueue,
      plugins: pluginsByName(first),
      initialBackoffMs: options.initialBackoffMs,
      maxBackoffMs: options.maxBackoffMs,
      maxUnschedulableMs: options.maxUnschedulableMs,
    });
  }

  get queueSizes(): SchedulingQueue["sizes"] {
    return this.#queue.sizes;
  }

  onNode(old: Node | undefined, node: Node | undefined): void {
    if (node !== undefined) this.#cache.setNode(node);
    else if (old !== undefined) this.#cache.removeNode(old.metadata.name ?? "");
    if (old === undefined && node !== undefined) this.#event({ resource: "Node", action: "Add", node });
    else if (old !== undefined && node === undefined) this.#event({ resource: "Node", action: "Delete", node: old });
    else if (old !== undefined && node !== undefined && schedulingChanged(old, node)) {
      this.#event({ resource: "Node", action: "Update", old, node });
    }
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
    if (isAssigned(current)) this.#onAssignedPod(old, pod);
    else if (pod === undefined || !this.#isOurs(pod)) this.#onPendingPodGone(current);
    else if (!this.#cache.isAssumed(pod)) this.#onPendingPod(pod);
  }

  /** Places pods until the signal aborts, then waits for the bindings under way. */
  async run(signal: AbortSignal): Promise<void> {
    let sinceYieldMs = this.#now();
    while (!signal.aborted) {
      const entry = this.#queue.pop(this.#now());
      if (entry === undefined) {
        await this.#idle(signal);
        continue;
      }
      this.#scheduleOne(entry, signal);
      if (this.#bindings.size >= MAX_BINDINGS) await Promise.race(this.#bindings);
      // Informers and timers share this thread: let them in at least every few milliseconds.
      if (this.#now() - sinceYieldMs > 5) {
        await setImmediate();
        sinceYieldMs = this.#now();
      }
    }
    await Promise.allSettled(this.#bindings);
    signal.throwIfAborted();
  }

  #scheduleOne(entry: QueuedPod, signal: AbortSignal): void {
    const { pod } = entry;
    const profile = pod.spec?.schedulerName ?? "default-scheduler";
    const framework = this.#options.frameworks.get(profile);
    if (framework === undefined || pod.metadata.deletionTimestamp !== undefined || this.#cache.isAssumed(pod)) {
      this.#queue.done(pod);
      return;
    }
    const startedMs = this.#now();
    const snapshot = this.#cache.snapshot();
    const result = this.#tryCycle(framework, pod, snapshot);
    if (result.kind !== "placed") {
      this.#onNotPlaced(entry, result, startedMs);
      return;
    }
    this.#startIndex = (this.#startIndex + result.evaluated) % Math.max(1, snapshot.nodes.length);
    this.#cache.assume(pod, result.nodeName);
    const reserved = this.#reserve(framework, result.state, pod, result.nodeName);
    const binding = (reserved === undefined ? this.#bind(framework, pod, result, signal) : Promise.resolve(reserved))
      .then((failure) => this.#onBound(framework, entry, pod, result, failure, startedMs))
      .finally(() => this.#bindings.delete(binding));
    this.#bindings.add(binding);
  }

  #tryCycle(framework: Framework, pod: Pod, snapshot: ReturnType<SchedulerCache["snapshot"]>): CycleResult {
    try {
      return runCycle(framework, pod, snapshot, {
        random: this.#options.random ?? Math.random,
        startIndex: this.#startIndex,
        percentageOfNodesToScore: this.#options.percentageOfNodesToScore,
      });
    } catch (error) {
      // A malformed pod or a plugin's bug costs this pod its turn and must not stop the others.
      this.#options.log.error({ err: error, pod: keyString(keyOf(pod)) }, "scheduling cycle failed");
      const message = error instanceof Error ? error.message : String(error);
      return { kind: "error", status: { code: Code.Error, reasons: [message], plugin: "" } };
    }
  }

  #reserve(framework: Framework, state: CycleState, pod: Pod, nodeName: string): PluginStatus | undefined {
    for (const plugin of framework.reserve) {
      const status = plugin.reserve(state, pod, nodeName);
      if (status !== undefined) return status;
    }
    return undefined;
  }

  async #bind(
    framework: Framework,
    pod: Pod,
    placed: { readonly nodeName: string; readonly state: CycleState },
    signal: AbortSignal,
  ): Promise<PluginStatus | undefined> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(BIND_TIMEOUT_MS)]);
    try {
      for (const plugin of framework.permit) {
        const status = await plugin.permit(placed.state, pod, placed.nodeName, deadline);
        if (status !== undefined) return status;
      }
      for (const plugin of framework.preBind) {
        const status = await plugin.preBind(placed.state, pod, placed.nodeName, deadline);
        if (status !== undefined) return status;
      }
      for (const plugin of framework.bind) {
        const status = await plugin.bind(pod, placed.nodeName, deadline);
        if (status?.code !== Code.Skip) return status;
      }
      return { code: Code.Error, reasons: ["no bind plugin took the pod"], plugin: "" };
    } catch (error) {
      // Aborted, or a plugin broke its contract: either way this pod is not bound and is tried again.
      return { code: Code.Error, reasons: [error instanceof Error ? error.message : String(error)], plugin: "" };
    }
  }

  #onBound(
    framework: Framework,
    entry: QueuedPod,
    pod: Pod,
    placed: { readonly nodeName: string; readonly state: CycleState },
    failure: PluginStatus | undefined,
    startedMs: number,
  ): void {
    const { metrics, reports, log } = this.#options;
    if (failure === undefined) {
      this.#queue.done(pod);
      this.#observe("scheduled", framework.profileName, startedMs);
      const attempts = String(Math.min(entry.attempts, 15));
      metrics.podSchedulingSeconds.observe({ attempts }, (this.#now() - entry.addedAtMs) / 1000);
      for (const plugin of framework.postBind) plugin.postBind(pod, placed.nodeName);
      reports.scheduled(pod, placed.nodeName);
      return;
    }
    for (const plugin of framework.reserve.toReversed()) plugin.unreserve(placed.state, pod, placed.nodeName);
    this.#cache.forget(pod);
    this.#observe("error", framework.profileName, startedMs);
    log.warn({ pod: keyString(keyOf(pod)), node: placed.nodeName, reasons: failure.reasons }, "binding failed");
    this.#queue.failed(pod, new Set(), this.#now());
    // What the forgotten pod held is free again for others.
    this.#event({ resource: "AssignedPod", action: "Delete", pod });
    reports.failed(pod, "SchedulerError", failure.reasons.join(", "));
  }

  #onNotPlaced(entry: QueuedPod, result: Exclude<CycleResult, { kind: "placed" }>, startedMs: number): void {
    const { pod } = entry;
    const profile = pod.spec?.schedulerName ?? "";
    if (result.kind === "error") {
      this.#observe("error", profile, startedMs);
      this.#queue.failed(pod, new Set(), this.#now());
      this.#options.reports.failed(pod, "SchedulerError", result.status.reasons.join(", "));
      return;
    }
    this.#observe("unschedulable", profile, startedMs);
    const plugins = refusingPlugins(result.diagnosis);
    // Without nodes nothing refused; only a node can help.
    this.#queue.failed(pod, plugins.size === 0 ? new Set(["NodeName"]) : plugins, this.#now());
    this.#options.reports.failed(pod, "Unschedulable", renderFitError(result.diagnosis));
  }

  #onAssignedPod(old: Pod | undefined, pod: Pod | undefined): void {
    if (pod === undefined) {
      if (old === undefined) return;
      this.#cache.removePod(old);
      this.#event({ resource: "AssignedPod", action: "Delete", pod: old });
      return;
    }
    if (old === undefined || !isAssigned(old)) this.#queue.delete(pod);
    this.#cache.setPod(pod);
    if (isTerminal(pod)) this.#event({ resource: "AssignedPod", action: "Delete", pod });
    else if (old === undefined || !isAssigned(old)) this.#event({ resource: "AssignedPod", action: "Add", pod });
    else if (old.metadata.generation !== pod.metadata.generation) {
      this.#event({ resource: "AssignedPod", action: "Update", old, pod });
    }
  }

  #onPendingPodGone(pod: Pod): void {
    this.#queue.delete(pod);
    if (!this.#cache.isAssumed(pod)) return;
    this.#cache.removePod(pod);
    this.#event({ resource: "AssignedPod", action: "Delete", pod });
  }

  #onPendingPod(pod: Pod): void {
    this.#queue.upsert(pod, this.#now());
    this.#wake?.();
  }

  #isOurs(pod: Pod): boolean {
    return (
      this.#options.frameworks.has(pod.spec?.schedulerName ?? "default-scheduler") &&
      pod.metadata.deletionTimestamp === undefined &&
      !isTerminal(pod)
    );
  }

  #event(event: ClusterEvent): void {
    if (this.#queue.onEvent(event, this.#now()) > 0) this.#wake?.();
  }

  async #idle(signal: AbortSignal): Promise<void> {
    this.#reportSizes();
    const { promise, resolve } = Promise.withResolvers<void>();
    const next = this.#queue.nextFlushMs();
    const cancel = next === undefined ? undefined : this.#options.clock.setTimeout(resolve, next - this.#now());
    this.#wake = resolve;
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (signal.aborted) resolve();
    await promise;
    cancel?.();
    this.#wake = undefined;
  }

  #reportSizes(): void {
    for (const [queue, size] of Object.entries(this.#queue.sizes))
      this.#options.metrics.pendingPods.set({ queue }, size);
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

/** Heartbeats change a node every few seconds; only these parts matter for placing pods. */
function schedulingChanged(old: Node, node: Node): boolean {
  const parts = (n: Node) =>
    JSON.stringify([
      n.spec?.unschedulable,
      n.spec?.taints,
      n.metadata.labels,
      n.metadata.annotations,
      n.status?.allocatable,
      n.status?.conditions?.map((c) => [c.type, c.status]),
    ]);
  return parts(old) !== parts(node);
}
