/**
 * Claims, volumes and attributes classes are kept until nobody uses them: a finalizer from the start.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/storage/storageobjectinuseprotection
 */
import { core, storage } from "@knarr/api/generated/resources.ts";
import { type AdmissionPlugin, isFor } from "./plugin.ts";

const FINALIZERS = [
  [core.persistentvolumeclaims, "kubernetes.io/pvc-protection"],
  [core.persistentvolumes, "kubernetes.io/pv-protection"],
  [storage.volumeattributesclasses, "kubernetes.io/vac-protection"],
] as const;

export const storageObjectInUseProtection: AdmissionPlugin = {
  name: "StorageObjectInUseProtection",
  admit(attributes) {
    const { operation, object } = attributes;
    if (operation !== "CREATE" || object === undefined) return;
    const finalizer = FINALIZERS.find(([ref]) => isFor(attributes, ref))?.[1];
    const { metadata } = object;
    if (finalizer === undefined || metadata.finalizers?.includes(finalizer) === true) return;
    metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
  },
};
