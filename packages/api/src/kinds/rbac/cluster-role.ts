import { defineKind } from "../../define-kind.ts";
import { rbac } from "../../generated/resources.ts";
import type { ClusterRole } from "../../generated/types/rbac-v1.ts";
import { pathSegmentName } from "../../validation/names.ts";
import { validateLabelSelector } from "../../validation/object-meta.ts";
import { roleColumns, validateRules } from "./rules.ts";

/** Source: pkg/registry/rbac/clusterrole/strategy.go */
export const clusterRoleKind = defineKind<ClusterRole>({
  ref: rbac.clusterroles,
  prefix: "/registry/clusterroles",
  nameRule: pathSegmentName,
  allowCreateOnUpdate: true,
  validate(errors, role) {
    validateRules(errors, role.rules, false);
    const selectors = role.aggregationRule?.clusterRoleSelectors;
    if (role.aggregationRule === undefined) return;
    if ((selectors ?? []).length === 0) {
      const detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
      errors.required("aggregationRule.clusterRoleSelectors", detail);
    }
    for (const [i, selector] of (selectors ?? []).entries()) {
      validateLabelSelector(errors, `aggregationRule.clusterRoleSelectors[${i}]`, selector);
    }
  },
  columns: roleColumns(),
});
