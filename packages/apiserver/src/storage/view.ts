/**
 * A parsed view of one cached resource for the server's own use: RBAC objects, ServiceAccounts, pods for the Node authorizer. It has no
 * watch of its own; the cache tells it of every change in the moment it takes it in, so the view is never older than what is served.
 */
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { type ObjectRecord, storeKeyOf } from "./record.ts";
import type { ObjectView, ViewHandler } from "./types.ts";
import type { WatchCache } from "./watch-cache.ts";

export class CacheView<T extends object> implements ObjectView<T> {
  readonly #cache: WatchCache;
  readonly #project: (object: unknown) => T;
  /** Parsed on demand, and forgotten with the record. */
  readonly #parsed = new WeakMap<ObjectRecord, T>();

  /** `project` may keep only what is needed of an object; its result is frozen. */
  constructor(cache: WatchCache, project: (object: unknown) => T = (object) => object as T) {
    this.#cache = cache;
    this.#project = project;
  }

  get synced(): boolean {
    return this.#cache.isReady;
  }

  get(key: ObjectKey): T | undefined {
    const record = this.#cache.get(storeKeyOf(this.#cache.format, key));
    return record === undefined ? undefined : this.#objectOf(record);
  }

  list(namespace = ""): readonly T[] {
    return this.#cache.select({ namespace }).map((record) => this.#objectOf(record));
  }

  subscribe(handler: ViewHandler<T>): () => void {
    return this.#cache.listen({
      changed: ({ current, previous }) => {
        const before = previous === undefined ? undefined : this.#objectOf(previous);
        if (current !== undefined) handler.set(this.#objectOf(current), before);
        else if (before !== undefined) handler.deleted(before);
      },
      replaced: (records) => {
        handler.reset();
        for (const record of records) handler.set(this.#objectOf(record), undefined);
      },
    });
  }

  #objectOf(record: ObjectRecord): T {
    let parsed = this.#parsed.get(record);
    if (parsed === undefined) {
      parsed = deepFreeze(this.#project(record.parse()));
      this.#parsed.set(record, parsed);
    }
    return parsed;
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === "object" && member !== null) deepFreeze(member);
  return Object.freeze(value);
}
