/**
 * Keeps the node usable when memory, disk, inodes or pids run short: looks at the signals, tells the node's conditions, and,
 * once a threshold acts, first takes back what nobody uses, then ends one pod after the other until it is met no more.
 * Inputs: measured signals, the running pods and their usage. It must never end a critical or static pod.
 * Source: pkg/kubelet/eviction/eviction_manager.go
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { MeasuredNode } from "../adapters/node-signals.ts";
import { isCriticalPod } from "../core/critical-pod.ts";
import { hasStorageLimit, storageExcess } from "./local-storage.ts";
import { EVICTED, type EvictionText, evictionText } from "./messages.ts";
import { type DiskPart, EVERY_PART, type PodUsage } from "./pod-usage.ts";
import { NO_PRESSURE, nextPressure, type Pressure } from "./pressure.ts";
import { rankPods } from "./rank-pods.ts";
import { MEANING, type PressureCondition, type Signal } from "./signals.ts";
import { isHard, mostUrgent, type Threshold, thresholdsMet, withContainerFs } from "./thresholds.ts";

export interface PodCondition {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

export interface Eviction extends EvictionText {
  readonly reason: string;
  readonly graceSeconds: number;
  readonly condition: PodCondition | undefined;
}

/** What the manager does to the node; run.ts connects it. */
export interface EvictionNode {
  measure(): Promise<MeasuredNode>;
  /** Pods that run, or try to. */
  pods(): readonly Pod[];
  /** Usage by UID. `disk`: folders are measured, too, which takes a while. */
  usage(pods: readonly Pod[], disk: boolean): Promise<ReadonlyMap<string, PodUsage>>;
  evict(pod: Pod, eviction: Eviction): void;
  /** Whether nothing of the pod runs or is mounted any more. */
  isCleanedUp(pod: Pod): boolean;
  /** Removes ended containers and images that nobody uses. */
  reclaim(): Promise<void>;
  event(reason: string, message: string): void;
}

export interface EvictionOptions {
  readonly node: EvictionNode;
  readonly thresholds: readonly Threshold[];
  readonly transitionMs: number;
  /** The most that a soft eviction gives a pod to end. */
  readonly maxPodGraceSeconds: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** The node's conditions changed. */
  readonly onConditions: () => void;
}

/**
 * Differs from upstream: the node's own signals are read every second and not every ten, because they are a few files; pods
 * are measured as seldom as upstream does.
 */
const LOOK_MS = 1000;
const ACT_MS = 10_000;
const CLEANUP_TIMEOUT_MS = 30_000;
/** Hard evictions give no grace; a second is what the kernel needs. Source: immediateEvictionGracePeriodSeconds */
const IMMEDIATE_SECONDS = 1;

