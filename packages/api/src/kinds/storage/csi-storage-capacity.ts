import { nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { storage } from "../../generated/resources.ts";
import type { CSIStorageCapacity } from "../../generated/types/storage-v1.ts";
import { requireText, validateQuantity } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable, validateLabelSelector } from "../../validation/object-meta.ts";

/** Source: pkg/registry/storage/csistoragecapacity/strategy.go, ValidateCSIStorageCapacity */
export const csiStorageCapacityKind = defineKind<CSIStorageCapacity>({
  ref: storage.csistoragecapacities,
  prefix: "/registry/csistoragecapacities",
  nameRule: subdomainName,
  allowUnconditionalUpdate: false,
  validate(errors, object) {
    validateLabelSelector(errors, "nodeTopology", object.nodeTopology);
    requireText(errors, "storageClassName", object.storageClassName);
    if (object.capacity !== undefined) validateQuantity(errors, "capacity", object.capacity);
    if (object.maximumVolumeSize !== undefined) validateQuantity(errors, "maximumVolumeSize", object.maximumVolumeSize);
  },
  validateUpdate(errors, object, old) {
    validateImmutable(errors, "nodeTopology", object.nodeTopology, old.nodeTopology);
    validateImmutable(errors, "storageClassName", object.storageClassName, old.storageClassName);
  },
  columns: [
    nameColumn(),
    textColumn("StorageClassName", (object) => object.storageClassName),
    textColumn("Capacity", (object) => object.capacity ?? "<unset>"),
  ],
});
