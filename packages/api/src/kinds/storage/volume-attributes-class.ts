import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { storage } from "../../generated/resources.ts";
import type { VolumeAttributesClass } from "../../generated/types/storage-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateParameters, validateProvisioner } from "./parameters.ts";

const defaultAnnotation = "volumeattributesclass.alpha.kubernetes.io/is-default-class";

/** Source: pkg/registry/storage/volumeattributesclass/strategy.go */
export const volumeAttributesClassKind = defineKind<VolumeAttributesClass>({
  ref: storage.volumeattributesclasses,
  shortNames: ["vac"],
  prefix: "/registry/volumeattributesclasses",
  nameRule: subdomainName,
  validate(errors, object) {
    validateProvisioner(errors, "driverName", object.driverName);
    if (Object.keys(object.parameters ?? {}).length === 0)
      errors.required("parameters", "must contain at least one key/value pair");
    validateParameters(errors, "parameters", object.parameters);
  },
  validateUpdate(errors, object, old) {
    if (object.driverName !== old.driverName) errors.forbidden("driverName", "updates to driverName are forbidden.");
    if (!deepEqual(object.parameters, old.parameters))
      errors.forbidden("parameters", "updates to parameters are forbidden.");
  },
  columns: [
    {
      ...nameColumn<VolumeAttributesClass>(),
      cell: ({ metadata }) =>
        `${metadata.name ?? ""}${metadata.annotations?.[defaultAnnotation] === "true" ? " (default)" : ""}`,
    },
    textColumn("DriverName", (object) => object.driverName),
    ageColumn(),
  ],
});
