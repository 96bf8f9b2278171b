/**
 * The whole storage of an API server: every resource over one key-value store, their watch caches, and what runs in the background.
 *
 * Example:
 *   const storage = new Storage({ kv: new EtcdStore({ endpoints }, { clock, log }), clock, log });
 *   const pods = storage.resource({ ref: core.pods, fieldsOf: podFields });
 *   void storage.run(signal);           // loads the caches, follows etcd, compacts
 *   await pods.list({ namespace: "default" });
 */
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { CachedResource } from "./cached-resource.ts";
import { runCompactor } from "./compactor.ts";
import { Feed } from "./feed.ts";
import { DEFAULT_ROOT } from "./key-layout.ts";
import type { KeyValueStore } from "./key-value.ts";
import { LeasePool } from "./lease-pool.ts";
import { Store } from "./store.ts";
import type { ObjectView, ResourceStorage, ResourceStorageConfig } from "./types.ts";
import { CacheView, type Projection } from "./view.ts";
import { WatchCache } from "./watch-cache.ts";

export interface StorageOptions {
  readonly kv: KeyValueStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Upstream's --etcd-prefix; default "/registry". */
  readonly root?: string;
  /** Upstream's --etcd-compaction-interval; 0 leaves compaction to others. Default 5 minutes. */
  readonly compactionIntervalMs?: number;
}

export class Storage {
  readonly #options: StorageOptions;
  readonly #root: string;
  readonly #leases: LeasePool;
  readonly #feed: Feed;
  readonly #resources = new Map<string, ResourceStorage>();

  constructor(options: StorageOptions) {
    this.#options = options;
    this.#root = options.root ?? DEFAULT_ROOT;
    this.#leases = new LeasePool(options.kv, options.clock);
    this.#feed = new Feed({ kv: options.kv, root: this.#root, clock: options.clock, log: options.log });
  }

  /** The storage of a resource; made at the first call, the same for every later one. May be called while running. */
  resource(config: ResourceStorageConfig): ResourceStorage {
    const name = nameOf(config.ref);
    const known = this.#resources.get(name);
    if (known !== undefined) return known;
    const { kv, clock, log } = this.#options;
    const store = new Store(config, { kv, leases: this.#leases, root: this.#root });
    const made =
      config.cached === false ? store : this.#cached(store, new WatchCache(config.ref, store.format, { clock, log }));
    this.#resources.set(name, made);
    return made;
  }

  /** Whether the resource has a watch cache, so that `view` works. */
  has(ref: ResourceRef<unknown>): boolean {
    return this.#resources.get(nameOf(ref)) instanceof CachedResource;
  }

  /** How many objects a cached resource has; undefined when there is no such cache, or it is not loaded. */
  countOf(of: { readonly group: string; readonly resource: string }): number | undefined {
    const resource = this.#resources.get(of.group === "" ? of.resource : `${of.resource}.${of.group}`);
    return resource instanceof CachedResource && resource.cache.isReady ? resource.cache.size : undefined;
  }

  /** Forgets a resource that is no longer served and ends its watches. What is stored stays. */
  remove(ref: ResourceRef<unknown>): void {
    const resource = this.#resources.get(nameOf(ref));
    this.#resources.delete(nameOf(ref));
    if (resource instanceof CachedResource) this.#feed.remove(resource.cache);
  }

  /** A parsed view of a cached resource. Throws if the resource is not there or not cached. */
  view<T extends object>(ref: ResourceRef<T>, projection?: Projection<T>): ObjectView<T> {
    const resource = this.#resources.get(nameOf(ref));
    if (!(resource instanceof CachedResource)) throw new Error(`no watch cache for ${nameOf(ref)}`);
    return new CacheView<T>(resource.cache, projection);
  }

  /** Whether every cache is loaded and follows etcd. */
  get isReady(): boolean {
    return this.#feed.isReady;
  }

  /** Resources whose cache is not loaded, for a readiness check's text. */
  notReady(): readonly string[] {
    return this.#feed.notReady();
  }

  /** Asks etcd for its revision: the readiness check "etcd". Throws StorageError; an abort ends the wait with its reason. */
  async checkEtcd(signal?: AbortSignal): Promise<void> {
    const answer = this.#feed.currentRevision();
    if (signal === undefined) {
      await answer;
      return;
    }
    let onAbort: () => void = () => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
    try {
      await Promise.race([answer, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Runs the feed and the compactor until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { kv, clock, log, compactionIntervalMs } = this.#options;
    await Promise.all([
      this.#feed.run(signal),
      runCompactor({ kv, clock, log, intervalMs: compactionIntervalMs ?? 300_000, signal }),
    ]);
  }

  #cached(store: Store, cache: WatchCache): CachedResource {
    this.#feed.add({ store, cache });
    return new CachedResource({ store, cache, feed: this.#feed });
  }
}

function nameOf(ref: ResourceRef<unknown>): string {
  return ref.group === "" ? ref.resource : `${ref.resource}.${ref.group}`;
}
