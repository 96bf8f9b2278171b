/**
 * One resource as the handlers see it: writes go to the store, reads come from the watch cache as soon as it has seen what they must see.
 * It owns the meaning of resourceVersion for GET, LIST and WATCH, and falls back to etcd whenever the cache cannot answer in time.
 */
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import {
  encodeContinue,
  listVersionOf,
  parseResourceVersion,
  tooLargeResourceVersion,
  tooOldResourceVersion,
} from "./continue-token.ts";
import type { Feed } from "./feed.ts";
import { keyRangeOf, ObjectRecord, storeKeyOf } from "./record.ts";
import { toStatusError } from "./storage-error.ts";
import type { Store } from "./store.ts";
import { refused } from "./store-watch.ts";
import type {
  GetOptions,
  ListOptions,
  ListPage,
  ObjectWatch,
  ResourceStorage,
  ResourceStorageConfig,
  StoredObject,
  UpdateDecision,
  UpdateOptions,
  UpdateResult,
  WatchOptions,
} from "./types.ts";
import type { WatchCache } from "./watch-cache.ts";

/** How long a request waits for a version that the cache has not seen. Source: k8s.io/apiserver cacher, blockTimeout. */
const BLOCK_MS = 3_000;

export class CachedResource implements ResourceStorage {
  readonly config: ResourceStorageConfig;
  readonly store: Store;
  readonly cache: WatchCache;
  readonly #feed: Feed;

  constructor(options: { readonly store: Store; readonly cache: WatchCache; readonly feed: Feed }) {
    this.config = options.store.config;
    this.store = options.store;
    this.cache = options.cache;
    this.#feed = options.feed;
  }

