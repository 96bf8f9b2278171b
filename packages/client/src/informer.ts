/**
 * A collection of the API as a local, indexed, always current store with change notifications; and a set of them that
 * share one watch per collection.
 *
 * Handlers are told of every object once it is in the store: `added` for what exists when they subscribe, `updated` on
 * every change and, every `resyncMs`, for everything. They run synchronously, one after the other, in the order of the
 * server's events, and should do no more than put a key into a queue. "Not synced" is an answer of its own: before it,
 * an empty store means nothing.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { apiVersionOf, keyString, type ObjectKey, type ResourceRef } from "@knarr/apimachinery/resource.ts";
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import { type Logger, silentLogger } from "@knarr/daemon/logger.ts";
import type { Client } from "./client.ts";
import { deepFreeze, type Indexers, ObjectStore } from "./object-store.ts";
import { Reflector } from "./reflector.ts";

export interface InformerOptions<T> {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** How often handlers see everything again; never when absent or 0. */
  readonly resyncMs?: number | undefined;
  readonly indexers?: Indexers<T> | undefined;
  /** Keeps metadata.managedFields, which otherwise are dropped to save memory. */
  readonly keepManagedFields?: boolean | undefined;
  /** Makes of each object what is kept; must leave apiVersion, kind and metadata's name, namespace and versions. */
  readonly transform?: ((object: T) => T) | undefined;
  /** Objects have apiVersion, kind and metadata and nothing else. */
  readonly metadataOnly?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly log?: Logger | undefined;
}

export interface InformerHandler<T> {
  added?(object: T): void;
  updated?(old: T, object: T): void;
  /** The last known state: when the deletion itself was missed, not the final one. */
  deleted?(object: T): void;
}

export class Informer<T extends KubeObject> {
  readonly ref: ResourceRef<T>;
  readonly #client: Client;
  readonly #options: InformerOptions<T>;
  readonly #store: ObjectStore<T>;
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #firstSync = Promise.withResolvers<void>();
  #synced = false;

  constructor(client: Client, ref: ResourceRef<T>, options: InformerOptions<T> = {}) {
    this.#client = client;
    this.ref = ref;
    this.#options = options;
    this.#store = new ObjectStore<T>(options.indexers);
  }

  /** Whether the first list is in the store. Never false again afterwards. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Resolves once synced; rejects with the signal's reason. */
  async waitForSync(signal: AbortSignal): Promise<void> {
    if (this.#synced) return;
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.#firstSync.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  get(key: ObjectKey): T | undefined {
    return this.#store.get(key);
  }

  list(namespace?: string): readonly T[] {
    return this.#store.list(namespace);
  }

  byIndex(index: string, value: string): readonly T[] {
    return this.#store.byIndex(index, value);
  }

  addIndexers(indexers: Indexers<T>): void {
    this.#store.addIndexers(indexers);
  }

  /** Tells `handler` of everything stored now and of every change from here on; the result ends that. */
  subscribe(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#store.list()) this.#call(() => handler.added?.(object));
    return () => this.#handlers.delete(handler);
  }

  /** Keeps the store current until the signal aborts. To be called once. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock = systemClock, log = silentLogger(), namespace, labelSelector, fieldSelector } = this.#options;
    const { metadataOnly } = this.#options;
    const reflector = new Reflector<T>({
      client: this.#client,
      ref: this.ref,
      namespace,
      labelSelector,
      fieldSelector,
      metadataOnly,
      clock,
      log,
      store: {
        prepare: (object) => this.#prepare(object),
        replace: (objects) => this.#replace(objects),
        put: (object) => this.#put(object),
        remove: (object) => this.#remove(keyString(keyOf(object)), object),
      },
    });
    const stopResync = this.#startResync(clock);
    try {
      await reflector.run(signal);
    } finally {
      stopResync();
    }
  }

  #replace(objects: Iterable<T>): void {
    const gone = new Set(this.#store.keys());
    for (const object of objects) {
      gone.delete(keyString(keyOf(object)));
      this.#put(object);
    }
    for (const key of gone) this.#remove(key);
    if (this.#synced) return;
    this.#synced = true;
    this.#firstSync.resolve();
  }

  #put(object: T): void {
    const key = keyString(keyOf(object));
    const before = this.#store.at(key);
    // A list after a reconnect repeats what is known: same version, same object, nothing to tell.
    if (before !== undefined && before.metadata.resourceVersion === object.metadata.resourceVersion) return;
    this.#store.set(key, object);
    for (const handler of this.#handlers) {
      if (before === undefined) this.#call(() => handler.added?.(object));
      else if (before.metadata.uid === object.metadata.uid) this.#call(() => handler.updated?.(before, object));
      else {
        // Deleted and made again while we weren't looking: two objects, not one that changed.
        this.#call(() => handler.deleted?.(before));
        this.#call(() => handler.added?.(object));
      }
    }
  }

  #remove(key: string, last?: T): void {
    const old = this.#store.delete(key);
    if (old === undefined) return;
    for (const handler of this.#handlers) this.#call(() => handler.deleted?.(last ?? old));
  }

  #prepare(object: T): T {
    // A list after a reconnect is mostly what is known: nothing of it is kept twice.
    const known = this.#store.at(keyString(keyOf(object)));
    const { uid, resourceVersion } = object.metadata;
    if (known !== undefined && known.metadata.resourceVersion === resourceVersion && known.metadata.uid === uid)
      return known;
    if (this.#options.metadataOnly === true) {
      const { managedFields: _managedFields, ...metadata } = object.metadata;
      return deepFreeze({ apiVersion: apiVersionOf(this.ref), kind: this.ref.kind, metadata } as T);
    }
    object.apiVersion ??= apiVersionOf(this.ref);
    object.kind ??= this.ref.kind;
    if (this.#options.keepManagedFields !== true) delete object.metadata.managedFields;
    return deepFreeze(this.#options.transform === undefined ? object : this.#options.transform(object));
  }

  #startResync(clock: Clock): () => void {
    const { resyncMs = 0 } = this.#options;
    if (resyncMs <= 0) return () => {};
    let cancel = () => {};
    const schedule = () => {
      cancel = clock.setTimeout(() => {
        for (const object of this.#store.list()) {
          for (const handler of this.#handlers) this.#call(() => handler.updated?.(object, object));
        }
        schedule();
      }, resyncMs);
    };
    schedule();
    return () => cancel();
  }

  /** One handler's bug must not keep the others, or the store, from going on. */
  #call(notify: () => void): void {
    try {
      notify();
    } catch (error) {
      this.#options.log?.error({ err: error, resource: this.ref.resource }, "informer handler failed");
    }
  }
}

