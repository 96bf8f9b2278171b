import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { storage } from "../../generated/resources.ts";
import type { TopologySelectorTerm } from "../../generated/types/core-v1.ts";
import type { StorageClass } from "../../generated/types/storage-v1.ts";
import { validateRequiredOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { validateParameters, validateProvisioner } from "./parameters.ts";

const defaultAnnotations = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

function nameText(object: StorageClass): string {
  const isDefault = defaultAnnotations.some((key) => object.metadata.annotations?.[key] === "true");
  return `${object.metadata.name ?? ""}${isDefault ? " (default)" : ""}`;
}

/** Source: pkg/apis/storage/validation validateAllowedTopologies, core/validation ValidateTopologySelectorTerm */
function validateTopologies(errors: FieldErrors, path: string, terms: readonly TopologySelectorTerm[] = []): void {
  const seen: Record<string, string[]>[] = [];
  for (const [i, term] of terms.entries()) {
    const byKey: Record<string, string[]> = {};
    const expressions = `${path}[${i}].matchLabelExpressions`;
    for (const [j, { key, values = [] }] of (term.matchLabelExpressions ?? []).entries()) {
      const at = `${expressions}[${j}]`;
      if (values.length === 0) errors.required(`${at}.values`);
      for (const [k, value] of values.entries()) {
        if (values.indexOf(value) < k) errors.duplicate(`${at}.values[${k}]`, value);
      }
      errors.invalidAll(`${at}.key`, key, isQualifiedName(key));
      if (Object.hasOwn(byKey, key)) errors.duplicate(`${at}.key`, key);
      Object.defineProperty(byKey, key, { value: [...new Set(values)].sort(), enumerable: true, configurable: true });
    }
    if (seen.some((other) => deepEqual(other, byKey))) errors.duplicate(expressions, "");
    seen.push(byKey);
  }
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
    validateProvisioner(errors, "provisioner", object.provisioner);
    validateParameters(errors, "parameters", object.parameters);
    validateRequiredOneOf(errors, "reclaimPolicy", object.reclaimPolicy, ["Delete", "Retain"]);
    validateRequiredOneOf(errors, "volumeBindingMode", object.volumeBindingMode, ["Immediate", "WaitForFirstConsumer"]);
    validateTopologies(errors, "allowedTopologies", object.allowedTopologies);
  },
  validateUpdate(errors, object, old) {
    if (!deepEqual(object.parameters ?? {}, old.parameters ?? {})) {
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
