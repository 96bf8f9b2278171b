import { isDns1123Label } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { resource } from "../../generated/resources.ts";
import type { ResourceSlice } from "../../generated/types/resource-v1.ts";
import { requireText } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";

const maxDevices = 128;

/** Source: pkg/registry/resource/resourceslice/strategy.go, ValidateResourceSlice */
export const resourceSliceKind = defineKind<ResourceSlice>({
  ref: resource.resourceslices,
  prefix: "/registry/resourceslices",
  nameRule: subdomainName,
  selectable: {
    "spec.nodeName": ({ spec }) => spec.nodeName ?? "",
    "spec.driver": ({ spec }) => spec.driver,
  },
  prepareForCreate(object) {
    object.metadata.generation = 1;
  },
  prepareForUpdate(object, old) {
    if (!deepEqual(object.spec, old.spec)) bumpGeneration(object, old);
  },
  validate(errors, { spec }) {
    const places = [spec.nodeName, spec.nodeSelector, spec.allNodes, spec.perDeviceNodeSelection].filter(
      (place) => place !== undefined && place !== false && place !== "",
    );
    const rule = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    if (places.length === 0) errors.required("spec", rule);
    else if (places.length > 1) errors.invalid("spec", null, `${rule}, but multiple fields are set`);
    if (requireText(errors, "spec.driver", spec.driver)) {
      errors.invalidAll("spec.driver", spec.driver, subdomainName(spec.driver, false));
    }
    requireText(errors, "spec.pool.name", spec.pool.name);
    if (spec.pool.resourceSliceCount <= 0) {
      errors.invalid("spec.pool.resourceSliceCount", spec.pool.resourceSliceCount, "must be greater than zero");
    }
    const devices = spec.devices ?? [];
    if (devices.length > maxDevices) errors.tooMany("spec.devices", devices.length, maxDevices);
    const names = new Set<string>();
    for (const [i, device] of devices.entries()) {
      errors.invalidAll(`spec.devices[${i}].name`, device.name, isDns1123Label(device.name));
      if (names.has(device.name)) errors.duplicate(`spec.devices[${i}].name`, device.name);
      names.add(device.name);
    }
  },
  validateUpdate(errors, { spec }, old) {
    validateImmutable(errors, "spec.driver", spec.driver, old.spec.driver);
    validateImmutable(errors, "spec.pool.name", spec.pool.name, old.spec.pool.name);
    validateImmutable(errors, "spec.nodeName", spec.nodeName, old.spec.nodeName);
  },
  columns: [
    nameColumn(),
    textColumn("Node", ({ spec }) => spec.nodeName || (spec.allNodes === true ? "<all>" : "<selector>")),
    textColumn("Driver", ({ spec }) => spec.driver),
    textColumn("Pool", ({ spec }) => spec.pool.name),
    ageColumn(),
  ],
});
