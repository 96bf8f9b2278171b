/**
 * What the server serves: one Resource per group, version and plural name, and the index that finds them.
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf, type ObjectKey, type ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { ResourceStorage } from "../storage/types.ts";
import type { DeleteRequestOptions } from "../verbs/delete-options.ts";
import type { WriteScope } from "../verbs/write-scope.ts";

export interface Resource<T extends KubeObject = KubeObject> {
  readonly descriptor: KindDescriptor<T>;
  /** Undefined for virtual kinds: reviews, bindings. */
  readonly storage: ResourceStorage | undefined;
  /** Stored in this very version, so stored bytes can be served as they are. */
  readonly servesStoredBytes: boolean;
  readonly hooks: ResourceHooks<T>;
}

/** What a kind does besides the default strategy, where that needs more than the object itself. */
export interface ResourceHooks<T extends KubeObject = KubeObject> {
  /** After prepareForCreate, before validation: allocate, refuse. May change the object. */
  readonly beginCreate?: (object: T, scope: WriteScope) => Promise<void> | void;
  /** After prepareForUpdate, before validation. May change the object. */
  readonly beginUpdate?: (object: T, old: T, scope: WriteScope) => Promise<void> | void;
  /** After the object is gone from the store, by this request; `revision` is the deletion's. */
  readonly afterDelete?: (object: T, revision: number) => Promise<void> | void;
  /** Replaces the marking of an object whose deletion must wait; returns whether it may be removed at once. */
  readonly markDeleted?: (object: T, options: DeleteRequestOptions, nowMs: number) => "wait" | "remove";
  /** Whether nothing but finalizers keeps a deleted object: an update that drops the last removes it. */
  readonly mayVanish?: (object: T) => boolean;
}

export class ResourceIndex {
  readonly #byPath = new Map<string, Resource>();
  readonly #byKind = new Map<string, Resource>();
  readonly #resources: readonly Resource[];

  constructor(resources: readonly Resource[]) {
    this.#resources = resources;
    for (const resource of resources) {
      const { ref } = resource.descriptor;
      this.#byPath.set(pathKey(ref.group, ref.version, ref.resource), resource);
      this.#byKind.set(`${apiVersionOf(ref)}/${ref.kind}`, resource);
    }
  }

  all(): readonly Resource[] {
    return this.#resources;
  }

  find(group: string, version: string, resource: string): Resource | undefined {
    return this.#byPath.get(pathKey(group, version, resource));
  }

  /** The resource of a ref; throws when the server doesn't serve it (a bug of ours). */
  of<T extends KubeObject>(ref: ResourceRef<T>): Resource<T> {
    const found = this.find(ref.group, ref.version, ref.resource);
    if (found === undefined) throw new Error(`resource ${ref.resource} is not served`);
    return found as unknown as Resource<T>;
  }

  /** The storage of a ref; throws when it has none (a bug of ours). */
  storageOf(ref: ResourceRef<unknown>): ResourceStorage {
    const storage = this.find(ref.group, ref.version, ref.resource)?.storage;
    if (storage === undefined) throw new Error(`resource ${ref.resource} is not stored`);
    return storage;
  }

  ofKind(apiVersion: string, kind: string): Resource | undefined {
    return this.#byKind.get(`${apiVersion}/${kind}`);
  }
}

function pathKey(group: string, version: string, resource: string): string {
  return `${group}/${version}/${resource}`;
}

export function qualifiedOf(descriptor: { readonly ref: ResourceRef<unknown> }): { group: string; resource: string } {
  return { group: descriptor.ref.group, resource: descriptor.ref.resource };
}

/** The key of an object of this resource: cluster-scoped resources have no namespace. */
export function keyIn(ref: ResourceRef<unknown>, namespace: string, name: string): ObjectKey {
  return { namespace: ref.namespaced ? namespace : "", name };
}
