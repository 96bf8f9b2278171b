import { ageColumn, integerColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { policy } from "../../generated/resources.ts";
import type { PodDisruptionBudget } from "../../generated/types/policy-v1.ts";
import { validateNonNegative, validateOneOf } from "../../validation/common.ts";
import { validateAtMost100Percent, validatePositiveIntOrPercent } from "../../validation/int-or-percent.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateLabelSelector } from "../../validation/object-meta.ts";

/** Source: pkg/registry/policy/poddisruptionbudget/strategy.go, ValidatePodDisruptionBudgetSpec */
export const podDisruptionBudgetKind = defineKind<PodDisruptionBudget>({
  ref: policy.poddisruptionbudgets,
  shortNames: ["pdb"],
  subresources: [statusOf("PodDisruptionBudget")],
  prefix: "/registry/poddisruptionbudgets",
  nameRule: subdomainName,
  allowUnconditionalUpdate: false,
  validate(errors, budget) {
    const { spec } = budget;
    if (spec === undefined) return;
    if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined) {
      errors.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for (const field of ["minAvailable", "maxUnavailable"] as const) {
      validatePositiveIntOrPercent(errors, `spec.${field}`, spec[field]);
      validateAtMost100Percent(errors, `spec.${field}`, spec[field]);
    }
    validateLabelSelector(errors, "spec.selector", spec.selector);
    if (spec.unhealthyPodEvictionPolicy !== undefined) {
      const supported = ["AlwaysAllow", "IfHealthyBudget"];
      validateOneOf(errors, "spec.unhealthyPodEvictionPolicy", spec.unhealthyPodEvictionPolicy, supported);
    }
  },
  validateSubresource(errors, budget) {
    for (const field of ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] as const) {
      validateNonNegative(errors, `status.${field}`, budget.status?.[field]);
    }
  },
  columns: [
    nameColumn(),
    textColumn("Min Available", (budget) => String(budget.spec?.minAvailable ?? "N/A")),
    textColumn("Max Unavailable", (budget) => String(budget.spec?.maxUnavailable ?? "N/A")),
    integerColumn("Allowed Disruptions", (budget) => budget.status?.disruptionsAllowed ?? 0),
    ageColumn(),
  ],
});
