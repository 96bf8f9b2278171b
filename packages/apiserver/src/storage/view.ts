/**
 * A parsed view of one cached resource for the server's own use: RBAC objects, ServiceAccounts, pods for the Node authorizer. It has no
 * watch of its own; the cache tells it of every change in the moment it takes it in, so the view is never older than what is served.
 */
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { type ObjectRecord, storeKeyOf } from "./record.ts";
import type { ObjectView, ViewHandler } from "./types.ts";
import type { WatchCache } from "./watch-cache.ts";

/** What a view keeps of an object. */
export interface Projection<T> {
  /** May keep only what is needed of an object; the result is frozen. */
  readonly project?: (object: unknown) => T;
  /** What to keep of an object that says so little that its JSON need not be parsed; undefined: parse it. Many objects pass here at a start. */
  readonly atAGlance?: (bytes: Buffer) => T | undefined;
}

export class CacheView<T extends object> implements ObjectView<T> {
  readonly #cache: WatchCache;
  readonly #project: (object: unknown) => T;
  /** Parsed on demand, and forgotten with the record. */
  readonly #parsed = new WeakMap<ObjectRecord, T>();

  /** Of objects that can be told from their bytes: the parser is not needed for them. */
  readonly #atAGlance: (bytes: Buffer) => T | undefined;

  constructor(cache: WatchCache, projection: Projection<T> = {}) {
    this.#cache = cache;
    this.#project = projection.project ?? ((object) => object as T);
    this.#atAGlance = projection.atAGlance ?? (() => undefined);
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
      parsed = this.#atAGlance(record.bytes) ?? deepFreeze(this.#project(record.parse()));
      this.#parsed.set(record, parsed);
    }
    return parsed;
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === "object" && member !== null) deepFreeze(member);
  return Object.freeze(value);
}
