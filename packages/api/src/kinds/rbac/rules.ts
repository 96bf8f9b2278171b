/** What roles and bindings share. Source: k8s.io/kubernetes/pkg/apis/rbac/validation */

import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { isDns1123Label, isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import type { PrinterColumn } from "../../descriptor.ts";
import type { PolicyRule, RoleRef, Subject } from "../../generated/types/rbac-v1.ts";
import { requireText } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { pathSegmentName } from "../../validation/names.ts";

export const rbacGroup = "rbac.authorization.k8s.io";

export function validateRules(
  errors: FieldErrors,
  rules: readonly PolicyRule[] | undefined,
  namespaced: boolean,
): void {
  for (const [i, rule] of (rules ?? []).entries()) {
    const path = `rules[${i}]`;
    const urls = rule.nonResourceURLs ?? [];
    if ((rule.verbs ?? []).length === 0) errors.required(`${path}.verbs`, "verbs must contain at least one value");
    if (urls.length > 0) {
      if (namespaced) {
        errors.invalid(`${path}.nonResourceURLs`, urls, "namespaced rules cannot apply to non-resource URLs");
      }
      if ((rule.apiGroups ?? []).length + (rule.resources ?? []).length + (rule.resourceNames ?? []).length > 0) {
        const detail = "rules cannot apply to both regular resources and non-resource URLs";
        errors.invalid(`${path}.nonResourceURLs`, urls, detail);
      }
      continue;
    }
    if ((rule.apiGroups ?? []).length === 0) {
      errors.required(`${path}.apiGroups`, "resource rules must supply at least one api group");
    }
    if ((rule.resources ?? []).length === 0) {
      errors.required(`${path}.resources`, "resource rules must supply at least one resource");
    }
  }
}

/** Mutates. Source: rbac/v1 defaults.go */
export function defaultBinding(binding: { roleRef: RoleRef; subjects?: Subject[] | undefined }): void {
  binding.roleRef.apiGroup ||= rbacGroup;
  for (const subject of binding.subjects ?? []) {
    if (subject.kind === "User" || subject.kind === "Group") subject.apiGroup ||= rbacGroup;
  }
}

export function validateRoleRef(errors: FieldErrors, ref: RoleRef, kinds: readonly string[]): void {
  if (ref.apiGroup !== rbacGroup) errors.notSupported("roleRef.apiGroup", ref.apiGroup, [rbacGroup]);
  if (!kinds.includes(ref.kind)) errors.notSupported("roleRef.kind", ref.kind, kinds);
  if (requireText(errors, "roleRef.name", ref.name)) {
    errors.invalidAll("roleRef.name", ref.name, pathSegmentName(ref.name, false));
  }
}

function validateSubject(errors: FieldErrors, path: string, subject: Subject, namespaced: boolean): void {
  requireText(errors, `${path}.name`, subject.name);
  const group = subject.apiGroup ?? "";
  switch (subject.kind) {
    case "ServiceAccount":
      if (subject.name !== "") errors.invalidAll(`${path}.name`, subject.name, isDns1123Subdomain(subject.name));
      if (group !== "") errors.notSupported(`${path}.apiGroup`, group, [""]);
      if (!namespaced && (subject.namespace ?? "") === "") errors.required(`${path}.namespace`);
      if ((subject.namespace ?? "") !== "") {
        errors.invalidAll(`${path}.namespace`, subject.namespace, isDns1123Label(subject.namespace ?? ""));
      }
      break;
    case "User":
    case "Group":
      if (group !== rbacGroup) errors.notSupported(`${path}.apiGroup`, group, [rbacGroup]);
      break;
    default:
      errors.notSupported(`${path}.kind`, subject.kind, ["ServiceAccount", "User", "Group"]);
  }
}

export function validateSubjects(
  errors: FieldErrors,
  subjects: readonly Subject[] | undefined,
  namespaced: boolean,
): void {
  for (const [i, subject] of (subjects ?? []).entries()) validateSubject(errors, `subjects[${i}]`, subject, namespaced);
}

interface AnyBinding {
  metadata: ObjectMeta;
  roleRef: RoleRef;
  subjects?: Subject[] | undefined;
}

export function bindingColumns<T extends AnyBinding>(): PrinterColumn<T>[] {
  const named = (binding: T, kind: string) =>
    (binding.subjects ?? [])
      .filter((subject) => subject.kind === kind)
      .map((subject) =>
        kind === "ServiceAccount" && subject.namespace ? `${subject.namespace}/${subject.name}` : subject.name,
      )
      .join(", ");
  return [
    nameColumn(),
    textColumn("Role", (binding) => `${binding.roleRef.kind}/${binding.roleRef.name}`),
    ageColumn(),
    textColumn("Users", (binding) => named(binding, "User"), "wide"),
    textColumn("Groups", (binding) => named(binding, "Group"), "wide"),
    textColumn("ServiceAccounts", (binding) => named(binding, "ServiceAccount"), "wide"),
  ];
}

export function roleColumns<T extends { metadata: ObjectMeta }>(): PrinterColumn<T>[] {
  return [
    nameColumn(),
    { ...textColumn<T>("Created At", (role) => role.metadata.creationTimestamp ?? "<unknown>"), type: "date" },
  ];
}
