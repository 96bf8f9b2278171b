/** The pods of this node, one worker each: hands them what their sources and the runtime tell. */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { judgePod, refusePod } from "../core/admission.ts";
import { isCriticalPod } from "../core/critical-pod.ts";
import { refuseFeatures } from "../core/feature-admission.ts";
import { planPreemption } from "../core/plan-preemption.ts";
import { qosClass } from "../core/qos.ts";
import type { ResizeRefusal } from "../core/resize.ts";
import { judgeResizes } from "../core/resize-order.ts";
import { refuseUnderPressure } from "../eviction/admit-under-pressure.ts";
import type { PressureCondition } from "../eviction/signals.ts";
import type { PodContext } from "./pod-context.ts";
import { PodWorker, type Verdict } from "./pod-worker.ts";

export interface PodSetOptions {
  readonly node: () => Node | undefined;
  /** Asks the API server; undefined: there is none. */
  readonly fetchNode?: (() => Promise<Node | undefined>) | undefined;
  readonly pressures: () => readonly PressureCondition[];
  /** Whether the machine is about to go down. */
  readonly goingDown: () => boolean;
  readonly onGone: (uid: string) => void;
}

/** No look at the runtime takes longer than a request to it may. */
const GONE_KEPT_MS = 300_000;

export class PodSet {
  readonly #context: PodContext;
  readonly #options: PodSetOptions;
  /** Of pods that wait for admission. */
  readonly #freshNodes = new Map<string, Node>();
  readonly #workers = new Map<string, PodWorker>();
  readonly #running = new Set<Promise<void>>();
  /** When pods went, on the steady clock, for as long as an older look at the runtime may still show them. */
  readonly #goneAt = new Map<string, number>();
  #signal: AbortSignal | undefined;
  readonly #onGone: (uid: string) => void;

  constructor(context: PodContext, options: PodSetOptions) {
    this.#context = context;
    this.#options = options;
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
      allocate: (p) => this.#allocate(p),
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

  /** Whether a look at the runtime, made at `lookedAt`, tells of a pod that was taken away since. */
  wentSince(uid: string, lookedAt: number): boolean {
    return (this.#goneAt.get(uid) ?? Number.NEGATIVE_INFINITY) >= lookedAt;
  }

  #noteGone(uid: string): void {
    const now = this.#context.clock.monotonicMs();
    for (const [other, at] of this.#goneAt) if (now - at > GONE_KEPT_MS) this.#goneAt.delete(other);
    this.#goneAt.set(uid, now);
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
      this.#noteGone(worker.uid);
      this.#retryResizes();
      this.#onGone(worker.uid);
    });
    this.#running.add(task);
  }

  /** Pods that may hold what is theirs alone: of the others nothing runs. */
  get live(): ReadonlySet<string> {
    return new Set(this.livePods.map((pod) => pod.metadata.uid ?? ""));
  }

  get livePods(): readonly Pod[] {
    const live = this.list().filter((w) => w.lifecycle.state === "syncing" || w.lifecycle.state === "terminating");
    return live.map((w) => w.pod);
  }

