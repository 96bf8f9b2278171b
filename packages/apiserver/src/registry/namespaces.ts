/**
 * Namespaces end in two steps: DELETE marks them Terminating, the namespace controller empties and finalizes them.
 * Source: k8s.io/kubernetes/pkg/registry/core/namespace/storage
 */
import type { Namespace } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { DeleteRequestOptions } from "../verbs/delete-options.ts";
import type { ResourceHooks } from "./resource.ts";

type NamespaceObject = Namespace & KubeObject;

export const namespaceHooks: ResourceHooks = {
  markDeleted: (object, options, nowMs) => markDeleted(object as NamespaceObject, options, nowMs),
  mayVanish: (object) => ((object as NamespaceObject).spec?.finalizers?.length ?? 0) === 0,
};

function markDeleted(namespace: NamespaceObject, options: DeleteRequestOptions, nowMs: number): "wait" | "remove" {
  const { metadata } = namespace;
  const empty = (namespace.spec?.finalizers?.length ?? 0) === 0 && (metadata.finalizers?.length ?? 0) === 0;
  if (metadata.deletionTimestamp !== undefined) return empty ? "remove" : "wait";
  metadata.deletionTimestamp = rfc3339Seconds(nowMs);
  namespace.status = { ...namespace.status, phase: "Terminating" };
  if (options.propagation === "Orphan") addFinalizer(namespace, "orphan");
  else if (options.propagation === "Foreground") addFinalizer(namespace, "foregroundDeletion");
  return empty && (metadata.finalizers?.length ?? 0) === 0 ? "remove" : "wait";
}

function addFinalizer(namespace: NamespaceObject, name: string): void {
  const finalizers = namespace.metadata.finalizers ?? [];
  if (!finalizers.includes(name)) namespace.metadata.finalizers = [...finalizers, name];
}
