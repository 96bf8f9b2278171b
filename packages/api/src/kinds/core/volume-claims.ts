/** Claims and what they share with volumes. Source: core/validation ValidatePersistentVolumeClaimSpec */
import { isDns1123Label, isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import type { PersistentVolumeClaimSpec } from "../../generated/types/core-v1.ts";
import { requireText, validateOneOf, validateQuantity } from "../../validation/common.ts";
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

function isSame(a: DataSource, b: DataSource): boolean {
  return a.kind === b.kind && a.name === b.name && (a.apiGroup ?? "") === (b.apiGroup ?? "");
}

interface DataSource {
  readonly apiGroup?: string | undefined;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string | undefined;
}

/** Source: validateDataSource, validateDataSourceRef */
function validateDataSource(errors: FieldErrors, path: string, source: DataSource | undefined): void {
  if (source === undefined) return;
  requireText(errors, `${path}.name`, source.name);
  requireText(errors, `${path}.kind`, source.kind);
  const { apiGroup = "", namespace = "" } = source;
  if (apiGroup === "" && source.kind !== "PersistentVolumeClaim") {
    errors.invalid(path, source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  }
  if (apiGroup !== "") errors.invalidAll(`${path}.apiGroup`, apiGroup, isDns1123Subdomain(apiGroup));
  if (namespace !== "") errors.invalidAll(`${path}.namespace`, namespace, isDns1123Label(namespace));
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
  const { dataSource, dataSourceRef } = spec;
  validateDataSource(errors, `${path}.dataSource`, dataSource);
  validateDataSource(errors, `${path}.dataSourceRef`, dataSourceRef);
  if (dataSource !== undefined && (dataSourceRef?.namespace ?? "") !== "") {
    errors.invalid(path, {}, "may not be specified when dataSourceRef.namespace is specified");
  } else if (dataSource !== undefined && dataSourceRef !== undefined && !isSame(dataSource, dataSourceRef)) {
    errors.invalid(path, {}, "must match dataSourceRef");
  }
  if ((spec.volumeAttributesClassName ?? "") !== "") {
    const name = spec.volumeAttributesClassName ?? "";
    errors.invalidAll(`${path}.volumeAttributesClassName`, name, isDns1123Subdomain(name));
  }
}
