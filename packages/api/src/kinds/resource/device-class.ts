import { ageColumn, nameColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { resource } from "../../generated/resources.ts";
import type { DeviceClass } from "../../generated/types/resource-v1.ts";
import { requireText } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";

/** Source: pkg/registry/resource/deviceclass/strategy.go. CEL expressions are checked by the API server. */
export const deviceClassKind = defineKind<DeviceClass>({
  ref: resource.deviceclasses,
  prefix: "/registry/deviceclasses",
  nameRule: subdomainName,
  prepareForCreate(object) {
    object.metadata.generation = 1;
  },
  prepareForUpdate(object, old) {
    if (!deepEqual(object.spec, old.spec)) bumpGeneration(object, old);
  },
  validate(errors, object) {
    for (const [i, selector] of (object.spec.selectors ?? []).entries()) {
      if (selector.cel === undefined) errors.required(`spec.selectors[${i}].cel`);
      else requireText(errors, `spec.selectors[${i}].cel.expression`, selector.cel.expression);
    }
  },
  columns: [nameColumn(), ageColumn()],
});
