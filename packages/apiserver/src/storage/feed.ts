/**
 * Fills every watch cache from one etcd watch over the whole root, and answers "has the server seen revision N?".
 *
 *   load all caches at one revision R -> watch from R+1 -> hand each event to the cache of its folder
 *        ^                                   |
 *        +------ history compacted, ---------+     (caches are reset, their watchers end and list again)
 *                or gone back (a restored backup)
 *
 * One watch instead of one per resource: a write to any resource moves all of them forward, one progress request serves all, and events of
 * different resources keep the store's order. Its only promises: a cache never misses or repeats an event, and `waitFor(N)` resolves
 * only after every event up to N has been applied.
 */
import { Backoff } from "@knarr/daemon/backoff.ts";
import { Bag } from "@knarr/daemon/bag.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { type KeyValue, type KeyValueBatch, type KeyValueStore, type KeyValueWatch, prefixEnd } from "./key-value.ts";
import { isStorageError } from "./storage-error.ts";
import type { Store } from "./store.ts";
import type { WatchCache } from "./watch-cache.ts";

/** After a waiter came: how soon the first progress request goes out, and how the pauses between further ones grow. */
const FIRST_ASK_MS = 1;
const LAST_ASK_MS = 100;
/** Requests for the store's revision under way at once: a second one keeps etcd busy while the first one's answers are sent. */
const MAX_FENCES = 2;
/** Watchers' bookmarks are looked after this often. */
const TICK_MS = 1_000;
/** How often an idle server looks whether etcd's history went back. */
const HISTORY_CHECK_MS = 10_000;
/** Folders below the root are at most this deep ("services/specs", "GROUP/RESOURCE"). */
const MAX_FOLDER_DEPTH = 3;

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

interface Source {
  readonly store: Store;
  readonly cache: WatchCache;
}

export class Feed {
  readonly #kv: KeyValueStore;
  readonly #root: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By folder with a slash: "pods/". */
  readonly #sources = new Map<string, Source>();
  readonly #waiters = new Bag<Waiter>();
  #watch: KeyValueWatch | undefined;
  #revision = 0;
  #cancelAsk: (() => void) | undefined;
  #nextAskMs = FIRST_ASK_MS;
  #fencesInFlight = 0;
  /** Not sent yet: whoever asks meanwhile shares it. */
  #nextFence: { readonly answer: Promise<number>; readonly send: () => void } | undefined;
  /** Ends the current watch, so that everything is loaded again. */
  #startAgain: AbortController | undefined;
  /** Set while running: sources added later load at once. */
  #signal: AbortSignal | undefined;

