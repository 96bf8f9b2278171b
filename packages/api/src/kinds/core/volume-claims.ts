/** Claims and what they share with volumes. Source: core/validation ValidatePersistentVolumeClaimSpec */
import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import type { PersistentVolumeClaimSpec } from "../../generated/types/core-v1.ts";
import { validateOneOf, validateQuantity } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { validateLabelSelector } from "../../validation/object-meta.ts";

const accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

export function validateAccessModes(errors: FieldErrors, path: string, modes: readonly string[] | undefined): void {
  if ((modes?.length ?? 0) === 0) errors.required(path, "at least 1 access mode is required");
  for (const mode of modes ?? []) validateOneOf(errors, path, mode, accessModes);
  if (modes?.includes("ReadWriteOncePod") && modes.length > 1) {
    errors.forbidden(path, "may not use ReadWriteOncePod with other access modes");
  }
}

/** A size that must be there and be more than nothing. */
export function validateStorageSize(errors: FieldErrors, path: string, size: string | undefined): void {
  if (size === undefined) {
    errors.required(path);
    return;
  }
  if (validateQuantity(errors, path, size) && isQuantity(size) && compareQuantities(size, "0") === 0) {
    errors.invalid(path, size, "must be greater than zero");
  }
}

export function validateClaimSpec(errors: FieldErrors, path: string, spec: PersistentVolumeClaimSpec): void {
  validateAccessModes(errors, `${path}.accessModes`, spec.accessModes);
  validateLabelSelector(errors, `${path}.selector`, spec.selector);
  const size = spec.resources?.requests?.storage;
  if (size === undefined) errors.required(`${path}.resources[storage]`);
  else validateStorageSize(errors, `${path}.resources[storage]`, size);
  if ((spec.storageClassName ?? "") !== "") {
    errors.invalidAll(
      `${path}.storageClassName`,
      spec.storageClassName,
      isDns1123Subdomain(spec.storageClassName ?? ""),
    );
  }
  if (spec.volumeMode !== undefined)
    validateOneOf(errors, `${path}.volumeMode`, spec.volumeMode, ["Block", "Filesystem"]);
  if ((spec.volumeAttributesClassName ?? "") !== "") {
    const name = spec.volumeAttributesClassName ?? "";
    errors.invalidAll(`${path}.volumeAttributesClassName`, name, isDns1123Subdomain(name));
  }
}
