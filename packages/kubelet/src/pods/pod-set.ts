/** The pods of this node, one worker each: hands them what their sources and the runtime tell. */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { refusePod, refuseResize } from "../core/admission.ts";
import { refuseFeatures } from "../core/feature-admission.ts";
import { refuseUnderPressure } from "../eviction/admit-under-pressure.ts";
import type { PressureCondition } from "../eviction/signals.ts";
import type { PodContext } from "./pod-context.ts";
import { PodWorker, type Verdict } from "./pod-worker.ts";

export interface PodSetOptions {
  readonly node: () => Node | undefined;
  readonly pressures: () => readonly PressureCondition[];
  readonly onGone: (uid: string) => void;
}

export class PodSet {
  readonly #context: PodContext;
  readonly #node: () => Node | undefined;
  readonly #pressures: () => readonly PressureCondition[];
  readonly #workers = new Map<string, PodWorker>();
  readonly #running = new Set<Promise<void>>();
  #signal: AbortSignal | undefined;
  readonly #onGone: (uid: string) => void;

  constructor(context: PodContext, options: PodSetOptions) {
    this.#context = context;
    this.#node = options.node;
    this.#pressures = options.pressures;
    this.#onGone = options.onGone;
  }

  get(uid: string): PodWorker | undefined {
    return this.#workers.get(uid);
  }

  find(namespace: string, name: string): PodWorker | undefined {
    const all = [...this.#workers.values()].filter(
      (w) => w.pod.metadata.namespace === namespace && w.pod.metadata.name === name,
    );
    return all.find((w) => w.lifecycle.state === "syncing") ?? all[0];
  }

  list(): PodWorker[] {
    return [...this.#workers.values()];
  }

  /** A pod is new or changed in its source. */
  set(pod: Pod): void {
    const uid = pod.metadata.uid ?? "";
    const existing = this.#workers.get(uid);
    if (existing !== undefined) {
      existing.update(pod);
      return;
    }
    const worker = new PodWorker(this.#context, pod, {
      admit: (p) => this.#admit(p),
      refuseResize: (p) => this.#refuseResize(p),
      onFreed: () => this.#retryResizes(),
    });
    this.#workers.set(uid, worker);
    worker.update(pod);
    if (this.#signal !== undefined) this.#start(worker, this.#signal);
  }

  /** A pod left its source. */
  remove(uid: string): void {
    const worker = this.#workers.get(uid);
    if (worker === undefined) return;
    const { deletionGracePeriodSeconds } = worker.pod.metadata;
    worker.terminate("removed", deletionGracePeriodSeconds ?? worker.pod.spec?.terminationGracePeriodSeconds ?? 30);
  }

  /** The runtime has something of a pod that no source knows: it is ended and taken away. */
  adoptOrphan(pod: Pod): void {
    this.set(pod);
    this.remove(pod.metadata.uid ?? "");
  }

  kick(uid: string): void {
    this.#workers.get(uid)?.kick();
  }

  /** What a start of the pod failed for may be there now. */
  retry(uid: string): void {
    this.#workers.get(uid)?.retryNow();
  }

  retryAll(): void {
    for (const worker of this.#workers.values()) worker.retryNow();
  }

  /** Runs every worker until the signal aborts; pods go on running without us. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    for (const worker of this.#workers.values()) this.#start(worker, signal);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.all(this.#running);
  }

  #start(worker: PodWorker, signal: AbortSignal): void {
    const task = worker.run(signal).then(() => {
      this.#running.delete(task);
      if (worker.lifecycle.state !== "gone") return;
      this.#workers.delete(worker.uid);
      this.#retryResizes();
      this.#onGone(worker.uid);
    });
    this.#running.add(task);
  }

  #admit(pod: Pod): Verdict | undefined {
    const pressed = refuseUnderPressure(pod, this.#pressures());
    if (pressed !== undefined) return pressed;
    const { config, node: facts } = this.#context;
    const missing = refuseFeatures(pod, { ...facts(), allowedUnsafeSysctls: config.allowedUnsafeSysctls });
    if (missing !== undefined) return missing;
    const node = this.#node();
    // Without a node object (no API server) there is nothing to judge by.
    if (node?.status?.allocatable === undefined) return undefined;
    const others = this.list().filter((w) => w.holdsResources && w.uid !== pod.metadata.uid);
    return refusePod(
      pod,
      node,
      others.map((w) => w.allocatedPod),
    );
  }

  #refuseResize(pod: Pod) {
    const node = this.#node();
    if (node?.status?.allocatable === undefined) return undefined;
    const others = this.list().filter((w) => w.holdsResources && w.uid !== pod.metadata.uid);
    return refuseResize(
      pod,
      node,
      others.map((w) => w.allocatedPod),
    );
  }

  #retryResizes(): void {
    for (const worker of this.#workers.values()) if (worker.resizeIsPending) worker.kick();
  }
}
