/**
 * Objects by key, with indexes kept in step: the memory of an informer. Objects are frozen through and through when they
 * enter, so that whoever reads them must copy before changing.
 *
 * Example: new ObjectStore({ byNode: (pod) => [pod.spec.nodeName] }); byIndex("byNode", "node-1") -> the pods there.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { keyString, type ObjectKey } from "@knarr/apimachinery/resource.ts";

/** The values under which an object is found in an index; none leaves it out. Must depend on the object only. */
export type Indexer<T> = (object: T) => readonly string[];
export type Indexers<T> = Readonly<Record<string, Indexer<T>>>;

const NAMESPACE_INDEX = "\0namespace";

interface Index<T> {
  readonly indexer: Indexer<T>;
  readonly buckets: Map<string, Map<string, T>>;
}

export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();

  constructor(indexers: Indexers<T> = {}) {
    const all: Indexers<T> = { ...indexers, [NAMESPACE_INDEX]: (object) => [object.metadata.namespace ?? ""] };
    for (const [name, indexer] of Object.entries(all)) this.#indexes.set(name, { indexer, buckets: new Map() });
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Adds indexes to a store that may already hold objects. An existing name is kept as it is. */
  addIndexers(indexers: Indexers<T>): void {
    for (const [name, indexer] of Object.entries(indexers)) {
      if (this.#indexes.has(name)) continue;
      const index: Index<T> = { indexer, buckets: new Map() };
      this.#indexes.set(name, index);
      for (const [key, object] of this.#objects) addTo(index, key, object);
    }
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(keyString(key));
  }

  /** What `set` stored under `key`. */
  at(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  list(namespace?: string): readonly T[] {
    return namespace === undefined ? [...this.#objects.values()] : this.byIndex(NAMESPACE_INDEX, namespace);
  }

  /** Throws RangeError for an index that was never declared. */
  byIndex(name: string, value: string): readonly T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new RangeError(`no index ${name}`);
    const bucket = index.buckets.get(value);
    return bucket === undefined ? [] : [...bucket.values()];
  }

  /** Stores a frozen `object` under `key`, returning what was there before. */
  set(key: string, object: T): T | undefined {
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) {
      if (old !== undefined && replaceIn(index, key, old, object)) continue;
      if (old !== undefined) removeFrom(index, key, old);
      addTo(index, key, object);
    }
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (old === undefined) return undefined;
    this.#objects.delete(key);
    for (const index of this.#indexes.values()) removeFrom(index, key, old);
    return old;
  }
}

function addTo<T>(index: Index<T>, key: string, object: T): void {
  for (const value of index.indexer(object)) {
    let bucket = index.buckets.get(value);
    if (bucket === undefined) {
      bucket = new Map();
      index.buckets.set(value, bucket);
    }
    bucket.set(key, object);
  }
}

/** Most updates leave an object where it is in an index; false when this one does not. */
function replaceIn<T>(index: Index<T>, key: string, old: T, object: T): boolean {
  const before = index.indexer(old);
  const after = index.indexer(object);
  if (before.length !== after.length || !before.every((value, i) => value === after[i])) return false;
  for (const value of after) index.buckets.get(value)?.set(key, object);
  return true;
}

function removeFrom<T>(index: Index<T>, key: string, object: T): void {
  for (const value of index.indexer(object)) {
    const bucket = index.buckets.get(value);
    if (bucket?.delete(key) === true && bucket.size === 0) index.buckets.delete(value);
  }
}

/** Freezes a JSON value at every level and returns it. */
export function deepFreeze<V>(value: V): V {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}
