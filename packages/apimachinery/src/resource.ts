/**
 * Names of things in the API: which resource, and which object of it.
 * Source: api-conventions#types-kinds
 */

/** A REST resource of one group and version. `T` is the type of its objects and exists for the compiler only. */
export interface ResourceRef<T = unknown> {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  /** Plural, as in the path: "pods". */
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly _type?: T;
}

/** Identifies one object of a resource; `namespace` is "" for cluster-scoped objects. */
export interface ObjectKey {
  readonly namespace: string;
  readonly name: string;
}

/** "apps/v1", or "v1" for the core group. */
export function apiVersionOf(ref: { readonly group: string; readonly version: string }): string {
  return ref.group === "" ? ref.version : `${ref.group}/${ref.version}`;
}

/** "ns/name", or "name" for a cluster-scoped object: a Map key and a log value. */
export function keyString(key: ObjectKey): string {
  return key.namespace === "" ? key.name : `${key.namespace}/${key.name}`;
}

/** The inverse of `keyString`. */
export function parseKeyString(text: string): ObjectKey {
  const slash = text.indexOf("/");
  return slash < 0 ? { namespace: "", name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** The URL path of a collection: "/api/v1/namespaces/default/pods", "/apis/apps/v1/deployments". */
export function resourcePath(ref: ResourceRef<unknown>, namespace = ""): string {
  const root = ref.group === "" ? `/api/${ref.version}` : `/apis/${ref.group}/${ref.version}`;
  const scope = namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${scope}/${ref.resource}`;
}

/** The URL path of one object, or of one of its subresources. */
export function objectPath(ref: ResourceRef<unknown>, key: ObjectKey, subresource?: string): string {
  const base = `${resourcePath(ref, key.namespace)}/${encodeURIComponent(key.name)}`;
  return subresource === undefined ? base : `${base}/${subresource}`;
}