export interface InformerSetOptions {
  readonly resyncMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly log?: Logger | undefined;
}

/** Informers shared by resource, namespace and selectors; started and awaited together. */
export class InformerSet {
  readonly #client: Client;
  readonly #options: InformerSetOptions;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  readonly #tasks = new Set<Promise<void>>();
  #signal: AbortSignal | undefined;
  #failed = Promise.withResolvers<never>();

  constructor(client: Client, options: InformerSetOptions = {}) {
    this.#client = client;
    this.#options = options;
    // Nobody may be waiting yet; `run` hands the failure on.
    this.#failed.promise.catch(() => {});
  }

  /** The informer for these arguments, made at the first call; later calls may add indexers. Runs if the set does. */
  informer<T extends KubeObject>(
    ref: ResourceRef<T>,
    options: Pick<InformerOptions<T>, "namespace" | "labelSelector" | "fieldSelector" | "indexers" | "transform"> = {},
  ): Informer<T> {
    const { namespace = "", labelSelector = "", fieldSelector = "", indexers } = options;
    const id = [ref.group, ref.version, ref.resource, namespace, labelSelector, fieldSelector].join("\0");
    const existing = this.#informers.get(id) as Informer<T> | undefined;
    if (existing !== undefined) {
      if (indexers !== undefined) existing.addIndexers(indexers);
      return existing;
    }
    const informer = new Informer<T>(this.#client, ref, { ...this.#options, ...options });
    this.#informers.set(id, informer as unknown as Informer<KubeObject>);
    if (this.#signal !== undefined) this.#start(informer as unknown as Informer<KubeObject>, this.#signal);
    return informer;
  }

  /** The informer for a whole collection, if somebody asked for it. */
  existing<T extends KubeObject>(ref: ResourceRef<T>): Informer<T> | undefined {
    const id = [ref.group, ref.version, ref.resource, "", "", ""].join("\0");
    return this.#informers.get(id) as Informer<T> | undefined;
  }

  /** Runs all informers, those made later too, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    for (const informer of this.#informers.values()) this.#start(informer, signal);
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([aborted, this.#failed.promise]);
    await Promise.all(this.#tasks);
  }

  /** Resolves once every informer of the set is synced; rejects with the signal's reason. */
  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.waitForSync(signal)));
  }

  /** Which collections have not been listed yet, for /readyz. */
  get unsynced(): readonly string[] {
    return [...this.#informers.values()].filter((i) => !i.synced).map((i) => i.ref.resource);
  }

  #start(informer: Informer<KubeObject>, signal: AbortSignal): void {
    const task = informer.run(signal).catch((error: unknown) => this.#failed.reject(error));
    this.#tasks.add(task);
    task.finally(() => this.#tasks.delete(task));
  }
}
