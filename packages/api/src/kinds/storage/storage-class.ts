import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { storage } from "../../generated/resources.ts";
import type { StorageClass } from "../../generated/types/storage-v1.ts";
import { requireText, validateRequiredOneOf } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";

const defaultAnnotations = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

function nameText(object: StorageClass): string {
  const isDefault = defaultAnnotations.some((key) => object.metadata.annotations?.[key] === "true");
  return `${object.metadata.name ?? ""}${isDefault ? " (default)" : ""}`;
}

/** Source: pkg/registry/storage/storageclass/strategy.go, ValidateStorageClass */
export const storageClassKind = defineKind<StorageClass>({
  ref: storage.storageclasses,
  shortNames: ["sc"],
  prefix: "/registry/storageclasses",
  nameRule: subdomainName,
  default(object) {
    object.reclaimPolicy ??= "Delete";
    object.volumeBindingMode ??= "Immediate";
  },
  validate(errors, object) {
    if (requireText(errors, "provisioner", object.provisioner, object.provisioner)) {
      errors.invalidAll("provisioner", object.provisioner, isQualifiedName(object.provisioner.toLowerCase()));
    }
    if (Object.keys(object.parameters ?? {}).length > 512) errors.tooLong("parameters", 512);
    for (const key of Object.keys(object.parameters ?? {}))
      if (key === "") errors.invalid("parameters", key, "field can not be empty.");
    validateRequiredOneOf(errors, "reclaimPolicy", object.reclaimPolicy, ["Delete", "Retain"]);
    validateRequiredOneOf(errors, "volumeBindingMode", object.volumeBindingMode, ["Immediate", "WaitForFirstConsumer"]);
  },
  validateUpdate(errors, object, old) {
    if (JSON.stringify(object.parameters ?? {}) !== JSON.stringify(old.parameters ?? {})) {
      errors.forbidden("parameters", "updates to parameters are forbidden.");
    }
    if (object.provisioner !== old.provisioner)
      errors.forbidden("provisioner", "updates to provisioner are forbidden.");
    if (object.reclaimPolicy !== old.reclaimPolicy) {
      errors.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden.");
    }
    validateImmutable(errors, "volumeBindingMode", object.volumeBindingMode, old.volumeBindingMode);
  },
  columns: [
    { ...nameColumn<StorageClass>(), cell: nameText },
    textColumn("Provisioner", (object) => object.provisioner),
    textColumn("ReclaimPolicy", (object) => object.reclaimPolicy ?? "Delete"),
    textColumn("VolumeBindingMode", (object) => object.volumeBindingMode ?? "Immediate"),
    textColumn("AllowVolumeExpansion", (object) => object.allowVolumeExpansion ?? false),
    ageColumn(),
  ],
});
