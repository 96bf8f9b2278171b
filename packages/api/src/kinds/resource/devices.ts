/** Devices as drivers publish them in ResourceSlices. Source: k8s.io/kubernetes/pkg/apis/resource/validation, validateDevice */

import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { addQuantities, compareQuantities, isQuantity, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { deepEqual } from "../../deep-equal.ts";
import type {
  CapacityRequestPolicyRange,
  Counter,
  Device,
  DeviceAttribute,
  DeviceCapacity,
  DeviceCounterConsumption,
} from "../../generated/types/resource-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { utf8Length } from "../../validation/sizes.ts";
import { validateNodeSelector } from "../core/pod-spec/scheduling.ts";
import {
  validateAttributeName,
  validateBindingConditions,
  validateEach,
  validateLabelName,
  validateTaint,
  validateUnique,
} from "./device-rules.ts";

const MAX_NAMES = 32;
const MAX_VALUES = 48;
const MAX_VALUE_BYTES = 64;
const MAX_TAINTS = 16;
/** Source: CapacityRequestPolicyDiscreteMaxOptions */
const MAX_VALID_VALUES = 10;
const MAX_CONSUMPTIONS = 2;
export const MAX_COUNTERS = 32;

/** Source: semver.org, as validation.go spells it. */
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/;

function validateText(errors: FieldErrors, path: string, text: string): void {
  if (utf8Length(text) > MAX_VALUE_BYTES) errors.tooLong(path, MAX_VALUE_BYTES);
}

function validateVersion(errors: FieldErrors, path: string, text: string): void {
  if (!SEMVER.test(text)) errors.invalid(path, text, "must be a string compatible with semver.org spec 2.0.0");
  validateText(errors, path, text);
}

function validateAttribute(errors: FieldErrors, path: string, attribute: DeviceAttribute): void {
  const { string, version, strings, versions } = attribute;
  if (string !== undefined) validateText(errors, `${path}.string`, string);
  if (version !== undefined) validateVersion(errors, `${path}.version`, version);
  for (const kind of ["bools", "ints", "strings", "versions"] as const) {
    if (attribute[kind]?.length === 0) errors.invalid(`${path}.${kind}`, [], "must not be empty if specified");
  }
  for (const [i, text] of (strings ?? []).entries()) validateText(errors, `${path}.strings[${i}]`, text);
  for (const [i, text] of (versions ?? []).entries()) validateVersion(errors, `${path}.versions[${i}]`, text);
  const given = Object.values(attribute).filter((value) => value !== undefined).length;
  if (given !== 1) errors.invalid(path, given === 0 ? "" : attribute, "exactly one value must be specified");
}

function countValues({ bools = [], ints = [], strings = [], versions = [] }: DeviceAttribute): number {
  return Math.max(1, bools.length + ints.length + strings.length + versions.length);
}

/** What is no quantity is not compared. */
function isMore(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && isQuantity(a) && isQuantity(b) && compareQuantities(a, b) > 0;
}

/** How much of a capacity one claim may ask for; only where several may share the device. */
function validateCapacity(errors: FieldErrors, path: string, capacity: DeviceCapacity, isShared: boolean): void {
  const policy = capacity.requestPolicy;
  if (policy === undefined) return;
  const at = `${path}.requestPolicy`;
  if (!isShared) return errors.forbidden(at, "allowMultipleAllocations must be true");
  const { default: usual, validValues = [], validRange } = policy;
  if (isMore(usual, capacity.value)) {
    errors.invalid(`${at}.default`, usual, `default is larger than capacity value: ${capacity.value}`);
  }
  if (validValues.length > 0 && validRange !== undefined) {
    const why = 'cannot specify "validValues" and "validRange" at the same time';
    return errors.forbidden(at, `exactly one policy can be specified, ${why}`);
  }
  const rule = validValues.length > 0 ? "validValues" : "validRange";
  if (rule === "validRange" && validRange === undefined) return;
  if (usual === undefined) return errors.required(`${at}.default`, `required when ${rule} is defined`);
  if (validRange === undefined) validateValidValues(errors, `${at}.validValues`, validValues, [usual, capacity.value]);
  else validateValidRange(errors, `${at}.validRange`, validRange, [usual, capacity.value]);
}

/** Source: validateRequestPolicyValidValues */
function validateValidValues(
  errors: FieldErrors,
  path: string,
  values: readonly string[],
  [usual, whole]: readonly [usual: string, whole: string],
): void {
  for (const [i, value] of values.entries()) {
    if (isMore(values[i - 1], value))
      errors.invalid(`${path}[${i}]`, value, "values must be sorted in ascending order");
  }
  validateUnique(errors, path, values, {
    max: MAX_VALID_VALUES,
    key: (value) => (isQuantity(value) ? String(quantityValue(value)) : value),
    check: (at, value) => {
      if (isMore(value, whole)) errors.invalid(at, value, `option is larger than capacity value: ${whole}`);
    },
  });
  // A list that is too long is not looked into.
  const known = values.length > MAX_VALID_VALUES ? [] : values;
  if (!known.some((value) => !isMore(value, usual) && !isMore(usual, value))) {
    errors.invalid(path, usual, "default value is not valid according to the requestPolicy");
  }
}

/** Source: validateRequestPolicyRange */
function validateValidRange(
  errors: FieldErrors,
  path: string,
  { min, max, step }: CapacityRequestPolicyRange,
  [usual, whole]: readonly [usual: string, whole: string],
): void {
  if (isMore(min, whole)) errors.invalid(`${path}.min`, min, `min is larger than capacity value: ${whole}`);
  if (isMore(min, usual)) errors.invalid(`${path}.min`, usual, `default is less than min: ${min}`);
  if (isMore(min, max)) errors.invalid(`${path}.max`, min, `min is larger than max: ${max}`);
  if (isMore(max, whole)) errors.invalid(`${path}.max`, max, `max is larger than capacity value: ${whole}`);
  if (isMore(usual, max)) errors.invalid(`${path}.max`, usual, `default is more than max: ${max}`);
  if (step === undefined || !isQuantity(step) || !isQuantity(min)) return;
  const next = addQuantities(min, step);
  if (isMore(next, whole)) {
    errors.invalid(`${path}.step`, step, `one step ${next} is larger than capacity value: ${whole}`);
  }
  const size = quantityValue(step);
  for (const value of [usual, ...(max === undefined ? [] : [max])]) {
    // Differs from upstream: a step of nothing is refused nowhere there, and dividing by it ends the request with 500.
    if (!isQuantity(value) || (size !== 0 && (quantityValue(value) - quantityValue(min)) % size === 0)) continue;
    errors.invalid(`${path}.step`, value, `value is not a multiple of a given step (${step}) from (${min})`);
  }
}

export function validateCounters(
  errors: FieldErrors,
  path: string,
  counters: Readonly<Record<string, Counter>> | undefined,
): void {
  const names = Object.keys(counters ?? {});
  if (names.length === 0) errors.required(path);
  else if (names.length > MAX_COUNTERS) errors.tooMany(path, names.length, MAX_COUNTERS);
  else for (const name of names) validateLabelName(errors, path, name);
}

function validateConsumption(errors: FieldErrors, path: string, consumption: DeviceCounterConsumption): void {
  validateLabelName(errors, `${path}.counterSet`, consumption.counterSet);
  validateCounters(errors, `${path}.counters`, consumption.counters);
}

const ONE_PLACE =
  "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
const NO_PLACE =
  "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

function validatePlace(errors: FieldErrors, path: string, device: Device, isPerDevice: boolean): void {
  const { nodeName, nodeSelector, allNodes } = device;
  if (!isPerDevice) {
    const isPlaced = nodeName !== undefined || nodeSelector !== undefined || allNodes !== undefined;
    if (isPlaced) errors.invalid(path, null, NO_PLACE);
    return;
  }
  const given: string[] = [];
  if (nodeName === "") errors.invalid(`${path}.nodeName`, nodeName, "must not be empty");
  else if (nodeName !== undefined) {
    given.push("`nodeName`");
    errors.invalidAll(`${path}.nodeName`, nodeName, isDns1123Subdomain(nodeName));
  }
  if (nodeSelector !== undefined) {
    given.push("`nodeSelector`");
    validateNodeSelector(errors, `${path}.nodeSelector`, nodeSelector);
  }
  if (allNodes === true) given.push("`allNodes`");
  else if (allNodes === false) errors.invalid(`${path}.allNodes`, false, "must be either unset or set to true");
  if (given.length === 0) errors.required(path, ONE_PLACE);
  else if (given.length > 1) errors.invalid(path, `{${given.join(", ")}}`, ONE_PLACE);
}

/** What did not change since `old` was fine then. */
export function validateDevice(
  errors: FieldErrors,
  path: string,
  device: Device,
  { old, isPerDevice }: { readonly old: Device | undefined; readonly isPerDevice: boolean },
): void {
  validateLabelName(errors, `${path}.name`, device.name);
  const { attributes = {}, capacity = {} } = device;
  const names = Object.keys(attributes).length + Object.keys(capacity).length;
  if (names > MAX_NAMES) {
    errors.invalid(path, names, `the total number of attributes and capacities must not exceed ${MAX_NAMES}`);
  }
  const values = Object.values(attributes).reduce((sum, attribute) => sum + countValues(attribute), 0);
  if (values > MAX_VALUES) {
    errors.invalid(path, values, `the total number of attribute values must not exceed ${MAX_VALUES}`);
  }
  for (const [name, attribute] of Object.entries(attributes)) {
    validateAttributeName(errors, `${path}.attributes`, name);
    validateAttribute(errors, `${path}.attributes[${name}]`, attribute);
  }
  if (old === undefined || !deepEqual(old.capacity, device.capacity)) {
    for (const [name, one] of Object.entries(capacity)) {
      validateAttributeName(errors, `${path}.capacity`, name);
      validateCapacity(errors, `${path}.capacity[${name}]`, one, device.allowMultipleAllocations === true);
    }
  }
  if (old === undefined || !deepEqual(old.taints, device.taints)) {
    validateEach(errors, `${path}.taints`, device.taints, MAX_TAINTS, (at, taint) => validateTaint(errors, at, taint));
  }
  validateUnique(errors, `${path}.consumesCounters`, device.consumesCounters, {
    max: MAX_CONSUMPTIONS,
    key: ({ counterSet }) => counterSet,
    check: (at, consumption) => validateConsumption(errors, at, consumption),
  });
  validatePlace(errors, path, device, isPerDevice);
  validateBindingConditions(errors, path, device);
}
