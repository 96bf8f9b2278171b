/** Parsed objects for admission and subresources: frozen views of the caches, or the store itself when it must be live. */
import { parseJson } from "@knarr/apimachinery/json.ts";
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { ObjectLookup } from "../admission/plugin.ts";
import type { Storage } from "../storage/storage.ts";
import type { ObjectView } from "../storage/types.ts";
import type { ResourceIndex } from "./resource.ts";

export class StorageLookup implements ObjectLookup {
  readonly #storage: Storage;
  readonly #resources: ResourceIndex;
  readonly #views = new Map<string, ObjectView<object>>();

  constructor(storage: Storage, resources: ResourceIndex) {
    this.#storage = storage;
    this.#resources = resources;
  }

  async get<T>(ref: ResourceRef<T>, key: ObjectKey, options: { readonly live?: boolean } = {}): Promise<T | undefined> {
    const view = this.#viewOf(ref);
    if (options.live !== true && view.synced) return view.get(key) as T | undefined;
    try {
      const stored = await this.#resources.storageOf(ref).get(key);
      return parseJson(stored.bytes) as T;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list<T>(ref: ResourceRef<T>, namespace = ""): Promise<readonly T[]> {
    const view = this.#viewOf(ref);
    if (view.synced) return view.list(namespace) as readonly T[];
    const page = await this.#resources.storageOf(ref).list({ namespace });
    return page.items.map((item) => parseJson(item.bytes) as T);
  }

  #viewOf(ref: ResourceRef<unknown>): ObjectView<object> {
    const name = `${ref.group}/${ref.resource}`;
    let view = this.#views.get(name);
    if (view === undefined) {
      view = this.#storage.view(ref as ResourceRef<object>);
      this.#views.set(name, view);
    }
    return view;
  }
}