export class EvictionManager {
  readonly #options: EvictionOptions;
  #pressure: Pressure = NO_PRESSURE;
  #actedAt = Number.NEGATIVE_INFINITY;
  #limitsCheckedAt = Number.NEGATIVE_INFINITY;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  get conditions(): readonly PressureCondition[] {
    return this.#pressure.conditions;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        const evicted = await this.synchronize();
        if (evicted.length > 0) await this.#untilCleanedUp(evicted, signal);
      } catch (error) {
        // A runtime or a filesystem that does not answer now may do so at the next look.
        log.warn({ err: error }, "eviction: node not judged");
        await clock.sleep(ACT_MS, signal).catch(() => undefined);
      }
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }

  /** One look, and what follows from it. Returns the pods that were told to end. */
  async synchronize(): Promise<Pod[]> {
    const { clock, node, transitionMs, onConditions } = this.#options;
    const measured = await node.measure();
    const now = clock.monotonicMs();
    const thresholds = withContainerFs(this.#options.thresholds, measured.dedicatedImageFs);
    const before = this.#pressure.conditions;
    const { observations } = measured;
    const { pressure, due } = nextPressure(this.#pressure, { thresholds, observations, now, transitionMs });
    this.#pressure = pressure;
    if (before.join() !== pressure.conditions.join()) onConditions();
    const overfull = await this.#endOverfull(measured, now);
    if (overfull.length > 0) return overfull;
    const urgent = mostUrgent(due);
    if (urgent === undefined || now - this.#actedAt < ACT_MS) return [];
    this.#actedAt = now;
    const evicted = await this.#relieve(urgent, due, measured);
    // Whom to end next is judged anew as soon as this one is gone.
    if (evicted.length > 0) this.#actedAt = Number.NEGATIVE_INFINITY;
    return evicted;
  }

  async #relieve(threshold: Threshold, met: readonly Threshold[], measured: MeasuredNode): Promise<Pod[]> {
    const { log, node } = this.#options;
    const { resource } = MEANING[threshold.signal];
    log.warn({ signal: threshold.signal, resource }, "eviction: threshold met, reclaiming");
    node.event("EvictionThresholdMet", `Attempting to reclaim ${resource}`);
    if (await this.#reclaimed(threshold.signal, measured)) return [];
    const disk = resource === "ephemeral-storage" || resource === "inodes";
    const pods = node.pods();
    const usage = await node.usage(pods, disk);
    const parts = partsOn(threshold.signal, measured.dedicatedImageFs);
    for (const pod of rankPods(pods, resource, (p) => usage.get(p.metadata.uid ?? ""), parts)) {
      const text = evictionText(pod, resource, usage.get(pod.metadata.uid ?? ""), met, measured.observations);
      const condition = { type: "DisruptionTarget", reason: "TerminationByKubelet", message: text.message };
      if (this.#evict(pod, { ...text, reason: EVICTED, graceSeconds: this.#grace(pod, threshold), condition }))
        return [pod];
    }
    log.warn({ signal: threshold.signal }, "eviction: no pod can be evicted");
    return [];
  }

  #grace(pod: Pod, threshold: Threshold): number {
    if (isHard(threshold)) return IMMEDIATE_SECONDS;
    return Math.min(
      this.#options.maxPodGraceSeconds,
      pod.spec?.terminationGracePeriodSeconds ?? Number.POSITIVE_INFINITY,
    );
  }

  /** Takes back what nobody uses, where that can help; true when it was enough. */
  async #reclaimed(signal: Signal, { dedicatedImageFs }: MeasuredNode): Promise<boolean> {
    const { log, node } = this.#options;
    if (MEANING[signal].condition !== "DiskPressure") return false;
    if (dedicatedImageFs && signal.startsWith("nodefs.")) return false;
    try {
      await node.reclaim();
    } catch (error) {
      // Half a reclaim may be enough; the pods are judged by what is free now.
      log.warn({ err: error }, "eviction: reclaiming failed");
    }
    const after = await node.measure();
    const thresholds = withContainerFs(this.#options.thresholds, after.dedicatedImageFs);
    return thresholdsMet(thresholds, after.observations, true).length === 0;
  }

  /** Ends pods that wrote more than they may. */
  async #endOverfull({ dedicatedImageFs }: MeasuredNode, now: number): Promise<Pod[]> {
    const { node } = this.#options;
    if (now - this.#limitsCheckedAt < ACT_MS) return [];
    this.#limitsCheckedAt = now;
    const limited = node.pods().filter(hasStorageLimit);
    if (limited.length === 0) return [];
    const usage = await node.usage(limited, true);
    return limited.filter((pod) => {
      const own = usage.get(pod.metadata.uid ?? "");
      const message = own === undefined ? undefined : storageExcess(pod, own, dedicatedImageFs);
      if (message === undefined) return false;
      const eviction = {
        message,
        annotations: {},
        reason: EVICTED,
        graceSeconds: IMMEDIATE_SECONDS,
        condition: undefined,
      };
      return this.#evict(pod, eviction);
    });
  }

  #evict(pod: Pod, eviction: Eviction): boolean {
    const { log, node } = this.#options;
    const name = keyString(keyOf(pod));
    if (isCriticalPod(pod)) {
      log.warn({ pod: name }, "eviction: a critical pod is spared");
      return false;
    }
    log.warn({ pod: name, message: eviction.message, graceSeconds: eviction.graceSeconds }, "evicting pod");
    node.evict(pod, eviction);
    return true;
  }

  async #untilCleanedUp(pods: readonly Pod[], signal: AbortSignal): Promise<void> {
    const { clock, log, node } = this.#options;
    const deadline = clock.monotonicMs() + CLEANUP_TIMEOUT_MS;
    while (!signal.aborted && !pods.every((pod) => node.isCleanedUp(pod))) {
      if (clock.monotonicMs() > deadline) {
        log.warn({ pods: pods.map((p) => keyString(keyOf(p))) }, "eviction: pods not cleaned up in time");
        return;
      }
      await clock.sleep(LOOK_MS / 4, signal).catch(() => undefined);
    }
  }
}

/** What of a pod lies on the filesystem that a signal watches. Source: pkg/kubelet/eviction/helpers.go, buildSignalToRankFunc */
export function partsOn(signal: Signal, dedicatedImageFs: boolean): readonly DiskPart[] {
  if (!dedicatedImageFs) return EVERY_PART;
  return signal.startsWith("nodefs.") ? ["logs", "volumes"] : ["rootfs"];
}
