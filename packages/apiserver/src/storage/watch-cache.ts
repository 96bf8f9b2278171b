/**
 * What one resource looks like now, and its last changes: the memory that LIST and WATCH are served from.
 *
 *   empty --beginLoad--> loading --finishLoad--> ready --reset--> empty
 *
 * Pure state: it does no I/O and knows no etcd. The feed fills it (feed.ts); everything it hands out is a snapshot or a queue. While it
 * loads, events wait aside, so that what was listed at revision R continues with the first event after R and nothing in between is lost.
 */

import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { EventQueue } from "./event-queue.ts";
import { EventWindow } from "./event-window.ts";
import type { KeyValue, KeyValueEvent } from "./key-value.ts";
import { bookmarkOf, Change, initialEventOf } from "./object-event.ts";
import { OwnWrites } from "./own-writes.ts";
import { keyRangeOf, ObjectRecord, type RecordFormat } from "./record.ts";
import { SortedRecords } from "./sorted-records.ts";
import { isStorageError } from "./storage-error.ts";
import type { ObjectEvent, ObjectSelector } from "./types.ts";

/** Between two bookmarks of a watcher. Upstream: about a minute. */
const BOOKMARK_MS = 60_000;
/** A last bookmark comes this long before the request's end. */
const LAST_BOOKMARK_MS = 2_000;

export interface CacheWatchOptions {
  readonly selector: ObjectSelector;
  /** Events after this revision; undefined: the state now first. */
  readonly fromRevision: number | undefined;
  readonly allowBookmarks: boolean;
  /** Close the state with the annotated bookmark. */
  readonly endInitialEvents: boolean;
  readonly deadlineMs: number | undefined;
  readonly signal: AbortSignal;
}

export type CacheWatch =
  | { readonly kind: "open"; readonly queue: EventQueue }
  | { readonly kind: "tooOld"; readonly oldest: number };

/** Called for every change, in order, after the cache has taken it in. */
export interface ChangeListener {
  changed(change: Change): void;
  /** The state was replaced; `records` is the new one. */
  replaced(records: readonly ObjectRecord[]): void;
}

interface Watcher {
  readonly selector: ObjectSelector;
  readonly queue: EventQueue;
  /** Changes up to here are in its initial events. */
  readonly fromRevision: number;
  readonly deadlineMs: number | undefined;
  /** Epoch ms of the next bookmark; Infinity for none. */
  nextBookmarkMs: number;
}

export class WatchCache {
  readonly ref: ResourceRef<unknown>;
  readonly format: RecordFormat;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #records = new SortedRecords();
  readonly #window = new EventWindow();
  /** Watchers by the range of keys they can see: one object, one namespace, or all. */
  readonly #watchers = new Map<string, Set<Watcher>>();
  readonly #listeners = new Set<ChangeListener>();
  readonly #ownWrites = new OwnWrites();
  #state: "empty" | "loading" | "ready" = "empty";
  #waiting: KeyValueEvent[] = [];
  #revision = 0;
  #bookmark: ObjectEvent | undefined;

  constructor(ref: ResourceRef<unknown>, format: RecordFormat, tools: { readonly clock: Clock; readonly log: Logger }) {
    this.ref = ref;
    this.format = format;
    this.#clock = tools.clock;
    this.#log = tools.log;
  }

  get isReady(): boolean {
    return this.#state === "ready";
  }

