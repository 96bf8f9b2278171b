import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from "../../generated/types/core-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { accessModesText } from "./access-modes.ts";
import { defaultClaimSpec } from "./pod-spec/volume-defaults.ts";
import { roundResources } from "./resource-list.ts";
import { storageClassOf } from "./storage-class-of.ts";
import { validateClaimSpec } from "./volume-claims.ts";

/** What stays as it was: everything but the size of a bound claim, its volume, class and attributes. */
function frozen(spec: PersistentVolumeClaimSpec | undefined): Partial<PersistentVolumeClaimSpec> {
  const { resources: _, volumeName: _v, volumeAttributesClassName: _a, ...rest } = spec ?? {};
  return rest;
}

function requestOf(claim: PersistentVolumeClaim): string {
  return claim.spec?.resources?.requests?.storage ?? "0";
}

/** Source: pkg/registry/core/persistentvolumeclaim/strategy.go, ValidatePersistentVolumeClaim */
export const persistentVolumeClaimKind = defineKind<PersistentVolumeClaim>({
  ref: core.persistentvolumeclaims,
  shortNames: ["pvc"],
  subresources: [statusOf("PersistentVolumeClaim")],
  prefix: "/registry/persistentvolumeclaims",
  nameRule: subdomainName,
  generation: "none",
  default(claim) {
    claim.spec ??= {};
    claim.status ??= {};
    claim.status.phase ||= "Pending";
    defaultClaimSpec(claim.spec);
    roundResources(claim.spec.resources?.requests);
    syncDataSources(claim.spec);
  },
  prepareForCreate(claim) {
    claim.status = { phase: "Pending" };
  },
  validate(errors, claim) {
    if (claim.spec !== undefined) validateClaimSpec(errors, "spec", claim.spec);
  },
  validateUpdate(errors, claim, old) {
    const binding = (old.spec?.volumeName ?? "") === "";
    const sameVolume = claim.spec?.volumeName === old.spec?.volumeName;
    if (!deepEqual(frozen(claim.spec), frozen(old.spec)) || !(binding || sameVolume)) {
      const what = "resources.requests and volumeAttributesClassName for bound claims";
      errors.forbidden("spec", `spec is immutable after creation except ${what}\n`);
    }
    const size = requestOf(claim);
    const before = requestOf(old);
    if (!isQuantity(size) || !isQuantity(before)) return;
    const smaller = compareQuantities(size, before) < 0;
    const capacity = old.status?.capacity?.storage;
    // A failed expansion may be taken back as far as what there is already.
    const recovers = capacity !== undefined && compareQuantities(size, capacity) > 0;
    if (smaller && !recovers)
      errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
  },
  columns: [
    nameColumn(),
    textColumn("Status", (claim) =>
      claim.metadata.deletionTimestamp === undefined ? (claim.status?.phase ?? "") : "Terminating",
    ),
    textColumn("Volume", (claim) => claim.spec?.volumeName ?? ""),
    textColumn("Capacity", (claim) => (claim.spec?.volumeName ? (claim.status?.capacity?.storage ?? "0") : "")),
    textColumn("Access Modes", (claim) => (claim.spec?.volumeName ? accessModesText(claim.status?.accessModes) : "")),
    textColumn("StorageClass", storageClassOf),
    textColumn("VolumeAttributesClass", (claim) => claim.spec?.volumeAttributesClassName ?? "<unset>"),
    ageColumn(),
    textColumn("VolumeMode", (claim) => claim.spec?.volumeMode ?? "<unset>", "wide"),
  ],
});

/** dataSource and dataSourceRef say the same when no other namespace is meant. Source: NormalizeDataSources */
function syncDataSources(spec: PersistentVolumeClaimSpec): void {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource !== undefined && dataSourceRef === undefined) spec.dataSourceRef = { ...dataSource };
  else if (dataSourceRef !== undefined && dataSource === undefined && !dataSourceRef.namespace) {
    const { namespace: _, ...local } = dataSourceRef;
    spec.dataSource = local;
  }
}
