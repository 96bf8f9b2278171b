/**
 * Claims grow only when they are bound and their StorageClass allows it.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/storage/persistentvolume/resize
 */
import { core, storage } from "@knarr/api/generated/resources.ts";
import type { PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import { type AdmissionPlugin, admissionForbidden, isFor } from "./plugin.ts";

const CLASS = "volume.beta.kubernetes.io/storage-class";

export const persistentVolumeClaimResize: AdmissionPlugin = {
  name: "PersistentVolumeClaimResize",
  async validate(attributes, env) {
    if (attributes.operation !== "UPDATE" || !isFor(attributes, core.persistentvolumeclaims)) return;
    const claim = attributes.object as PersistentVolumeClaim;
    const old = attributes.oldObject as PersistentVolumeClaim;
    const size = (of: PersistentVolumeClaim) => of.spec?.resources?.requests?.storage ?? "0";
    if (compareQuantities(size(claim), size(old)) <= 0) return;
    if (old.status?.phase !== "Bound") {
      throw admissionForbidden(attributes, "Only bound persistent volume claims can be expanded");
    }
    const name = claim.metadata.annotations?.[CLASS] ?? claim.spec?.storageClassName ?? "";
    const found = name === "" ? undefined : await env.lookup.get(storage.storageclasses, { namespace: "", name });
    if (found?.allowVolumeExpansion === true) return;
    throw admissionForbidden(
      attributes,
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    );
  },
};
