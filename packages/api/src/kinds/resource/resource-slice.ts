import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { resource } from "../../generated/resources.ts";
import type { Device, ResourceSlice, ResourceSliceSpec } from "../../generated/types/resource-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { validateNodeSelector } from "../core/pod-spec/scheduling.ts";
import { validateDriver, validateLabelName, validatePool, validateUnique } from "./device-rules.ts";
import { validateCounters, validateDevice } from "./devices.ts";

const MAX_DEVICES = 128;
/** With taints, counters or lists of values, which make devices large. */
const MAX_ELABORATE_DEVICES = 64;
const MAX_COUNTER_SETS = 8;
const ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

function validatePlace(errors: FieldErrors, spec: ResourceSliceSpec): void {
  const { nodeName, nodeSelector } = spec;
  const given: string[] = [];
  if (nodeName === "") {
    errors.invalid("spec.nodeName", nodeName, "must be either unset or set to a non-empty string");
  } else if (nodeName !== undefined) {
    given.push("`nodeName`");
    errors.invalidAll("spec.nodeName", nodeName, isDns1123Subdomain(nodeName));
  }
  if (nodeSelector !== undefined) {
    given.push("`nodeSelector`");
    validateNodeSelector(errors, "spec.nodeSelector", nodeSelector);
    const terms = nodeSelector.nodeSelectorTerms ?? [];
    if (terms.length !== 1) {
      errors.invalid("spec.nodeSelector.nodeSelectorTerms", terms, "must have exactly one node selector term");
    }
  }
  for (const field of ["allNodes", "perDeviceNodeSelection"] as const) {
    if (spec[field] === true) given.push(`\`${field}\``);
    else if (spec[field] === false) errors.invalid(`spec.${field}`, false, "must be either unset or set to true");
  }
  if (given.length === 0) errors.required("spec", ONE_PLACE);
  else if (given.length > 1) {
    errors.invalid("spec", `{${given.join(", ")}}`, `${ONE_PLACE}, but multiple fields are set`);
  }
}

function isElaborate({ taints = [], consumesCounters = [], attributes = {} }: Device): boolean {
  if (taints.length > 0 || consumesCounters.length > 0) return true;
  return Object.values(attributes).some(
    ({ bools, ints, strings, versions }) => (bools ?? ints ?? strings ?? versions) !== undefined,
  );
}

function validateSpec(errors: FieldErrors, spec: ResourceSliceSpec, old: ResourceSliceSpec | undefined): void {
  validateDriver(errors, "spec.driver", spec.driver);
  const { name, resourceSliceCount, generation } = spec.pool;
  validatePool(errors, "spec.pool.name", name);
  if (resourceSliceCount <= 0) {
    errors.invalid("spec.pool.resourceSliceCount", resourceSliceCount, "must be greater than zero");
  }
  if (generation < 0) errors.invalid("spec.pool.generation", generation, "must be greater than or equal to zero");
  validatePlace(errors, spec);
  const { devices = [], sharedCounters = [] } = spec;
  if (devices.length > 0 && sharedCounters.length > 0) {
    errors.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed");
  }
  const before = new Map((old?.devices ?? []).map((device) => [device.name, device]));
  const isPerDevice = spec.perDeviceNodeSelection === true;
  validateUnique(errors, "spec.devices", devices, {
    max: devices.some(isElaborate) ? MAX_ELABORATE_DEVICES : MAX_DEVICES,
    key: (device) => device.name,
    check: (at, device) => validateDevice(errors, at, device, { old: before.get(device.name), isPerDevice }),
  });
  validateUnique(errors, "spec.sharedCounters", sharedCounters, {
    max: MAX_COUNTER_SETS,
    key: (set) => set.name,
    check: (at, set) => {
      validateLabelName(errors, `${at}.name`, set.name);
      validateCounters(errors, `${at}.counters`, set.counters);
    },
  });
}

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
  validate: (errors, { spec }, old) => validateSpec(errors, spec, old?.spec),
  validateUpdate(errors, { spec }, old) {
    validateImmutable(errors, "spec.pool.name", spec.pool.name, old.spec.pool.name);
    validateImmutable(errors, "spec.driver", spec.driver, old.spec.driver);
    validateImmutable(errors, "spec.nodeName", spec.nodeName, old.spec.nodeName);
  },
  columns: [
    nameColumn(),
    textColumn("Node", ({ spec }) => spec.nodeName ?? ""),
    textColumn("Driver", ({ spec }) => spec.driver),
    textColumn("Pool", ({ spec }) => spec.pool.name),
    ageColumn(),
  ],
});
