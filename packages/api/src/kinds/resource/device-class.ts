import { ageColumn, nameColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { resource } from "../../generated/resources.ts";
import type { DeviceClass } from "../../generated/types/resource-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { isExtendedResource } from "../core/resource-names.ts";
import { validateConfiguration, validateEach, validateSelectors } from "./device-rules.ts";
import { MAX_CONFIGURATIONS } from "./requests.ts";

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
  validate(errors, { spec }) {
    validateSelectors(errors, "spec.selectors", spec.selectors);
    validateEach(errors, "spec.config", spec.config, MAX_CONFIGURATIONS, (at, config) =>
      validateConfiguration(errors, at, config),
    );
    const { extendedResourceName: name } = spec;
    if (name !== undefined && !isExtendedResource(name)) {
      errors.invalid("spec.extendedResourceName", name, "must be a valid extended resource name");
    }
  },
  columns: [nameColumn(), ageColumn()],
});
