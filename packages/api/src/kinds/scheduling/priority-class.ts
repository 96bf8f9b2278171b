import { ageColumn, integerColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { scheduling } from "../../generated/resources.ts";
import type { PriorityClass } from "../../generated/types/scheduling-v1.ts";
import { validateOneOf } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";

const maxUserValue = 1_000_000_000;
const systemClasses: Readonly<Record<string, number>> = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
};

/** Source: pkg/registry/scheduling/priorityclass/strategy.go, ValidatePriorityClass */
export const priorityClassKind = defineKind<PriorityClass>({
  ref: scheduling.priorityclasses,
  shortNames: ["pc"],
  prefix: "/registry/priorityclasses",
  nameRule: subdomainName,
  default(object) {
    object.preemptionPolicy ??= "PreemptLowerPriority";
  },
  prepareForCreate(object) {
    object.metadata.generation = 1;
  },
  validate(errors, object) {
    const name = object.metadata.name ?? "";
    if (name.startsWith("system-")) {
      if (systemClasses[name] === undefined) {
        const detail = "priority class names with 'system-' prefix are reserved for system use only. error: ";
        errors.forbidden("metadata.name", `${detail}${name} is not a known system priority class`);
      } else if (object.value !== systemClasses[name]) {
        const detail = "priority class names with 'system-' prefix are reserved for system use only. error: ";
        errors.forbidden("metadata.name", `${detail}value of ${name} PriorityClass must be ${systemClasses[name]}`);
      }
    } else if ((object.value ?? 0) > maxUserValue) {
      errors.forbidden("value", `maximum allowed value of a user defined priority is ${maxUserValue}`);
    }
    if (object.preemptionPolicy !== undefined) {
      validateOneOf(errors, "preemptionPolicy", object.preemptionPolicy, ["Never", "PreemptLowerPriority"]);
    }
  },
  validateUpdate(errors, object, old) {
    if (object.value !== old.value) errors.forbidden("value", "may not be changed in an update.");
    if ((object.preemptionPolicy ?? "PreemptLowerPriority") !== (old.preemptionPolicy ?? "PreemptLowerPriority")) {
      errors.invalid("preemptionPolicy", object.preemptionPolicy, "field is immutable");
    }
  },
  columns: [
    nameColumn(),
    integerColumn("Value", (object) => object.value ?? 0),
    { ...textColumn<PriorityClass>("Global-Default", (object) => object.globalDefault ?? false), type: "boolean" },
    ageColumn(),
    textColumn("PreemptionPolicy", (object) => object.preemptionPolicy ?? ""),
  ],
});
