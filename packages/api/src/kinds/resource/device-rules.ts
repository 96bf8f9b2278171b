/**
 * What the kinds of resource.k8s.io have in common: names of drivers, pools and attributes, selectors, configurations, taints and
 * tolerations. Lists that are too long are not looked into: their length is the one error.
 * Source: k8s.io/kubernetes/pkg/apis/resource/validation
 */
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import {
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isQualifiedName,
} from "@knarr/apimachinery/name-validation.ts";
import type {
  DeviceConfiguration,
  DeviceSelector,
  DeviceTaint,
  DeviceToleration,
} from "../../generated/types/resource-v1.ts";
import { requireText, validateRequiredOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { cIdentifierErrors } from "../../validation/names.ts";
import { utf8Length } from "../../validation/sizes.ts";

const MAX_DRIVER_NAME_BYTES = 63;
const MAX_POOL_NAME_BYTES = 253;
const MAX_ID_BYTES = 32;
const MAX_SELECTORS = 32;
const MAX_EXPRESSION_BYTES = 10 * 1024;
/** Of opaque parameters and of the data in a device's status. */
export const MAX_RAW_BYTES = 10 * 1024;
const MAX_BINDING_CONDITIONS = 4;
const MAX_TOLERATIONS = 16;
const TAINT_EFFECTS = ["NoExecute", "NoSchedule", "None"];

type Check<T> = (path: string, item: T) => void;

/** Checks each item of a list that is not too long. */
export function validateEach<T>(
  errors: FieldErrors,
  path: string,
  items: readonly T[] | undefined,
  max: number,
  check: Check<T>,
): void {
  if (items === undefined) return;
  if (items.length > max) errors.tooMany(path, items.length, max);
  else for (const [i, item] of items.entries()) check(`${path}[${i}]`, item);
}

/** As `validateEach`, with keys that must differ. */
export function validateUnique<T>(
  errors: FieldErrors,
  path: string,
  items: readonly T[] | undefined,
  rule: { readonly max: number; readonly key: (item: T) => unknown; readonly check: Check<T> },
): void {
  const seen = new Set<string>();
  validateEach(errors, path, items, rule.max, (at, item) => {
    rule.check(at, item);
    const key = rule.key(item);
    const text = stringifyJson(key) ?? "";
    if (seen.has(text)) errors.duplicate(at, key);
    seen.add(text);
  });
}

export function validateDriver(errors: FieldErrors, path: string, driver: string | undefined): void {
  if (!requireText(errors, path, driver)) return;
  if (utf8Length(driver) > MAX_DRIVER_NAME_BYTES) errors.tooLong(path, MAX_DRIVER_NAME_BYTES);
  errors.invalidAll(path, driver, isDns1123Subdomain(driver.toLowerCase()));
}

export function validateLabelName(errors: FieldErrors, path: string, name: string | undefined): void {
  if (requireText(errors, path, name)) errors.invalidAll(path, name, isDns1123Label(name));
}

/** Segments of sub-domains, so that drivers can put a node's name into it. */
export function validatePool(errors: FieldErrors, path: string, pool: string | undefined): void {
  if (!requireText(errors, path, pool)) return;
  if (utf8Length(pool) > MAX_POOL_NAME_BYTES) errors.tooLong(path, MAX_POOL_NAME_BYTES);
  for (const part of pool.split("/")) errors.invalidAll(path, part, isDns1123Subdomain(part));
}

function validateIdentifier(errors: FieldErrors, path: string, id: string): void {
  if (utf8Length(id) > MAX_ID_BYTES) errors.tooLong(path, MAX_ID_BYTES);
  errors.invalidAll(path, id, cIdentifierErrors(id));
}

/** The name of an attribute or capacity: `NAME` or `DOMAIN/NAME`. */
export function validateAttributeName(errors: FieldErrors, path: string, name: string): void {
  const [first = "", second, ...more] = name.split("/");
  if (more.length > 0) return errors.invalid(path, name, "must not contain more than one slash");
  if (second === undefined) return validateIdentifier(errors, path, first);
  if (first === "") errors.invalid(path, "", "the domain must not be empty");
  else validateDriver(errors, path, first);
  if (second === "") errors.invalid(path, "", "the name must not be empty");
  else validateIdentifier(errors, path, second);
}

export function validateFullAttributeName(errors: FieldErrors, path: string, name: string): void {
  validateAttributeName(errors, path, name);
  if (!name.includes("/")) {
    errors.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash");
  }
}

/** Whether an expression is CEL is the API server's question. */
export function validateSelectors(
  errors: FieldErrors,
  path: string,
  selectors: readonly DeviceSelector[] | undefined,
): void {
  validateEach(errors, path, selectors, MAX_SELECTORS, (at, { cel }) => {
    if (cel === undefined) return errors.required(`${at}.cel`);
    if (!requireText(errors, `${at}.cel.expression`, cel.expression)) return;
    if (utf8Length(cel.expression) > MAX_EXPRESSION_BYTES) {
      errors.tooLong(`${at}.cel.expression`, MAX_EXPRESSION_BYTES);
    }
  });
}

export function validateConfiguration(errors: FieldErrors, path: string, { opaque }: DeviceConfiguration): void {
  if (opaque === undefined) return errors.required(`${path}.opaque`);
  validateDriver(errors, `${path}.opaque.driver`, opaque.driver);
  validateRaw(errors, `${path}.opaque.parameters`, opaque.parameters);
}

/** JSON of any content, but an object. */
export function validateRaw(errors: FieldErrors, path: string, value: unknown): void {
  if (value === undefined || value === null) return errors.required(path);
  if (utf8Length(stringifyJson(value)) > MAX_RAW_BYTES) errors.tooLong(path, MAX_RAW_BYTES);
  else if (typeof value !== "object" || Array.isArray(value)) {
    errors.invalid(path, "<value omitted>", "must be a valid JSON object");
  }
}

function validateTaintKey(errors: FieldErrors, path: string, key: string | undefined): void {
  // Source: metav1validation.ValidateLabelName, which names no key as what it is.
  errors.invalidAll(path, key ?? "", isQualifiedName(key ?? ""));
}

export function validateTaint(errors: FieldErrors, path: string, taint: DeviceTaint): void {
  validateTaintKey(errors, `${path}.key`, taint.key);
  if (taint.value !== undefined) errors.invalidAll(`${path}.value`, taint.value, isLabelValue(taint.value));
  validateRequiredOneOf(errors, `${path}.effect`, taint.effect, TAINT_EFFECTS);
}

export function validateTolerations(
  errors: FieldErrors,
  path: string,
  tolerations: readonly DeviceToleration[] | undefined,
): void {
  validateEach(errors, path, tolerations, MAX_TOLERATIONS, (at, { key = "", operator, value = "", effect }) => {
    if (key !== "") validateTaintKey(errors, `${at}.key`, key);
    validateRequiredOneOf(errors, `${at}.operator`, operator, ["Equal", "Exists"]);
    if (operator === "Exists" && value !== "") {
      errors.invalid(`${at}.value`, value, "must be empty for operator `Exists`");
    }
    if (operator === "Equal") errors.invalidAll(`${at}.value`, value, isLabelValue(value));
    if (effect !== undefined && effect !== "" && !TAINT_EFFECTS.includes(effect)) {
      errors.notSupported(`${at}.effect`, effect, TAINT_EFFECTS);
    }
  });
}

/** Conditions that binding waits for, and those that end it: both or none, and no condition in both. */
export function validateBindingConditions(
  errors: FieldErrors,
  path: string,
  conditions: {
    readonly bindingConditions?: string[] | undefined;
    readonly bindingFailureConditions?: string[] | undefined;
  },
): void {
  const { bindingConditions: good = [], bindingFailureConditions: bad = [] } = conditions;
  const name = (at: string, condition: string) => validateTaintKey(errors, at, condition);
  const rule = { max: MAX_BINDING_CONDITIONS, key: (condition: string) => condition };
  validateUnique(errors, `${path}.bindingConditions`, good, { ...rule, check: name });
  validateUnique(errors, `${path}.bindingFailureConditions`, bad, {
    ...rule,
    check: (at, condition) => {
      name(at, condition);
      if (!good.includes(condition)) return;
      errors.invalid(at, condition, "bindingFailureConditions must not overlap with bindingConditions");
    },
  });
  if (good.length === 0 && bad.length > 0) {
    errors.invalid(`${path}.bindingConditions`, [], "bindingConditions are required to use bindingFailureConditions");
  }
  if (bad.length === 0 && good.length > 0) {
    errors.invalid(
      `${path}.bindingFailureConditions`,
      [],
      "bindingFailureConditions are required to use bindingConditions",
    );
  }
}
