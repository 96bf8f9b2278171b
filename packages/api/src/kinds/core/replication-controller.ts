import { ageColumn, containerColumns, formatLabels, integerColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, scaleSubresource, statusOf } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { ReplicationController } from "../../generated/types/core-v1.ts";
import { validateNonNegative } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateReplicaStatus } from "../apps/replica-set.ts";
import { scalePaths, validateWorkloadTemplate } from "../apps/workload.ts";
import { defaultPodTemplate } from "./pod-spec/defaults.ts";

/** Source: pkg/registry/core/replicationcontroller/strategy.go, ValidateReplicationControllerSpec */
export const replicationControllerKind = defineKind<ReplicationController>({
  ref: core.replicationcontrollers,
  shortNames: ["rc"],
  categories: ["all"],
  subresources: [scaleSubresource, statusOf("ReplicationController")],
  scale: scalePaths,
  prefix: "/registry/controllers",
  nameRule: subdomainName,
  selectable: { "status.replicas": (controller) => String(controller.status?.replicas ?? 0) },
  default(controller) {
    const { spec } = controller;
    if (spec === undefined) return;
    const labels = spec.template?.metadata?.labels;
    if (labels !== undefined) {
      if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
      if (Object.keys(controller.metadata.labels ?? {}).length === 0) controller.metadata.labels = { ...labels };
    }
    spec.replicas ??= 1;
    defaultPodTemplate(spec.template);
  },
  validate(errors, controller) {
    const { spec } = controller;
    if (spec === undefined) return;
    validateNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
    if (Object.keys(spec.selector ?? {}).length === 0) errors.required("spec.selector");
    validateNonNegative(errors, "spec.replicas", spec.replicas);
    const selector = { matchLabels: spec.selector };
    validateWorkloadTemplate(errors, spec.template, { selector, kind: "ReplicationController" });
  },
  validateSubresource: (errors, controller) => validateReplicaStatus(errors, controller.status),
  deletion: { defaultPropagation: "Orphan" },
  columns: [
    nameColumn(),
    integerColumn("Desired", (controller) => controller.spec?.replicas ?? 0),
    integerColumn("Current", (controller) => controller.status?.replicas ?? 0),
    integerColumn("Ready", (controller) => controller.status?.readyReplicas ?? 0),
    ageColumn(),
    ...containerColumns<ReplicationController>((controller) => controller.spec?.template),
    textColumn("Selector", (controller) => formatLabels(controller.spec?.selector), "wide"),
  ],
});
