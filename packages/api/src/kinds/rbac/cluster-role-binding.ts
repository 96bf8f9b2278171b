import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { rbac } from "../../generated/resources.ts";
import type { ClusterRoleBinding } from "../../generated/types/rbac-v1.ts";
import { pathSegmentName } from "../../validation/names.ts";
import { bindingColumns, defaultBinding, validateRoleRef, validateSubjects } from "./rules.ts";

/** Source: pkg/registry/rbac/clusterrolebinding/strategy.go */
export const clusterRoleBindingKind = defineKind<ClusterRoleBinding>({
  ref: rbac.clusterrolebindings,
  prefix: "/registry/clusterrolebindings",
  nameRule: pathSegmentName,
  allowCreateOnUpdate: true,
  default: defaultBinding,
  validate(errors, binding) {
    validateRoleRef(errors, binding.roleRef, ["ClusterRole"]);
    validateSubjects(errors, binding.subjects, false);
  },
  validateUpdate(errors, binding, old) {
    if (!deepEqual(binding.roleRef, old.roleRef)) errors.invalid("roleRef", binding.roleRef, "cannot change roleRef");
  },
  columns: bindingColumns(),
});
