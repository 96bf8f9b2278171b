/** What every Kubernetes object and list has in common. Source: api-conventions#metadata */
import type { ListMeta, ObjectMeta, OwnerReference } from "./generated/meta-v1.ts";
import type { ObjectKey } from "./resource.ts";

export interface KubeObject {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata: ObjectMeta;
}

export interface KubeList<T> {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata: ListMeta;
  items: T[];
}

/** The key of an object that the server returned (it has a name). */
export function keyOf(object: { readonly metadata: ObjectMeta }): ObjectKey {
  return { namespace: object.metadata.namespace ?? "", name: object.metadata.name ?? "" };
}

/** The owner reference with `controller: true`, of which an object has at most one. */
export function controllerOf(object: { readonly metadata: ObjectMeta }): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}