  async get(key: ObjectKey, options: GetOptions = {}): Promise<StoredObject> {
    const wanted = parseResourceVersion(options.resourceVersion);
    if (!(await this.#isFresh(wanted, options.signal))) return await this.store.get(key, options);
    const record = this.cache.get(storeKeyOf(this.cache.format, key));
    if (record === undefined) {
      this.store.checkReadable(storeKeyOf(this.cache.format, key));
      throw statusErrors.notFound(this.config.ref, key.name);
    }
    return record;
  }

  async list(options: ListOptions): Promise<ListPage> {
    const { prefix } = keyRangeOf(this.cache.format, options);
    const version = listVersionOf(prefix, options);
    this.store.checkReadable(prefix);
    switch (version.kind) {
      case "exact":
      case "continue":
        return await this.store.list(options);
      case "consistent":
        if (!(await this.#isFresh(undefined, options.signal))) return await this.store.list(options);
        return this.#page(prefix, options, options.limit ?? 0);
      case "any":
        if (!this.cache.isReady) return await this.store.list(options);
        // Upstream's cache ignores the limit of a list at "0", and reflectors rely on getting it whole.
        return this.#page(prefix, options, 0);
      case "notOlderThan":
        if (!(await this.#isFresh(version.revision, options.signal))) return await this.store.list(options);
        return this.#page(prefix, options, options.limit ?? 0);
      default:
        throw new Error(`unknown list version ${version satisfies never}`);
    }
  }

  async watch(options: WatchOptions): Promise<ObjectWatch> {
    const asked = parseResourceVersion(options.resourceVersion);
    const wantsState = options.sendInitialEvents ?? (asked === undefined || asked === 0);
    await this.#becomeReady(options.signal);
    if (asked === undefined) {
      if (!(await this.#isFresh(undefined, options.signal))) throw reinitializing();
    } else if (!(await this.#waitForCache(asked, options.signal))) {
      // The stream says it, as upstream's does once a watch's parameters are in order.
      return refused(tooLargeResourceVersion(asked, this.cache.revision).status);
    }
    if (!this.cache.isReady) throw reinitializing();
    const { namespace, name, labels, fields, resourceVersion, resourceVersionMatch, sendInitialEvents, ...rest } =
      options;
    const startsNow = !wantsState && (asked === undefined || asked === 0);
    const watch = this.cache.watch({
      selector: options,
      fromRevision: wantsState ? undefined : startsNow ? this.cache.revision : asked,
      allowBookmarks: rest.allowBookmarks ?? false,
      endInitialEvents: sendInitialEvents === true && rest.allowBookmarks === true,
      deadlineMs: rest.deadlineMs,
      signal: rest.signal,
    });
    if (watch.kind === "tooOld") return refused(tooOldResourceVersion(asked ?? 0, watch.oldest).status);
    return watch.queue;
  }

  async create(
    key: ObjectKey,
    bytes: Buffer,
    options: { readonly ttlSeconds?: number; readonly signal?: AbortSignal } = {},
  ): Promise<StoredObject> {
    const record = await this.store.create(key, bytes, options);
    this.cache.wrote(record);
    return record;
  }

  async update(
    key: ObjectKey,
    decide: (current: StoredObject | undefined) => Promise<UpdateDecision> | UpdateDecision,
    options: UpdateOptions = {},
  ): Promise<UpdateResult> {
    const result = await this.store.update(key, decide, this.#withSuggestion(key, options));
    const { outcome, object } = result;
    if ((outcome === "created" || outcome === "updated") && object instanceof ObjectRecord) this.cache.wrote(object);
    return result;
  }

  delete(
    key: ObjectKey,
    check?: (current: StoredObject) => Promise<void> | void,
    options: { readonly suggestion?: StoredObject; readonly signal?: AbortSignal } = {},
  ): Promise<StoredObject> {
    return this.store.delete(key, check, this.#withSuggestion(key, options));
  }

  async count(signal?: AbortSignal): Promise<number> {
    return this.cache.isReady ? this.cache.size : await this.store.count(signal);
  }

  #withSuggestion<T extends { readonly suggestion?: StoredObject }>(key: ObjectKey, options: T): T {
    if (options.suggestion !== undefined || !this.cache.isReady) return options;
    const suggestion = this.cache.newest(storeKeyOf(this.cache.format, key));
    return suggestion === undefined ? options : { ...options, suggestion };
  }

  #page(prefix: string, options: ListOptions, limit: number): ListPage {
    const revision = this.cache.revision;
    const all = this.cache.select(options);
    const resourceVersion = String(revision);
    if (limit <= 0 || all.length <= limit) return { resourceVersion, items: all };
    const items = all.slice(0, limit);
    const last = items[limit - 1] as ObjectRecord;
    const isFiltered = options.labels !== undefined || options.fields !== undefined;
    return {
      resourceVersion,
      items,
      continueToken: encodeContinue(prefix, last.storeKey, revision),
      ...(isFiltered ? {} : { remainingItemCount: all.length - limit }),
    };
  }

  /**
   * Whether the cache can answer: for undefined, once it has seen every write acknowledged by now; for a number, once it has seen that.
   * False means: ask etcd. Throws 504 for a version that does not exist yet, and what etcd answers when it is asked for its revision.
   */
  async #isFresh(wanted: number | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    if (!this.cache.isReady) return false;
    if (wanted !== undefined) {
      if (await this.#waitForCache(wanted, signal)) return this.cache.isReady;
      throw tooLargeResourceVersion(wanted, this.cache.revision);
    }
    try {
      const revision = await this.#feed.currentRevision();
      return (await this.#waitForCache(revision, signal)) && this.cache.isReady;
    } catch (error) {
      throw toStatusError(error, "read");
    }
  }

  async #waitForCache(revision: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.cache.revision >= revision) return true;
    await this.#feed.waitFor(revision, BLOCK_MS, signal);
    return this.cache.revision >= revision;
  }

  /** Waits a little for a cache that is still loading: watches cannot be served without it. */
  async #becomeReady(signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + BLOCK_MS;
    while (!this.cache.isReady) {
      if (Date.now() > deadline || signal.aborted) throw reinitializing();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Source: k8s.io/apiserver cacher, errors for a cache that is not ready. */
function reinitializing() {
  return statusErrors.tooManyRequests("storage is (re)initializing", 1);
}
