import { nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { networking } from "../../generated/resources.ts";
import type { IPAddress } from "../../generated/types/networking-v1.ts";
import { requireText } from "../../validation/common.ts";
import { canonicalIp, ipRule, isIp } from "../../validation/ip.ts";
import type { NameRule } from "../../validation/names.ts";

/** The name is the address itself, in canonical form. Source: ValidateIPAddressName */
const addressName: NameRule = (name) => {
  if (!isIp(name)) return [ipRule];
  return canonicalIp(name) === name ? [] : [`must be in canonical form (${JSON.stringify(canonicalIp(name))})`];
};

function parentText({ spec }: IPAddress): string {
  const parent = spec?.parentRef;
  if (parent === undefined) return "";
  const group = (parent.group ?? "") === "" ? "" : `.${parent.group}`;
  const namespace = (parent.namespace ?? "") === "" ? "" : `${parent.namespace}/`;
  return `${parent.resource ?? ""}${group}/${namespace}${parent.name ?? ""}`;
}

/** Source: pkg/registry/networking/ipaddress/strategy.go */
export const ipAddressKind = defineKind<IPAddress>({
  ref: networking.ipaddresses,
  shortNames: ["ip"],
  prefix: "/registry/ipaddresses",
  nameRule: addressName,
  selectable: {
    "spec.parentRef.group": (address) => address.spec?.parentRef?.group ?? "",
    "spec.parentRef.resource": (address) => address.spec?.parentRef?.resource ?? "",
    "spec.parentRef.namespace": (address) => address.spec?.parentRef?.namespace ?? "",
    "spec.parentRef.name": (address) => address.spec?.parentRef?.name ?? "",
  },
  validate(errors, address) {
    const parent = address.spec?.parentRef;
    if (parent === undefined) {
      errors.required("spec.parentRef");
      return;
    }
    requireText(errors, "spec.parentRef.resource", parent.resource);
    requireText(errors, "spec.parentRef.name", parent.name);
  },
  validateUpdate(errors, address, old) {
    if (!deepEqual(address.spec, old.spec))
      errors.invalid("spec.parentRef", address.spec?.parentRef, "field is immutable");
  },
  columns: [nameColumn(), textColumn("ParentRef", parentText)],
});
