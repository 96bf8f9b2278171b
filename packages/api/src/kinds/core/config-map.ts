import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { ConfigMap } from "../../generated/types/core-v1.ts";
import { configKeyErrors, subdomainName } from "../../validation/names.ts";
import { base64Length, utf8Length } from "../../validation/sizes.ts";

const sizeLimitBytes = 1024 * 1024;

/** Source: pkg/registry/core/configmap/strategy.go, ValidateConfigMap */
export const configMapKind = defineKind<ConfigMap>({
  ref: core.configmaps,
  shortNames: ["cm"],
  prefix: "/registry/configmaps",
  nameRule: subdomainName,
  validate(errors, map) {
    let sizeBytes = 0;
    for (const [key, value] of Object.entries(map.data ?? {})) {
      errors.invalidAll(`data[${key}]`, key, configKeyErrors(key));
      if (map.binaryData !== undefined && key in map.binaryData) {
        errors.invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
      }
      sizeBytes += utf8Length(value);
    }
    for (const [key, value] of Object.entries(map.binaryData ?? {})) {
      errors.invalidAll(`binaryData[${key}]`, key, configKeyErrors(key));
      sizeBytes += base64Length(value);
    }
    if (sizeBytes > sizeLimitBytes) errors.tooLong("", sizeLimitBytes);
  },
  validateUpdate(errors, map, old) {
    if (old.immutable !== true) return;
    if (map.immutable !== true) errors.forbidden("immutable", "field is immutable when `immutable` is set");
    for (const field of ["data", "binaryData"] as const) {
      if (!deepEqual(map[field], old[field])) errors.forbidden(field, "field is immutable when `immutable` is set");
    }
  },
  columns: [
    nameColumn(),
    textColumn("Data", (map) => Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length),
    ageColumn(),
  ],
});
