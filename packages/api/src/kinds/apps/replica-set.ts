import { ageColumn, containerColumns, formatSelector, integerColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, scaleSubresource, statusOf } from "../../define-kind.ts";
import { apps } from "../../generated/resources.ts";
import type { ReplicaSet, ReplicaSetStatus } from "../../generated/types/apps-v1.ts";
import { validateNonNegative } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { defaultPodTemplate } from "../core/pod-spec/defaults.ts";
import { podSpecWarnings } from "../core/pod-warnings.ts";
import { scalePaths, validateSelector, validateWorkloadTemplate } from "./workload.ts";

export function validateReplicaStatus(errors: FieldErrors, status: ReplicaSetStatus | undefined): void {
  const replicas = status?.replicas ?? 0;
  const fields = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] as const;
  validateNonNegative(errors, "status.replicas", replicas);
  for (const field of fields) {
    validateNonNegative(errors, `status.${field}`, status?.[field]);
    if ((status?.[field] ?? 0) > replicas) {
      errors.invalid(`status.${field}`, status?.[field], "cannot be greater than status.replicas");
    }
  }
  const available = status?.availableReplicas ?? 0;
  if (available > (status?.readyReplicas ?? 0)) {
    errors.invalid("status.availableReplicas", available, "cannot be greater than readyReplicas");
  }
}

/** Source: pkg/registry/apps/replicaset/strategy.go, ValidateReplicaSetSpec */
export const replicaSetKind = defineKind<ReplicaSet>({
  ref: apps.replicasets,
  shortNames: ["rs"],
  categories: ["all"],
  subresources: [scaleSubresource, statusOf("ReplicaSet")],
  scale: scalePaths,
  prefix: "/registry/replicasets",
  nameRule: subdomainName,
  selectable: { "status.replicas": (set) => String(set.status?.replicas ?? 0) },
  default(set) {
    if (set.spec === undefined) return;
    set.spec.replicas ??= 1;
    defaultPodTemplate(set.spec.template);
  },
  validate(errors, set) {
    const { spec } = set;
    if (spec === undefined) return;
    validateNonNegative(errors, "spec.replicas", spec.replicas);
    validateNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
    validateSelector(errors, spec.selector, "deployment");
    validateWorkloadTemplate(errors, spec.template, { selector: spec.selector, kind: "ReplicaSet" });
  },
  validateUpdate(errors, set, old) {
    validateImmutable(errors, "spec.selector", set.spec?.selector, old.spec?.selector);
  },
  validateSubresource: (errors, set) => validateReplicaStatus(errors, set.status),
  warnings(set) {
    const spec = set.spec?.template?.spec;
    return spec === undefined ? [] : podSpecWarnings("spec.template.spec", spec);
  },
  columns: [
    nameColumn(),
    integerColumn("Desired", (set) => set.spec?.replicas ?? 0),
    integerColumn("Current", (set) => set.status?.replicas ?? 0),
    integerColumn("Ready", (set) => set.status?.readyReplicas ?? 0),
    ageColumn(),
    ...containerColumns<ReplicaSet>((set) => set.spec?.template),
    textColumn("Selector", (set) => formatSelector(set.spec?.selector), "wide"),
  ],
});
