import { defineKind } from "../../define-kind.ts";
import { rbac } from "../../generated/resources.ts";
import type { Role } from "../../generated/types/rbac-v1.ts";
import { pathSegmentName } from "../../validation/names.ts";
import { roleColumns, validateRules } from "./rules.ts";

/** Source: pkg/registry/rbac/role/strategy.go */
export const roleKind = defineKind<Role>({
  ref: rbac.roles,
  prefix: "/registry/roles",
  nameRule: pathSegmentName,
  allowCreateOnUpdate: true,
  validate: (errors, role) => validateRules(errors, role.rules, true),
  columns: roleColumns(),
});
