import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { PersistentVolume, PersistentVolumeSpec } from "../../generated/types/core-v1.ts";
import { requireText, validateNoBacksteps, validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { accessModesText } from "./access-modes.ts";
import { validateNodeSelector } from "./pod-spec/scheduling.ts";
import { defaultPersistentSource } from "./pod-spec/volume-defaults.ts";
import { validateLegacySource } from "./pod-spec/volume-sources.ts";
import { hostPathTypes } from "./pod-spec/volumes.ts";
import { storageClassOf } from "./storage-class-of.ts";
import { validateAccessModes, validateStorageSize } from "./volume-claims.ts";

/** Fields of the spec that are not a source. */
const notSources = new Set([
  "accessModes",
  "capacity",
  "claimRef",
  "mountOptions",
  "nodeAffinity",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "volumeAttributesClassName",
  "volumeMode",
]);

function sourcesOf(spec: PersistentVolumeSpec): string[] {
  return Object.keys(spec).filter((key) => !notSources.has(key));
}

/** What a source says about itself. */
function validateSource(errors: FieldErrors, kind: string, spec: PersistentVolumeSpec): void {
  const path = `spec.${kind}`;
  if (kind === "hostPath") {
    const hostPath = spec.hostPath?.path;
    if (requireText(errors, `${path}.path`, hostPath)) validateNoBacksteps(errors, `${path}.path`, hostPath);
    validateOneOf(errors, `${path}.type`, spec.hostPath?.type, hostPathTypes);
  } else if (kind === "local") {
    const localPath = spec.local?.path;
    if (requireText(errors, `${path}.path`, localPath)) validateNoBacksteps(errors, `${path}.path`, localPath);
    if (spec.nodeAffinity === undefined) errors.required("spec.nodeAffinity", "Local volume requires node affinity");
  } else if (kind === "nfs") {
    requireText(errors, `${path}.server`, spec.nfs?.server);
    if (requireText(errors, `${path}.path`, spec.nfs?.path) && !spec.nfs?.path.startsWith("/")) {
      errors.invalid(`${path}.path`, spec.nfs?.path, "must be an absolute path");
    }
  } else if (kind === "csi") {
    requireText(errors, `${path}.driver`, spec.csi?.driver);
    requireText(errors, `${path}.volumeHandle`, spec.csi?.volumeHandle);
  } else validateLegacySource(errors, path, kind, spec as object);
}

function validateSpec(errors: FieldErrors, spec: PersistentVolumeSpec): void {
  validateAccessModes(errors, "spec.accessModes", spec.accessModes);
  if (Object.keys(spec.capacity ?? {}).length === 0) errors.required("spec.capacity");
  for (const [name, size] of Object.entries(spec.capacity ?? {})) {
    if (name === "storage") validateStorageSize(errors, "spec.capacity[storage]", size);
    else errors.notSupported("spec.capacity", spec.capacity, ["storage"]);
  }
  const policy = spec.persistentVolumeReclaimPolicy ?? "";
  if (policy !== "")
    validateOneOf(errors, "spec.persistentVolumeReclaimPolicy", policy, ["Delete", "Recycle", "Retain"]);
  const required = spec.nodeAffinity?.required;
  if (spec.nodeAffinity !== undefined && required === undefined) {
    errors.required("spec.nodeAffinity.required", "must specify required node constraints");
  }
  if (required !== undefined) validateNodeSelector(errors, "spec.nodeAffinity.required", required);
  const sources = sourcesOf(spec);
  if (sources.length === 0) errors.required("spec", "must specify a volume type");
  for (const extra of sources.slice(1)) errors.forbidden(`spec.${extra}`, "may not specify more than 1 volume type");
  if (sources[0] !== undefined) validateSource(errors, sources[0], spec);
  if (spec.hostPath?.path === "/" && policy === "Recycle") {
    errors.forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
  }
  const storageClass = spec.storageClassName ?? "";
  if (storageClass !== "") errors.invalidAll("spec.storageClassName", storageClass, isDns1123Subdomain(storageClass));
  if (spec.volumeMode !== undefined) validateOneOf(errors, "spec.volumeMode", spec.volumeMode, ["Block", "Filesystem"]);
}

/** Source: pkg/registry/core/persistentvolume/strategy.go, ValidatePersistentVolume */
export const persistentVolumeKind = defineKind<PersistentVolume>({
  ref: core.persistentvolumes,
  shortNames: ["pv"],
  subresources: [statusOf("PersistentVolume")],
  prefix: "/registry/persistentvolumes",
  nameRule: subdomainName,
  generation: "none",
  default(volume) {
    volume.spec ??= {};
    volume.status ??= {};
    volume.status.phase ||= "Pending";
    volume.spec.persistentVolumeReclaimPolicy ||= "Retain";
    volume.spec.volumeMode ??= "Filesystem";
    defaultPersistentSource(volume.spec);
  },
  prepareForCreate(volume) {
    volume.status = { phase: "Pending" };
  },
  validate(errors, volume) {
    if (volume.spec !== undefined) validateSpec(errors, volume.spec);
  },
  validateUpdate(errors, volume, old) {
    const source = (of: PersistentVolume) => {
      const spec = (of.spec ?? {}) as Record<string, unknown>;
      return Object.fromEntries(sourcesOf(of.spec ?? {}).map((key) => [key, spec[key]]));
    };
    if (!deepEqual(source(volume), source(old))) {
      errors.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
    }
    if (!deepEqual(volume.spec?.volumeMode, old.spec?.volumeMode)) {
      errors.invalid("volumeMode", volume.spec?.volumeMode, "field is immutable");
    }
    if (old.spec?.nodeAffinity !== undefined && !deepEqual(volume.spec?.nodeAffinity, old.spec.nodeAffinity)) {
      errors.invalid(
        "nodeAffinity",
        volume.spec?.nodeAffinity,
        "field is immutable, except for updating from beta label to GA",
      );
    }
  },
  columns: [
    nameColumn(),
    textColumn("Capacity", (volume) => volume.spec?.capacity?.storage ?? "0"),
    textColumn("Access Modes", (volume) => accessModesText(volume.spec?.accessModes)),
    textColumn("Reclaim Policy", (volume) => volume.spec?.persistentVolumeReclaimPolicy ?? ""),
    textColumn("Status", (volume) =>
      volume.metadata.deletionTimestamp === undefined ? (volume.status?.phase ?? "") : "Terminating",
    ),
    textColumn("Claim", (volume) => {
      const claim = volume.spec?.claimRef;
      return claim === undefined ? "" : `${claim.namespace ?? ""}/${claim.name ?? ""}`;
    }),
    textColumn("StorageClass", storageClassOf),
    textColumn("VolumeAttributesClass", (volume) => volume.spec?.volumeAttributesClassName ?? "<unset>"),
    textColumn("Reason", (volume) => volume.status?.reason ?? ""),
    ageColumn(),
    textColumn("VolumeMode", (volume) => volume.spec?.volumeMode ?? "<unset>", "wide"),
  ],
});
