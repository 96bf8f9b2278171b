import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import type { PrinterColumn } from "../../descriptor.ts";
import { storage } from "../../generated/resources.ts";
import type { CSIDriver } from "../../generated/types/storage-v1.ts";
import { validateOneOf } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";

function flagColumn(name: string, cell: (object: CSIDriver) => boolean): PrinterColumn<CSIDriver> {
  return { ...textColumn<CSIDriver>(name, cell), type: "boolean" };
}

/** Source: pkg/registry/storage/csidriver/strategy.go, ValidateCSIDriver; defaults of storage/v1 */
export const csiDriverKind = defineKind<CSIDriver>({
  ref: storage.csidrivers,
  prefix: "/registry/csidrivers",
  nameRule: subdomainName,
  allowUnconditionalUpdate: false,
  default({ spec }) {
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    if ((spec.volumeLifecycleModes?.length ?? 0) === 0) spec.volumeLifecycleModes = ["Persistent"];
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
  },
  prepareForUpdate(object, old) {
    const watched = ({ spec }: CSIDriver) => [spec.tokenRequests, spec.requiresRepublish, spec.seLinuxMount];
    if (!deepEqual(watched(object), watched(old))) bumpGeneration(object, old);
  },
  validate(errors, { metadata, spec }) {
    errors.invalidAll("metadata.name", metadata.name, isDns1123Subdomain((metadata.name ?? "").toLowerCase()));
    const audiences = new Set<string>();
    for (const [i, request] of (spec.tokenRequests ?? []).entries()) {
      const path = `spec.tokenRequests[${i}]`;
      if (audiences.has(request.audience)) {
        errors.duplicate(`${path}.audience`, request.audience);
        continue;
      }
      audiences.add(request.audience);
      const seconds = request.expirationSeconds;
      if (seconds === undefined) continue;
      if (seconds < 600)
        errors.invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes");
      if (seconds > 2 ** 32)
        errors.invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    if (spec.fsGroupPolicy !== undefined) {
      validateOneOf(errors, "spec.fsGroupPolicy", spec.fsGroupPolicy, ["File", "None", "ReadWriteOnceWithFSType"]);
    }
    for (const mode of spec.volumeLifecycleModes ?? []) {
      validateOneOf(errors, "spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"]);
    }
    const period = spec.nodeAllocatableUpdatePeriodSeconds;
    if (period !== undefined && period < 10) {
      errors.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, "must be greater than or equal to 10 seconds");
    }
  },
  validateUpdate(errors, object, old) {
    // The path is upstream's.
    validateImmutable(errors, "spec.attachedRequired", object.spec.attachRequired, old.spec.attachRequired);
    validateImmutable(
      errors,
      "spec.volumeLifecycleModes",
      object.spec.volumeLifecycleModes,
      old.spec.volumeLifecycleModes,
    );
  },
  columns: [
    nameColumn(),
    flagColumn("AttachRequired", ({ spec }) => spec.attachRequired ?? true),
    flagColumn("PodInfoOnMount", ({ spec }) => spec.podInfoOnMount ?? false),
    flagColumn("StorageCapacity", ({ spec }) => spec.storageCapacity ?? false),
    textColumn("TokenRequests", ({ spec }) => spec.tokenRequests?.map((r) => r.audience).join(",") ?? "<unset>"),
    flagColumn("RequiresRepublish", ({ spec }) => spec.requiresRepublish ?? false),
    textColumn("Modes", ({ spec }) => (spec.volumeLifecycleModes ?? []).join(",") || "<none>"),
    ageColumn(),
  ],
});
