import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, integerColumn, nameColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { storage } from "../../generated/resources.ts";
import type { CSINode } from "../../generated/types/storage-v1.ts";
import { requireText, validateNonNegative } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateCsiDriverName } from "./csi-names.ts";

/** Source: pkg/registry/storage/csinode/strategy.go, ValidateCSINode */
export const csiNodeKind = defineKind<CSINode>({
  ref: storage.csinodes,
  prefix: "/registry/csinodes",
  nameRule: subdomainName,
  allowUnconditionalUpdate: false,
  validate(errors, object) {
    const names = new Set<string>();
    for (const [i, driver] of (object.spec.drivers ?? []).entries()) {
      const path = `spec.drivers[${i}]`;
      validateCsiDriverName(errors, `${path}.name`, driver.name);
      if (requireText(errors, `${path}.nodeID`, driver.nodeID) && driver.nodeID.length > 256) {
        errors.invalid(`${path}.nodeID`, driver.nodeID, "must be 256 characters or less");
      }
      validateNonNegative(errors, `${path}.allocatable.count`, driver.allocatable?.count);
      const keys = driver.topologyKeys ?? [];
      for (const [j, key] of keys.entries()) {
        if (keys.indexOf(key) < j) errors.duplicate(`${path}.topologyKeys`, key);
        if (requireText(errors, `${path}.topologyKeys`, key)) {
          errors.invalidAll(`${path}.topologyKeys`, key, isQualifiedName(key));
        }
      }
      if (names.has(driver.name)) errors.duplicate(`${path}.name`, driver.name);
      names.add(driver.name);
    }
  },
  validateUpdate(errors, object, old) {
    for (const before of old.spec.drivers ?? []) {
      const now = object.spec.drivers?.find((driver) => driver.name === before.name);
      const fixed = ({ allocatable: _, ...rest }: typeof before) => rest;
      if (now !== undefined && !deepEqual(fixed(now), fixed(before))) {
        errors.invalid("spec.drivers", fixed(now), "field is immutable");
      }
    }
  },
  columns: [nameColumn(), integerColumn("Drivers", (object) => object.spec.drivers?.length ?? 0), ageColumn()],
});
