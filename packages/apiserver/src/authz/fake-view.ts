/** A view held by a test's hand instead of a watch cache: it calls its subscribers in the same order and with the same meaning. */

import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, type ObjectKey } from "@knarr/apimachinery/resource.ts";
import type { ObjectView, ViewHandler } from "../storage/types.ts";

interface Entry<T> {
  readonly key: ObjectKey;
  readonly object: T;
}

export class FakeView<T extends object> implements ObjectView<T> {
  synced = true;
  readonly #entries = new Map<string, Entry<T>>();
  readonly #handlers = new Set<ViewHandler<T>>();
  readonly #project: (object: unknown) => T;

  constructor(objects: readonly { readonly metadata: ObjectMeta }[] = [], project = (object: unknown) => object as T) {
    this.#project = project;
    for (const object of objects) this.set(object);
  }

  get(key: ObjectKey): T | undefined {
    return this.#entries.get(keyString(key))?.object;
  }

  list(namespace = ""): readonly T[] {
    return [...this.#entries.values()]
      .filter(({ key }) => namespace === "" || key.namespace === namespace)
      .map(({ object }) => object);
  }

  subscribe(handler: ViewHandler<T>): () => void {
    this.#handlers.add(handler);
    handler.reset();
    for (const { object } of this.#entries.values()) handler.set(object, undefined);
    return () => this.#handlers.delete(handler);
  }

  set(object: { readonly metadata: ObjectMeta }): void {
    const key = keyOf(object);
    const previous = this.get(key);
    const projected = this.#project(object);
    this.#entries.set(keyString(key), { key, object: projected });
    for (const handler of this.#handlers) handler.set(projected, previous);
  }

  delete(key: ObjectKey): void {
    const gone = this.get(key);
    this.#entries.delete(keyString(key));
    if (gone !== undefined) for (const handler of this.#handlers) handler.deleted(gone);
  }

  /** A relist: everything is forgotten and told again. */
  replace(objects: readonly { readonly metadata: ObjectMeta }[]): void {
    this.#entries.clear();
    for (const handler of this.#handlers) handler.reset();
    for (const object of objects) this.set(object);
  }
}
