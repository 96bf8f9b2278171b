/**
 * Pods that wait for a node.
 *
 *             add                        pop
 *   gated ---------> active (heap) --------------> in flight ---> bound: done()
 *     ^                ^  ^                           |
 *     |   gate opened  |  | back-off over             | failed()
 *     +----------------+  +------- backoff <----------+---> unschedulable
 *                                    ^                           |
 *                                    +--- an event worth a retry -+  (and after 5 minutes in any case)
 *
 * Guarantees: a pod is in one place only; events that happen while a pod is in flight are not lost: if one was worth a
 * retry for a plugin that refused it, the pod goes to back-off and not to unschedulable. Pure: `nowMs` is an argument.
 * Source: pkg/scheduler/backend/queue, KEP-4247 (queueing hints)
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ClusterEvent, Plugin, PreEnqueuePlugin, QueueOrder, QueueSortPlugin } from "./framework.ts";
import { podId } from "./snapshot.ts";

export interface QueuedPod extends QueueOrder {
  pod: Pod;
  queuedAtMs: number;
  /** First time the pod was seen, for latency metrics. */
  readonly addedAtMs: number;
  attempts: number;
  /** Failures since the last change that reset the back-off. */
  failures: number;
  refusedBy: ReadonlySet<string>;
}

export interface QueueOptions {
  readonly sort: QueueSortPlugin;
  readonly preEnqueue: readonly PreEnqueuePlugin[];
  /** Plugins by name, for their hints. */
  readonly plugins: ReadonlyMap<string, Plugin>;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly maxUnschedulableMs: number;
}

export const QUEUE_DEFAULTS = { initialBackoffMs: 1000, maxBackoffMs: 10_000, maxUnschedulableMs: 300_000 } as const;

export class SchedulingQueue {
  readonly #options: QueueOptions;
  readonly #active: QueuedPod[] = [];
  readonly #activeIds = new Set<string>();
  readonly #backoff = new Map<string, { entry: QueuedPod; untilMs: number }>();
  readonly #unschedulable = new Map<string, { entry: QueuedPod; sinceMs: number }>();
  readonly #gated = new Map<string, QueuedPod>();
  /** In flight, with the events seen since the pod was popped. */
  readonly #inFlight = new Map<string, { entry: QueuedPod; events: ClusterEvent[] }>();

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  get sizes(): { active: number; backoff: number; unschedulable: number; gated: number } {
    return {
      active: this.#activeIds.size,
      backoff: this.#backoff.size,
      unschedulable: this.#unschedulable.size,
      gated: this.#gated.size,
    };
  }

  /** A pod without a node appeared or changed. An in-flight pod only has its spec refreshed for the next try. */
  upsert(pod: Pod, nowMs: number): void {
    const id = podId(pod);
    const flying = this.#inFlight.get(id);
    if (flying !== undefined) {
      if (specChanged(flying.entry.pod, pod)) {
        flying.events.push({ resource: "TargetPod", action: "Update", old: flying.entry.pod, pod });
      }
      flying.entry.pod = pod;
      return;
    }
    const known = this.#take(id);
    if (known === undefined) {
      this.#enqueue(
        { pod, queuedAtMs: nowMs, addedAtMs: nowMs, attempts: 0, failures: 0, refusedBy: new Set() },
        nowMs,
      );
      return;
    }
    const { entry, place } = known;
    const event = { resource: "TargetPod", action: "Update", old: entry.pod, pod } as const;
    entry.pod = pod;
    // Status writes, our own PodScheduled condition among them, change nothing about where the pod fits.
    const changed = specChanged(event.old, pod);
    if (place.kind === "active" || place.kind === "gated") this.#enqueue(entry, nowMs);
    else if (place.kind === "backoff") this.#backoff.set(id, { entry, untilMs: place.untilMs });
    else if (changed && this.#isWorthRetry(entry, event)) this.#toBackoffOrActive(entry, nowMs);
    else this.#unschedulable.set(id, { entry, sinceMs: place.sinceMs });
  }

  /** The pod was deleted, or bound by someone. */
  delete(pod: Pod): void {
    this.#take(podId(pod));
    this.#inFlight.delete(podId(pod));
  }

  /** The next pod to place, which is then in flight until done() or failed(); undefined when none is active. */
  pop(nowMs: number): QueuedPod | undefined {
    this.flush(nowMs);
    const entry = this.#popActive();
    if (entry === undefined) return undefined;
    entry.attempts++;
    this.#inFlight.set(podId(entry.pod), { entry, events: [] });
    return entry;
  }

  /** The pod was bound. */
  done(pod: Pod): void {
    this.#inFlight.delete(podId(pod));
  }

