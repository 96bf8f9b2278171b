import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { coordination } from "../../generated/resources.ts";
import type { Lease } from "../../generated/types/coordination-v1.ts";
import { subdomainName } from "../../validation/names.ts";

/** Source: pkg/registry/coordination/lease/strategy.go, ValidateLeaseSpec */
export const leaseKind = defineKind<Lease>({
  ref: coordination.leases,
  prefix: "/registry/leases",
  nameRule: subdomainName,
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  validate(errors, lease) {
    const { spec } = lease;
    if (spec?.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0) {
      errors.invalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, "must be greater than 0");
    }
    if (spec?.leaseTransitions !== undefined && spec.leaseTransitions < 0) {
      errors.invalid("spec.leaseTransitions", spec.leaseTransitions, "must be greater than or equal to 0");
    }
    if (spec?.strategy === undefined && spec?.preferredHolder !== undefined && spec.preferredHolder !== "") {
      errors.forbidden("spec.preferredHolder", "may only be specified when `strategy` is defined");
    }
  },
  columns: [nameColumn(), textColumn("Holder", (lease) => lease.spec?.holderIdentity ?? ""), ageColumn()],
});