  constructor(options: {
    readonly kv: KeyValueStore;
    readonly root: string;
    readonly clock: Clock;
    readonly log: Logger;
  }) {
    this.#kv = options.kv;
    this.#root = `${options.root}/`;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** The revision up to which every event has been applied. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether every cache is loaded and the watch is on. */
  get isReady(): boolean {
    if (this.#watch === undefined) return false;
    for (const { cache } of this.#sources.values()) if (!cache.isReady) return false;
    return true;
  }

  /** Names of the resources that are not loaded yet, for readiness checks. */
  notReady(): readonly string[] {
    return [...this.#sources.values()].filter(({ cache }) => !cache.isReady).map(({ cache }) => cache.ref.resource);
  }

  /** Adds a cache; loads it at once if the feed is running. */
  add(source: Source): void {
    this.#sources.set(source.cache.format.prefix.slice(this.#root.length), source);
    const signal = this.#signal;
    if (signal === undefined) return;
    source.cache.beginLoad();
    void this.#loadUntilDone(source, signal);
  }

  /** Removes a cache (its resource is gone) and ends its watches. */
  remove(cache: WatchCache): void {
    this.#sources.delete(cache.format.prefix.slice(this.#root.length));
    cache.reset();
  }

  /** Runs until the signal aborts. Outages are waited out; it throws only what it cannot name. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 100, maxMs: 2_000, jitter: 0.2 });
    const cancelTick = this.#startTicking(signal);
    try {
      while (!signal.aborted) {
        try {
          await this.#loadAndFollow(signal, () => backoff.reset());
        } catch (error) {
          if (signal.aborted) return;
          if (!isStorageError(error)) throw error;
          this.#log.warn({ err: error }, "the feed begins again");
          await this.#clock.sleep(backoff.next(), signal).catch(() => undefined); // Only an abort ends the sleep early.
        }
      }
    } finally {
      cancelTick();
      this.#watch = undefined;
      this.#signal = undefined;
      this.#cancelAsk?.();
      for (const { cache } of this.#sources.values()) cache.reset();
    }
  }

  /**
   * The store's revision now. Calls of one turn of the event loop share a request, and so do calls that come while enough requests are
   * under way; none shares one that was sent before it came: its answer could miss a write that was acknowledged before the call.
   */
  currentRevision(): Promise<number> {
    if (this.#nextFence !== undefined) return this.#nextFence.answer;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const fence = { answer: promise, send: () => this.#sendFence(resolve, reject) };
    this.#nextFence = fence;
    if (this.#fencesInFlight < MAX_FENCES) {
      setImmediate(() => {
        if (this.#nextFence === fence) fence.send();
      });
    }
    return promise;
  }

  /** Resolves to true once every event up to `revision` has been applied, to false after `timeoutMs` or an abort. */
  waitFor(revision: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#revision >= revision) return Promise.resolve(true);
    return new Promise<boolean>((resolve) => {
      const finish = (reached: boolean) => {
        this.#waiters.remove(slot);
        cancelTimeout();
        signal?.removeEventListener("abort", onAbort);
        resolve(reached);
      };
      const onAbort = () => finish(false);
      const slot = this.#waiters.add({ revision, resolve: () => finish(true) });
      const cancelTimeout = this.#clock.setTimeout(() => finish(false), timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#askSoon();
    });
  }

  #sendFence(resolve: (revision: number) => void, reject: (error: unknown) => void): void {
    this.#nextFence = undefined;
    this.#fencesInFlight++;
    const seen = this.#revision;
    this.#kv
      .currentRevision()
      .then((revision) => {
        if (revision < seen) this.#historyWentBack(seen, revision);
        return revision;
      })
      .finally(() => {
        this.#fencesInFlight--;
        this.#nextFence?.send();
      })
      .then(resolve, reject);
  }

  /** A quorum's revision below one seen before it was asked: etcd was restored from a backup, and what is in memory never happened. */
  #historyWentBack(seen: number, current: number): void {
    this.#log.error({ seen, current }, "etcd's history went back; loading everything again");
    for (const { cache } of this.#sources.values()) cache.reset();
    this.#revision = 0;
    this.#startAgain?.abort();
  }

  async #loadAndFollow(signal: AbortSignal, onLoaded: () => void): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    const revision = await this.#kv.currentRevision(signal);
    const sources = [...this.#sources.values()];
    for (const { cache } of sources) {
      cache.reset();
      cache.beginLoad();
    }
    this.#revision = 0;
    this.#signal = signal;
    await Promise.all(sources.map((source) => this.#load(source, revision, signal)));
    const startAgain = new AbortController();
    this.#startAgain = startAgain;
    const following = AbortSignal.any([signal, startAgain.signal]);
    this.#watch = this.#kv.watch({
      start: this.#root,
      end: prefixEnd(this.#root),
      fromRevision: revision + 1,
      signal: following,
    });
    this.#reached(revision);
    onLoaded();
    this.#log.info({ revision, tookMs: Math.round(this.#clock.monotonicMs() - startMs) }, "watch caches loaded");
    try {
      for await (const batch of this.#watch) {
        if (following.aborted) break;
        this.#apply(batch);
      }
    } finally {
      this.#watch = undefined;
      this.#startAgain = undefined;
    }
  }

  async #load(source: Source, revision: number, signal: AbortSignal): Promise<void> {
    const items: KeyValue[] = [];
    let at = revision;
    for await (const chunk of source.store.chunks(revision, signal)) {
      if (at === 0) at = chunk.revision;
      for (const item of chunk.items) items.push(item);
    }
    source.cache.finishLoad(items, at);
  }

  /** Loads a cache that was added while the feed runs; its events wait in it meanwhile. */
  async #loadUntilDone(source: Source, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 100, maxMs: 2_000 });
    while (!signal.aborted && this.#isCurrent(source) && !source.cache.isReady) {
      try {
        await this.#load(source, 0, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#log.warn({ err: error, resource: source.cache.ref.resource }, "a watch cache could not be loaded");
        await this.#clock.sleep(backoff.next(), signal).catch(() => undefined); // Only an abort ends the sleep early.
      }
    }
  }

  #isCurrent(source: Source): boolean {
    return this.#sources.get(source.cache.format.prefix.slice(this.#root.length)) === source;
  }

  #apply(batch: KeyValueBatch): void {
    for (const event of batch.events) this.#sourceOf(event.key)?.cache.apply(event);
    this.#reached(batch.revision);
  }

  #sourceOf(key: string): Source | undefined {
    let slash = this.#root.length - 1;
    for (let depth = 0; depth < MAX_FOLDER_DEPTH; depth++) {
      slash = key.indexOf("/", slash + 1);
      if (slash < 0) return undefined;
      const source = this.#sources.get(key.slice(this.#root.length, slash + 1));
      if (source !== undefined) return source;
    }
    return undefined;
  }

  #reached(revision: number): void {
    this.#revision = revision;
    for (const { cache } of this.#sources.values()) cache.advance(revision);
    for (const waiter of this.#waiters) if (waiter.revision <= revision) waiter.resolve();
    if (this.#waiters.size === 0) this.#nextAskMs = FIRST_ASK_MS;
  }

  /** Asks etcd for progress, again and again, while somebody waits: a revision of a folder outside the root comes with no event. */
  #askSoon(): void {
    if (this.#cancelAsk !== undefined) return;
    this.#cancelAsk = this.#clock.setTimeout(() => {
      this.#cancelAsk = undefined;
      if (this.#waiters.size === 0) return;
      this.#watch?.requestProgress();
      this.#nextAskMs = Math.min(LAST_ASK_MS, this.#nextAskMs * 2);
      this.#askSoon();
    }, this.#nextAskMs);
  }

  #startTicking(signal: AbortSignal): () => void {
    let cancel: () => void = () => {};
    let checkAtMs = this.#clock.monotonicMs() + HISTORY_CHECK_MS;
    const tick = () => {
      if (signal.aborted) return;
      if (this.#watch !== undefined && this.#clock.monotonicMs() >= checkAtMs) {
        checkAtMs = this.#clock.monotonicMs() + HISTORY_CHECK_MS;
        // An outage is the watch's business; this only compares revisions.
        this.currentRevision().catch(() => undefined);
      }
      for (const { cache } of this.#sources.values()) {
        if (!cache.wantsBookmarks()) continue;
        // A bookmark is worth the more the newer it is; should the answer not come, the next one will be.
        this.#watch?.requestProgress();
        cache.sendBookmarks();
      }
      cancel = this.#clock.setTimeout(tick, TICK_MS);
    };
    cancel = this.#clock.setTimeout(tick, TICK_MS);
    return () => cancel();
  }
}
