/** Whose DELETE answers with the object that went instead of a Status; generated clients parse what the OpenAPI documents promise. */
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";

/** Source: ReturnDeletedObject in upstream's pkg/registry. */
const RETURN_DELETED = new Set([
  "/persistentvolumeclaims",
  "/persistentvolumes",
  "/pods",
  "/podtemplates",
  "/resourcequotas",
  "/serviceaccounts",
  "/services",
  "resource.k8s.io/deviceclasses",
  "resource.k8s.io/resourceclaims",
  "resource.k8s.io/resourceclaimtemplates",
  "resource.k8s.io/resourceslices",
  "storage.k8s.io/csidrivers",
  "storage.k8s.io/csinodes",
  "storage.k8s.io/storageclasses",
  "storage.k8s.io/volumeattachments",
  "storage.k8s.io/volumeattributesclasses",
]);

export function returnsDeleted({ group, resource }: Pick<ResourceRef<unknown>, "group" | "resource">): boolean {
  return RETURN_DELETED.has(`${group}/${resource}`);
}