  /** Gives a pod back after a failed try. `refusedBy` empty means an error, which is retried after back-off. */
  failed(pod: Pod, refusedBy: ReadonlySet<string>, nowMs: number): void {
    const id = podId(pod);
    const flying = this.#inFlight.get(id);
    if (flying === undefined) return; // deleted meanwhile
    this.#inFlight.delete(id);
    const { entry, events } = flying;
    entry.refusedBy = refusedBy;
    entry.failures++;
    entry.queuedAtMs = nowMs;
    if (refusedBy.size === 0 || events.some((event) => this.#isWorthRetry(entry, event))) {
      this.#toBackoffOrActive(entry, nowMs);
    } else {
      this.#unschedulable.set(id, { entry, sinceMs: nowMs });
    }
  }

  /** Something changed in the cluster: moves the pods it may help; returns how many. */
  onEvent(event: ClusterEvent, nowMs: number): number {
    for (const flying of this.#inFlight.values()) flying.events.push(event);
    let moved = 0;
    for (const [id, { entry }] of this.#unschedulable) {
      if (!this.#isWorthRetry(entry, event)) continue;
      this.#unschedulable.delete(id);
      this.#toBackoffOrActive(entry, nowMs);
      moved++;
    }
    return moved;
  }

  /** Moves what has waited long enough. Called by pop(). */
  flush(nowMs: number): void {
    for (const [id, { entry, untilMs }] of this.#backoff) {
      if (untilMs > nowMs) continue;
      this.#backoff.delete(id);
      this.#enqueue(entry, nowMs);
    }
    for (const [id, { entry, sinceMs }] of this.#unschedulable) {
      if (sinceMs + this.#options.maxUnschedulableMs > nowMs) continue;
      this.#unschedulable.delete(id);
      this.#toBackoffOrActive(entry, nowMs);
    }
  }

  /** When flush() has something to do next; undefined when never. */
  nextFlushMs(): number | undefined {
    let next: number | undefined;
    for (const { untilMs } of this.#backoff.values()) next = Math.min(next ?? untilMs, untilMs);
    for (const { sinceMs } of this.#unschedulable.values()) {
      const untilMs = sinceMs + this.#options.maxUnschedulableMs;
      next = Math.min(next ?? untilMs, untilMs);
    }
    return next;
  }

  backoffMs(failures: number): number {
    if (failures <= 0) return 0;
    return Math.min(this.#options.maxBackoffMs, this.#options.initialBackoffMs * 2 ** (failures - 1));
  }

  #isWorthRetry(entry: QueuedPod, event: ClusterEvent): boolean {
    for (const name of entry.refusedBy) {
      const plugin = this.#options.plugins.get(name);
      if (plugin?.worthRetry === undefined || plugin.worthRetry(entry.pod, event)) return true;
    }
    return false;
  }

  #toBackoffOrActive(entry: QueuedPod, nowMs: number): void {
    const untilMs = entry.queuedAtMs + this.backoffMs(entry.failures);
    if (untilMs <= nowMs) this.#enqueue(entry, nowMs);
    else this.#backoff.set(podId(entry.pod), { entry, untilMs });
  }

  #enqueue(entry: QueuedPod, nowMs: number): void {
    if (this.#options.preEnqueue.some((plugin) => plugin.preEnqueue(entry.pod) !== undefined)) {
      this.#gated.set(podId(entry.pod), entry);
      return;
    }
    entry.queuedAtMs = nowMs;
    this.#activeIds.add(podId(entry.pod));
    this.#push(entry);
  }

  #take(id: string):
    | {
        entry: QueuedPod;
        place:
          | { kind: "active" }
          | { kind: "gated" }
          | { kind: "backoff"; untilMs: number }
          | { kind: "unschedulable"; sinceMs: number };
      }
    | undefined {
    const backoff = this.#backoff.get(id);
    if (backoff !== undefined) {
      this.#backoff.delete(id);
      return { entry: backoff.entry, place: { kind: "backoff", untilMs: backoff.untilMs } };
    }
    const waiting = this.#unschedulable.get(id);
    if (waiting !== undefined) {
      this.#unschedulable.delete(id);
      return { entry: waiting.entry, place: { kind: "unschedulable", sinceMs: waiting.sinceMs } };
    }
    const gated = this.#gated.get(id);
    if (gated !== undefined) {
      this.#gated.delete(id);
      return { entry: gated, place: { kind: "gated" } };
    }
    if (!this.#activeIds.has(id)) return undefined;
    const index = this.#active.findIndex((entry) => podId(entry.pod) === id);
    const entry = this.#active[index];
    if (entry === undefined) return undefined;
    this.#removeAt(index);
    this.#activeIds.delete(id);
    return { entry, place: { kind: "active" } };
  }

  // The active heap: the smallest by `sort` is at 0, the children of i are at 2i+1 and 2i+2.
  #popActive(): QueuedPod | undefined {
    const top = this.#active[0];
    if (top === undefined) return undefined;
    this.#removeAt(0);
    this.#activeIds.delete(podId(top.pod));
    return top;
  }
  #push(entry: QueuedPod): void {
    this.#active.push(entry);
    this.#siftUp(this.#active.length - 1);
  }
  #removeAt(index: number): void {
    const last = this.#active.pop();
    if (last === undefined || index === this.#active.length) return;
    this.#active[index] = last;
    this.#siftDown(index);
    this.#siftUp(index);
  }
  #before(a: number, b: number): boolean {
    const x = this.#active[a];
    const y = this.#active[b];
    return x !== undefined && y !== undefined && this.#options.sort.compare(x, y) < 0;
  }
  #swap(a: number, b: number): void {
    const x = this.#active[a] as QueuedPod;
    this.#active[a] = this.#active[b] as QueuedPod;
    this.#active[b] = x;
  }
  #siftUp(start: number): void {
    for (let i = start; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.#before(i, parent)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }
  #siftDown(start: number): void {
    for (let i = start; ; ) {
      const left = 2 * i + 1;
      const right = left + 1;
      let least = i;
      if (this.#before(left, least)) least = left;
      if (this.#before(right, least)) least = right;
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }
}

function specChanged(old: Pod, pod: Pod): boolean {
  const parts = (p: Pod) => JSON.stringify([p.spec, p.metadata.labels]);
  return parts(old) !== parts(pod);
}