  async #allocate(pod: Pod): Promise<Verdict | undefined> {
    const { devices, cpus } = this.#context;
    const why = await devices.allocate(pod);
    if (why === undefined) return await cpus.allocate(pod);
    return { reason: "UnexpectedAdmissionError", message: `Allocate failed due to ${why}, which is unexpected` };
  }

  #admit(pod: Pod): Verdict | "wait" | "allocate" | undefined {
    if (this.#options.goingDown()) {
      return { reason: "NodeShutdown", message: "Pod was rejected as the node is shutting down." };
    }
    const pressed = refuseUnderPressure(pod, this.#options.pressures());
    if (pressed !== undefined) return pressed;
    const { config, node: facts } = this.#context;
    const missing = refuseFeatures(pod, { ...facts(), allowedUnsafeSysctls: config.allowedUnsafeSysctls });
    if (missing !== undefined) return missing;
    const { devices, cpus } = this.#context;
    if (devices.wantsDevices(pod) || cpus.wantsCpus(pod)) return "allocate";
    const uid = pod.metadata.uid ?? "";
    const told = this.#freshNodes.get(uid) ?? this.#options.node();
    const node = told && withAllocatable(told, devices.admissible());
    // Without a node object (no API server) there is nothing to judge by.
    if (node?.status?.allocatable === undefined) return undefined;
    const holders = this.list().filter((w) => w.holdsResources && w.uid !== uid);
    const others = holders.map((w) => w.allocatedPod);
    const refusal = refusePod(pod, node, others);
    if (refusal?.reason === "NodeAffinity" && this.#freshNodes.get(uid) === undefined && this.#fetchNode(uid)) {
      return "wait";
    }
    this.#freshNodes.delete(uid);
    if (refusal === undefined || !isCriticalPod(pod)) return refusal;
    const judgement = judgePod(pod, node, others);
    return judgement.refusals[0] ?? this.#makeRoom(pod, node, holders);
  }

  /** The scheduler may have seen labels that our view of the node lacks yet: asked for once per pod. */
  #fetchNode(uid: string): boolean {
    const { fetchNode } = this.#options;
    if (fetchNode === undefined) return false;
    fetchNode()
      // The API server is away: judged by what is known here.
      .catch(() => this.#options.node())
      .then((node) => {
        if (node !== undefined) this.#freshNodes.set(uid, node);
        this.retry(uid);
      });
    return true;
  }

  /** A critical pod waits until lesser ones have ended for it. */
  #makeRoom(pod: Pod, node: Node, holders: readonly PodWorker[]): Verdict | "wait" {
    const running = holders.filter((w) => w.lifecycle.state === "syncing").map((w) => w.allocatedPod);
    const { shortages } = judgePod(pod, node, running);
    // Those that are ending already are enough.
    if (shortages.length === 0) return "wait";
    try {
      for (const victim of planPreemption(pod, running, shortages)) this.#preempt(victim);
      return "wait";
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `Unexpected error while attempting to recover from admission failure: ${why}`;
      return { reason: "UnexpectedAdmissionError", message };
    }
  }

  #preempt(victim: Pod): void {
    const [reason, message] = ["Preempting", "Preempted in order to admit critical pod"];
    this.#context.events.pod(victim, "Warning", reason, message);
    const condition = {
      type: "DisruptionTarget",
      reason: "TerminationByKubelet",
      message: "Pod was preempted by Kubelet to accommodate a critical pod.",
    };
    const graceSeconds = victim.spec?.terminationGracePeriodSeconds ?? 30;
    this.get(victim.metadata.uid ?? "")?.terminate("evicted", graceSeconds, { reason, message, condition });
  }

  #refuseResize(pod: Pod): ResizeRefusal | undefined {
    if (this.#context.cpus.isStatic && qosClass(pod) === "Guaranteed") {
      const message = "Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy";
      return { reason: "Infeasible", message };
    }
    const node = this.#options.node();
    if (node?.status?.allocatable === undefined) return undefined;
    const uid = pod.metadata.uid ?? "";
    const holders = this.list().filter((w) => w.holdsResources && w.uid !== uid);
    // Whoever asks, all that wait are judged together: the answer does not depend on whose turn it happens to be.
    const waiting = holders.filter((w) => w.resizeWaitsSince !== undefined);
    const requests = [
      { uid, allocated: this.get(uid)?.allocatedPod ?? pod, wanted: pod, since: this.get(uid)?.resizeWaitsSince },
      ...waiting.map((w) => ({ uid: w.uid, allocated: w.allocatedPod, wanted: w.pod, since: w.resizeWaitsSince })),
    ];
    const others = holders.filter((w) => !waiting.includes(w)).map((w) => w.allocatedPod);
    return judgeResizes(requests, node, others).get(uid);
  }

  #retryResizes(): void {
    for (const worker of this.#workers.values()) if (worker.resizeWaitsSince !== undefined) worker.kick();
  }
}

/** What is known here of devices is newer than what the node's object says. */
function withAllocatable(node: Node, amounts: Readonly<Record<string, string>>): Node {
  if (node.status?.allocatable === undefined || Object.keys(amounts).length === 0) return node;
  return { ...node, status: { ...node.status, allocatable: { ...node.status.allocatable, ...amounts } } };
}
