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
 * retry for a plugin that refused it, the pod goes to back-off and not to unschedulable. An idle scheduler takes pods out of
 * back-off early, except those that failed by an error. An event costs only the pods that a plugin with an interest in it
 * refused, however many others wait. Pure: `nowMs` is an argument.
 * Source: pkg/scheduler/backend/queue, KEP-4247 (queueing hints), KEP-5142 (pop from back-off)
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { type ClusterEvent, kindOf } from "./cluster-event.ts";
import { FlightLog } from "./flight-log.ts";
import type { Framework, QueueOrder } from "./framework.ts";
import { Heap } from "./heap.ts";
import { podId, podInfoOf, priorityOf, schedulerNameOf } from "./pod-info.ts";

export const Place = {
  Active: "active",
  Backoff: "backoff",
  Unschedulable: "unschedulable",
  Gated: "gated",
  InFlight: "in flight",
} as const;
export type Place = (typeof Place)[keyof typeof Place];

export interface QueuedPod extends QueueOrder {
  pod: Pod;
  priority: number;
  queuedAtMs: number;
  readonly id: string;
  /** First time the pod was seen, for latency metrics. */
  readonly addedAtMs: number;
  attempts: number;
  /** Failures since the last change that reset the back-off. */
  failures: number;
  /** Plugins that refused the pod; none after an error. */
  refusedBy: ReadonlySet<string>;
  place: Place;
  /** When it came to its place; the end of the back-off for Backoff. */
  sinceMs: number;
  /** Counts the changes of place, to tell heap items that are out of date. */
  moves: number;
}
interface HeapItem {
  readonly entry: QueuedPod;
  readonly moves: number;
}

export interface QueueOptions {
  /** The profile of a pod; undefined when it is none of ours. */
  readonly frameworkFor: (pod: Pod) => Framework | undefined;
  readonly compare: (a: QueueOrder, b: QueueOrder) => number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly maxUnschedulableMs: number;
  /** Told what came into which queue and why. */
  readonly onIncoming?: (place: Place, event: string) => void;
}

export const QUEUE_DEFAULTS = { initialBackoffMs: 1000, maxBackoffMs: 10_000, maxUnschedulableMs: 300_000 } as const;
/** Stale heap items are thrown out when there are more of them than this and than live ones. */
const MAX_STALE = 1000;

