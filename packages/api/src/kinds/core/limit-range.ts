import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { compareQuantities, isQuantity, parseQuantity } from "@knarr/apimachinery/quantity.ts";
import { nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { LimitRange, LimitRangeItem } from "../../generated/types/core-v1.ts";
import { validateQuantity } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { roundResources } from "./resource-list.ts";
import { isOvercommitAllowed } from "./resource-names.ts";

const lists = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

/** Source: SetDefaults_LimitRangeItem */
function defaultItem(item: LimitRangeItem): void {
  if (item.type === "Container") {
    const limits = { ...item.max, ...item.default };
    const requests = { ...item.min, ...limits, ...item.defaultRequest };
    if (Object.keys(limits).length > 0) item.default = limits;
    if (Object.keys(requests).length > 0) item.defaultRequest = requests;
  }
  for (const list of lists) roundResources(item[list]);
}

function validateOrder(errors: FieldErrors, path: string, item: LimitRangeItem): void {
  const compare = (low: (typeof lists)[number], high: (typeof lists)[number], words: string) => {
    for (const [name, amount] of Object.entries(item[low] ?? {})) {
      const other = item[high]?.[name];
      if (other === undefined || !isQuantity(amount) || !isQuantity(other)) continue;
      if (compareQuantities(amount, other) > 0) {
        errors.invalid(
          `${path}.${low}[${name}]`,
          amount,
          `${words} ${amount} is greater than ${wordsOf[high]} ${other}`,
        );
      }
    }
  };
  compare("min", "max", "min value");
  // What lies below the minimum is named by the higher field.
  for (const high of ["defaultRequest", "default"] as const) {
    for (const [name, amount] of Object.entries(item[high] ?? {})) {
      const least = item.min?.[name];
      if (least === undefined || !isQuantity(amount) || !isQuantity(least)) continue;
      if (compareQuantities(least, amount) <= 0) continue;
      const words = high === "default" ? "default value" : "default request value";
      const value = high === "default" ? least : amount;
      errors.invalid(`${path}.${high}[${name}]`, value, `min value ${least} is greater than ${words} ${amount}`);
    }
  }
  compare("defaultRequest", "max", "default request value");
  compare("defaultRequest", "default", "default request value");
  compare("default", "max", "default value");
}

function quantityNumber(text: string): number {
  return Number(parseQuantity(text).nanos) / 1e9;
}

function validateRatio(errors: FieldErrors, path: string, item: LimitRangeItem): void {
  for (const [name, ratio] of Object.entries(item.maxLimitRequestRatio ?? {})) {
    if (!isQuantity(ratio)) continue;
    const at = `${path}.maxLimitRequestRatio[${name}]`;
    if (compareQuantities(ratio, "1") < 0) errors.invalid(at, ratio, `ratio ${ratio} is less than 1`);
    const { [name]: max } = item.max ?? {};
    const { [name]: min } = item.min ?? {};
    if (max === undefined || min === undefined || !isQuantity(max) || !isQuantity(min)) continue;
    const limit = quantityNumber(max) / quantityNumber(min);
    if (quantityNumber(ratio) > limit) {
      errors.invalid(at, ratio, `ratio ${ratio} is greater than max/min = ${limit.toFixed(6)}`);
    }
  }
}

/** Extended resources and huge pages cannot be promised more than they are. */
function validateNoOvercommit(errors: FieldErrors, path: string, item: LimitRangeItem): void {
  for (const [name, request] of Object.entries(item.defaultRequest ?? {})) {
    const limit = item.default?.[name];
    if (isOvercommitAllowed(name) || limit === undefined || !isQuantity(limit) || !isQuantity(request)) continue;
    if (compareQuantities(limit, request) === 0) continue;
    const why = `default value ${limit} must equal to defaultRequest value ${request} in ${name}`;
    errors.invalid(`${path}.defaultRequest[${name}]`, request, why);
  }
}

const wordsOf: Readonly<Record<(typeof lists)[number], string>> = {
  max: "max value",
  min: "min value",
  default: "default limit value",
  defaultRequest: "default request value",
  maxLimitRequestRatio: "max limit/request ratio",
};

/** Source: core/validation ValidateLimitRange */
export const limitRangeKind = defineKind<LimitRange>({
  ref: core.limitranges,
  shortNames: ["limits"],
  prefix: "/registry/limitranges",
  nameRule: subdomainName,
  allowCreateOnUpdate: true,
  default(range) {
    for (const item of range.spec?.limits ?? []) defaultItem(item);
  },
  validate(errors, range) {
    const seen = new Set<string>();
    for (const [i, item] of (range.spec?.limits ?? []).entries()) {
      const path = `spec.limits[${i}]`;
      errors.invalidAll(`${path}.type`, item.type, isQualifiedName(item.type));
      if (seen.has(item.type)) errors.duplicate(`${path}.type`, item.type);
      seen.add(item.type);
      if (item.type === "Pod") {
        if (item.default !== undefined)
          errors.forbidden(`${path}.default`, "may not be specified when `type` is 'Pod'");
        if (item.defaultRequest !== undefined) {
          errors.forbidden(`${path}.defaultRequest`, "may not be specified when `type` is 'Pod'");
        }
      }
      for (const list of lists) {
        for (const [name, amount] of Object.entries(item[list] ?? {})) {
          errors.invalidAll(`${path}.${list}[${name}]`, name, isQualifiedName(name));
          validateQuantity(errors, `${path}.${list}[${name}]`, amount);
        }
      }
      if (item.type === "PersistentVolumeClaim" && !item.min?.storage && !item.max?.storage) {
        errors.required(
          `${path}.limits`,
          "either minimum or maximum storage value is required, but neither was provided",
        );
      }
      validateOrder(errors, path, item);
      validateRatio(errors, path, item);
      validateNoOvercommit(errors, path, item);
    }
  },
  columns: [
    nameColumn(),
    {
      ...textColumn<LimitRange>("Created At", (range) => range.metadata.creationTimestamp ?? "<unknown>"),
      type: "date",
    },
  ],
});
