import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { rbac } from "../../generated/resources.ts";
import type { RoleBinding } from "../../generated/types/rbac-v1.ts";
import { pathSegmentName } from "../../validation/names.ts";
import { bindingColumns, defaultBinding, validateRoleRef, validateSubjects } from "./rules.ts";

/** Source: pkg/registry/rbac/rolebinding/strategy.go */
export const roleBindingKind = defineKind<RoleBinding>({
  ref: rbac.rolebindings,
  prefix: "/registry/rolebindings",
  nameRule: pathSegmentName,
  allowCreateOnUpdate: true,
  default: defaultBinding,
  validate(errors, binding) {
    validateRoleRef(errors, binding.roleRef, ["Role", "ClusterRole"]);
    validateSubjects(errors, binding.subjects, true);
  },
  validateUpdate(errors, binding, old) {
    if (!deepEqual(binding.roleRef, old.roleRef)) errors.invalid("roleRef", binding.roleRef, "cannot change roleRef");
  },
  columns: bindingColumns(),
});