  /** Every change up to this revision is in here. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#records.size;
  }

  beginLoad(): void {
    this.#state = "loading";
    this.#waiting = [];
  }

  /** Takes over what was listed at `revision`, in key order, and catches up with what happened meanwhile. */
  finishLoad(items: readonly KeyValue[], revision: number): void {
    const records: ObjectRecord[] = [];
    for (const item of items) {
      const record = this.#recordOf(item.key, item.modRevision, item.value, "ADDED");
      if (record !== undefined) records.push(record);
    }
    this.#records.replaceAll(records);
    this.#window.reset(revision);
    this.#ownWrites.clear();
    this.#revision = revision;
    this.#state = "ready";
    for (const listener of this.#listeners) listener.replaced(this.#records.withPrefix(this.format.prefix));
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.apply(event);
  }

  /** Forgets everything and ends all watches: history was lost, so clients must list again. */
  reset(): void {
    this.#state = "empty";
    this.#waiting = [];
    this.#ownWrites.clear();
    for (const watchers of [...this.#watchers.values()]) for (const watcher of [...watchers]) watcher.queue.close();
    this.#watchers.clear();
  }

  /** Takes in one event of the store. */
  apply(event: KeyValueEvent): void {
    if (this.#state === "loading") {
      this.#waiting.push(event);
      return;
    }
    if (this.#state === "empty" || event.revision <= this.#window.start) return;
    this.#revision = Math.max(this.#revision, event.revision);
    const previous = this.#records.get(event.key);
    if (previous !== undefined && previous.revision >= event.revision) return;
    const current = this.#ownWrites.take(event) ?? this.#recordOfEvent(event);
    if (current !== undefined) this.#records.set(current);
    else if (previous !== undefined) this.#records.delete(event.key);
    else return;
    const change = new Change(event.revision, current, previous);
    this.#window.push(change, this.#clock.monotonicMs());
    this.#dispatch(event.key, change);
    for (const listener of this.#listeners) listener.changed(change);
  }

  /** Everything up to `revision` has been applied. */
  advance(revision: number): void {
    if (this.#state === "ready" && revision > this.#revision) this.#revision = revision;
  }

  get(storeKey: string): ObjectRecord | undefined {
    return this.#records.get(storeKey);
  }

  /**
   * Remembers a write of this server until the store tells of it: what comes back then need not be made again, and whoever changes the
   * object meanwhile can begin with it (`newest`).
   */
  wrote(record: ObjectRecord): void {
    if (this.#state !== "ready" || record.revision <= this.#revision) return;
    this.#ownWrites.add(record);
  }

  /** The newest that this server knows of an object, perhaps by its own write: to begin a guarded change with, and for nothing else. */
  newest(storeKey: string): ObjectRecord | undefined {
    const record = this.#records.get(storeKey);
    const own = this.#ownWrites.get(storeKey);
    return own !== undefined && own.revision > (record?.revision ?? 0) ? own : record;
  }

  /** A snapshot in key order; the selector's namespace and name narrow it, labels and fields filter it. */
  select(selector: ObjectSelector): readonly ObjectRecord[] {
    const range = keyRangeOf(this.format, selector);
    if (range.single) {
      const record = this.#records.get(range.prefix);
      return record?.matches(selector) === true ? [record] : [];
    }
    const records = this.#records.withPrefix(range.prefix);
    const { labels, fields, name } = selector;
    if (labels === undefined && fields === undefined && name === undefined) return records;
    return records.filter((record) => record.matches(selector));
  }

  /** Opens a watch on state and changes as of this moment. Only when ready. */
  watch(options: CacheWatchOptions): CacheWatch {
    const { selector, fromRevision } = options;
    if (fromRevision !== undefined && fromRevision < this.#window.start)
      return { kind: "tooOld", oldest: this.#window.start };
    const initial =
      fromRevision === undefined
        ? stateEvents(
            this.select(selector),
            options.endInitialEvents ? bookmarkOf(this.ref, this.#revision, true) : undefined,
          )
        : changeEvents(this.#window.after(fromRevision), selector);
    const { prefix } = keyRangeOf(this.format, selector);
    const queue = new EventQueue({ initial, signal: options.signal, onClose: () => this.#remove(prefix, watcher) });
    const watcher: Watcher = {
      selector,
      queue,
      fromRevision: Math.max(this.#revision, fromRevision ?? 0),
      deadlineMs: options.deadlineMs,
      nextBookmarkMs: options.allowBookmarks ? this.#nextBookmark(options.deadlineMs) : Number.POSITIVE_INFINITY,
    };
    if (queue.isOpen) {
      const group = this.#watchers.get(prefix);
      if (group === undefined) this.#watchers.set(prefix, new Set([watcher]));
      else group.add(watcher);
    }
    return { kind: "open", queue };
  }

  /** Sends bookmarks to the watchers whose time has come. Called about once a second. */
  sendBookmarks(): void {
    const nowMs = this.#clock.now();
    for (const group of this.#watchers.values()) {
      for (const watcher of group) {
        if (watcher.nextBookmarkMs > nowMs) continue;
        watcher.nextBookmarkMs = this.#nextBookmark(watcher.deadlineMs);
        if (this.#revision >= watcher.fromRevision) watcher.queue.push(this.#currentBookmark());
      }
    }
  }

  /** Whether a watcher is due for a bookmark, so that the feed can bring the revision up to date first. */
  wantsBookmarks(): boolean {
    const nowMs = this.#clock.now();
    for (const group of this.#watchers.values()) {
      for (const watcher of group) if (watcher.nextBookmarkMs <= nowMs) return true;
    }
    return false;
  }

  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    if (this.isReady) listener.replaced(this.#records.withPrefix(this.format.prefix));
    return () => this.#listeners.delete(listener);
  }

  #dispatch(storeKey: string, change: Change): void {
    if (this.#watchers.size === 0) return;
    this.#dispatchTo(this.format.prefix, change);
    if (this.format.namespaced) this.#dispatchTo(storeKey.slice(0, storeKey.lastIndexOf("/") + 1), change);
    this.#dispatchTo(storeKey, change);
  }

  #dispatchTo(range: string, change: Change): void {
    const group = this.#watchers.get(range);
    if (group === undefined) return;
    for (const watcher of group) {
      if (change.revision <= watcher.fromRevision) continue;
      const event = change.seenBy(watcher.selector);
      if (event === undefined) continue;
      watcher.queue.push(event);
      if (watcher.queue.overflowed)
        this.#log.info({ resource: this.ref.resource }, "dropped a watcher that fell behind");
    }
  }

  #remove(prefix: string, watcher: Watcher): void {
    const group = this.#watchers.get(prefix);
    if (group?.delete(watcher) === true && group.size === 0) this.#watchers.delete(prefix);
  }

  #recordOfEvent(event: KeyValueEvent): ObjectRecord | undefined {
    if (event.type !== "put") return undefined;
    return this.#recordOf(event.key, event.revision, event.value, event.isCreate ? "ADDED" : "MODIFIED");
  }

  #recordOf(storeKey: string, revision: number, value: Buffer, type: "ADDED" | "MODIFIED"): ObjectRecord | undefined {
    try {
      return new ObjectRecord(this.format, { storeKey, revision }, value, type);
    } catch (error) {
      // Data that is no object (another program wrote it) hides that key; it must not take down the whole resource.
      if (!isStorageError(error, "internal")) throw error;
      this.#log.error({ err: error, key: storeKey }, "stored data cannot be read");
      return undefined;
    }
  }

  #nextBookmark(deadlineMs: number | undefined): number {
    const nowMs = this.#clock.now();
    const lastMs = (deadlineMs ?? Number.POSITIVE_INFINITY) - LAST_BOOKMARK_MS;
    if (lastMs <= nowMs) return Number.POSITIVE_INFINITY;
    return Math.min(lastMs, nowMs + BOOKMARK_MS);
  }

  #currentBookmark(): ObjectEvent {
    if (this.#bookmark?.object.revision !== this.#revision)
      this.#bookmark = bookmarkOf(this.ref, this.#revision, false);
    return this.#bookmark;
  }
}

function* stateEvents(records: readonly ObjectRecord[], end: ObjectEvent | undefined): Generator<ObjectEvent> {
  for (const record of records) yield initialEventOf(record);
  if (end !== undefined) yield end;
}

function* changeEvents(changes: readonly Change[], selector: ObjectSelector): Generator<ObjectEvent> {
  for (const change of changes) {
    if (!selects(selector, change)) continue;
    const event = change.seenBy(selector);
    if (event !== undefined) yield event;
  }
}

/** Whether the change lies in the selector's namespace and name; cheaper than judging labels. */
function selects(selector: ObjectSelector, change: Change): boolean {
  const key = (change.current ?? change.previous)?.key;
  if (key === undefined) return false;
  if (selector.namespace !== undefined && selector.namespace !== "" && key.namespace !== selector.namespace)
    return false;
  return selector.name === undefined || key.name === selector.name;
}
