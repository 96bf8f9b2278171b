import { defineKind } from "../../define-kind.ts";
import { rbac } from "../../generated/resources.ts";
import type { ClusterRole } from "../../generated/types/rbac-v1.ts";
import { pathSegmentName } from "../../validation/names.ts";
import { roleColumns, validateRules } from "./rules.ts";

/** Source: pkg/registry/rbac/clusterrole/strategy.go */
export const clusterRoleKind = defineKind<ClusterRole>({
  ref: rbac.clusterroles,
  prefix: "/registry/clusterroles",
  nameRule: pathSegmentName,
  allowCreateOnUpdate: true,
  validate: (errors, role) => validateRules(errors, role.rules, false),
  columns: roleColumns(),
});