export class SchedulingQueue {
  readonly #options: QueueOptions;
  readonly #entries = new Map<string, QueuedPod>();
  readonly #active: Heap<HeapItem>;
  readonly #backoff = new Heap<HeapItem>((a, b) => a.entry.sinceMs - b.entry.sinceMs);
  /** In the order in which they came. */
  readonly #unschedulable = new Map<string, QueuedPod>();
  readonly #byPlugin = new Map<string, Set<QueuedPod>>();
  readonly #inFlight = new FlightLog();
  readonly #sizes: Record<Place, number> = { active: 0, backoff: 0, unschedulable: 0, gated: 0, "in flight": 0 };

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#active = new Heap((a, b) => options.compare(a.entry, b.entry));
  }

  get sizes(): Readonly<Record<Place, number>> {
    return this.#sizes;
  }

  /** How many events are kept for pods in flight. */
  get inFlightEvents(): number {
    return this.#inFlight.size;
  }

  /** Unschedulable pods by the plugin that refused them, and profile. */
  *unschedulableCounts(): Iterable<{ plugin: string; profile: string; count: number }> {
    for (const [plugin, entries] of this.#byPlugin) {
      const counts = new Map<string, number>();
      for (const { pod } of entries) {
        const profile = schedulerNameOf(pod);
        counts.set(profile, (counts.get(profile) ?? 0) + 1);
      }
      for (const [profile, count] of counts) yield { plugin, profile, count };
    }
  }

  find(id: string): QueuedPod | undefined {
    return this.#entries.get(id);
  }

  /** A pod without a node appeared or changed. An in-flight pod only has its spec refreshed for the next try. */
  upsert(pod: Pod, nowMs: number): void {
    const id = podId(pod);
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      const fresh: QueuedPod = {
        ...{ id, pod, priority: priorityOf(pod), queuedAtMs: nowMs, addedAtMs: nowMs, attempts: 0, failures: 0 },
        ...{ refusedBy: new Set<string>(), place: Place.Gated, sinceMs: nowMs, moves: 0 },
      };
      this.#entries.set(id, fresh);
      this.#sizes.gated++;
      this.#enqueue(fresh, nowMs, "PodAdd");
      return;
    }
    const old = entry.pod;
    entry.pod = pod;
    entry.priority = priorityOf(pod);
    // Status writes, our own PodScheduled condition among them, change nothing about where the pod fits.
    if (old === pod || !specChanged(old, pod)) {
      if (entry.place === Place.Active) this.#enqueue(entry, nowMs, "PodUpdate");
      return;
    }
    const event = { resource: "TargetPod", action: "Update", old, pod } as const;
    if (entry.place === Place.InFlight) this.#inFlight.tell(id, event);
    else if (entry.place === Place.Active || entry.place === Place.Gated) this.#enqueue(entry, nowMs, "PodUpdate");
    else if (entry.place === Place.Unschedulable && this.#isWorthRetry(entry, event)) {
      this.#toBackoffOrActive(entry, nowMs, "PodUpdate");
    }
  }

  /** The pod was deleted, or bound by someone. */
  delete(pod: Pod): void {
    const entry = this.#entries.get(podId(pod));
    if (entry !== undefined) this.#drop(entry);
  }

  /** The next pod to place, which is then in flight until done() or failed(); undefined when none is active. */
  pop(nowMs: number): QueuedPod | undefined {
    this.flush(nowMs);
    const entry = take(this.#active) ?? this.#earlyFromBackoff();
    if (entry === undefined) return undefined;
    entry.attempts++;
    this.#move(entry, Place.InFlight, nowMs);
    this.#inFlight.begin(entry.id);
    return entry;
  }

  /** The pod was bound. */
  done(pod: Pod): void {
    this.delete(pod);
  }

  /** Gives a pod back after a failed try. `refusedBy` empty means an error, which is retried after back-off. */
  failed(pod: Pod, refusedBy: ReadonlySet<string>, nowMs: number): void {
    const id = podId(pod);
    const entry = this.#entries.get(id);
    const events = this.#inFlight.end(id);
    if (entry === undefined || events === undefined) return; // deleted meanwhile
    entry.refusedBy = refusedBy;
    entry.failures++;
    entry.queuedAtMs = nowMs;
    if (refusedBy.size === 0) this.#toBackoffOrActive(entry, nowMs, "ScheduleAttemptFailure");
    else if (events.some((event) => this.#isWorthRetry(entry, event))) {
      this.#toBackoffOrActive(entry, nowMs, "ScheduleAttemptFailure");
    } else this.#move(entry, Place.Unschedulable, nowMs, "ScheduleAttemptFailure");
  }

  /** Something changed in the cluster: moves the pods it may help; returns how many. */
  onEvent(event: ClusterEvent, nowMs: number): number {
    this.#inFlight.tellAll(event);
    if (this.#unschedulable.size === 0) return 0;
    const moving = new Set<QueuedPod>();
    for (const [plugin, entries] of this.#byPlugin) {
      const [any] = entries;
      // Profiles share their plugins' code, so one pod's profile tells which events the plugin cares for.
      const interest = any && this.#options.frameworkFor(any.pod)?.plugins.get(plugin)?.events;
      if (interest !== undefined && !interest.includes(kindOf(event))) continue;
      for (const entry of entries) if (!moving.has(entry) && this.#isWorthRetry(entry, event)) moving.add(entry);
    }
    const label = `${event.resource}${event.action}`;
    for (const entry of moving) this.#toBackoffOrActive(entry, nowMs, label);
    return moving.size;
  }

  /** Asks the gates of one pod again. */
  recheck(id: string, nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry?.place === Place.Gated) this.#enqueue(entry, nowMs, "Activate");
  }

  /** Tries one pod again though nothing in the cluster changed. */
  activate(id: string, nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry?.place === Place.Unschedulable) this.#toBackoffOrActive(entry, nowMs, "Activate");
  }

  /** Moves what has waited long enough. Called by pop(). */
  flush(nowMs: number): void {
    for (let item = this.#backoff.peek(); item !== undefined; item = this.#backoff.peek()) {
      if (isCurrent(item) && item.entry.sinceMs > nowMs) break;
      this.#backoff.pop();
      if (isCurrent(item)) this.#enqueue(item.entry, nowMs, "BackoffComplete");
    }
    for (const entry of this.#unschedulable.values()) {
      if (entry.sinceMs + this.#options.maxUnschedulableMs > nowMs) break;
      this.#toBackoffOrActive(entry, nowMs, "UnschedulableTimeout");
    }
  }

  /** When flush() has something to do next; undefined when never. */
  nextFlushMs(): number | undefined {
    let item = this.#backoff.peek();
    while (item !== undefined && !isCurrent(item)) {
      this.#backoff.pop();
      item = this.#backoff.peek();
    }
    const [oldest] = this.#unschedulable.values();
    const timeout = oldest === undefined ? undefined : oldest.sinceMs + this.#options.maxUnschedulableMs;
    if (item === undefined || timeout === undefined) return item?.entry.sinceMs ?? timeout;
    return Math.min(item.entry.sinceMs, timeout);
  }

  backoffMs(failures: number): number {
    if (failures <= 0) return 0;
    return Math.min(this.#options.maxBackoffMs, this.#options.initialBackoffMs * 2 ** (failures - 1));
  }

  /** Nothing is active: a pod need not wait out its back-off, unless an error put it there. */
  #earlyFromBackoff(): QueuedPod | undefined {
    const errors: HeapItem[] = [];
    let found: QueuedPod | undefined;
    for (let item = this.#backoff.pop(); item !== undefined; item = this.#backoff.pop()) {
      if (!isCurrent(item)) continue;
      if (item.entry.refusedBy.size > 0) {
        found = item.entry;
        break;
      }
      errors.push(item);
    }
    for (const item of errors) this.#backoff.push(item);
    return found;
  }

  #isWorthRetry(entry: QueuedPod, event: ClusterEvent): boolean {
    const framework = this.#options.frameworkFor(entry.pod);
    for (const name of entry.refusedBy) {
      const plugin = framework?.plugins.get(name);
      if (plugin?.events !== undefined && !plugin.events.includes(kindOf(event))) continue;
      if (plugin?.worthRetry === undefined || plugin.worthRetry(podInfoOf(entry.pod), event)) return true;
    }
    return false;
  }

  #toBackoffOrActive(entry: QueuedPod, nowMs: number, event: string): void {
    const untilMs = entry.queuedAtMs + this.backoffMs(entry.failures);
    if (untilMs <= nowMs) return this.#enqueue(entry, nowMs, event);
    this.#move(entry, Place.Backoff, untilMs, event);
  }

  #enqueue(entry: QueuedPod, nowMs: number, event: string): void {
    const gates = this.#options.frameworkFor(entry.pod)?.preEnqueue ?? [];
    if (gates.some((plugin) => plugin.preEnqueue(entry.pod) !== undefined)) {
      if (entry.place !== Place.Gated) this.#move(entry, Place.Gated, nowMs, event);
      return;
    }
    this.#move(entry, Place.Active, nowMs, event);
  }

  /** The one place where a pod changes its place. */
  #move(entry: QueuedPod, place: Place, sinceMs: number, event = ""): void {
    this.#leave(entry);
    entry.place = place;
    entry.sinceMs = sinceMs;
    entry.moves++;
    this.#sizes[place]++;
    const item = { entry, moves: entry.moves };
    if (place === Place.Active) this.#push(this.#active, item);
    else if (place === Place.Backoff) this.#push(this.#backoff, item);
    else if (place === Place.Unschedulable) {
      this.#unschedulable.set(entry.id, entry);
      for (const plugin of entry.refusedBy) {
        const entries = this.#byPlugin.get(plugin);
        if (entries === undefined) this.#byPlugin.set(plugin, new Set([entry]));
        else entries.add(entry);
      }
    }
    if (event !== "") this.#options.onIncoming?.(place, event);
  }

  #leave(entry: QueuedPod): void {
    this.#sizes[entry.place]--;
    if (entry.place !== Place.Unschedulable) return;
    this.#unschedulable.delete(entry.id);
    for (const plugin of entry.refusedBy) {
      const entries = this.#byPlugin.get(plugin);
      entries?.delete(entry);
      if (entries?.size === 0) this.#byPlugin.delete(plugin);
    }
  }

  #drop(entry: QueuedPod): void {
    this.#leave(entry);
    entry.moves++;
    this.#entries.delete(entry.id);
    this.#inFlight.end(entry.id);
  }

  #push(heap: Heap<HeapItem>, item: HeapItem): void {
    heap.push(item);
    if (heap.size > MAX_STALE + 2 * this.#entries.size) heap.retain(isCurrent);
  }
}

function isCurrent({ entry, moves }: HeapItem): boolean {
  return entry.moves === moves;
}

function take(heap: Heap<HeapItem>): QueuedPod | undefined {
  for (let item = heap.pop(); item !== undefined; item = heap.pop()) if (isCurrent(item)) return item.entry;
  return undefined;
}

function specChanged(old: Pod, pod: Pod): boolean {
  const parts = (p: Pod) => JSON.stringify([p.spec, p.metadata.labels]);
  const version = old.metadata.resourceVersion;
  if (version !== undefined && version === pod.metadata.resourceVersion) return false;
  return parts(old) !== parts(pod);
}
