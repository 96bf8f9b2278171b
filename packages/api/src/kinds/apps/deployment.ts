import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { ageColumn, containerColumns, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind, scaleSubresource, statusOf } from "../../define-kind.ts";
import { apps } from "../../generated/resources.ts";
import type { Deployment, DeploymentSpec, DeploymentStrategy } from "../../generated/types/apps-v1.ts";
import { usableSelector } from "../../usable-selector.ts";
import { validateNonNegative } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import {
  intOrPercentValue,
  validateAtMost100Percent,
  validatePositiveIntOrPercent,
} from "../../validation/int-or-percent.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { defaultPodTemplate } from "../core/pod-spec/defaults.ts";
import { podSpecWarnings } from "../core/pod-warnings.ts";
import { scalePaths, validateSelector, validateWorkloadTemplate } from "./workload.ts";

function defaultSpec(spec: DeploymentSpec): void {
  spec.replicas ??= 1;
  spec.strategy ??= {};
  spec.strategy.type ||= "RollingUpdate";
  if (spec.strategy.type === "RollingUpdate") {
    spec.strategy.rollingUpdate ??= {};
    spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
    spec.strategy.rollingUpdate.maxSurge ??= "25%";
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  defaultPodTemplate(spec.template);
}

function validateRollingUpdate(errors: FieldErrors, path: string, strategy: DeploymentStrategy): void {
  const rolling = strategy.rollingUpdate;
  if (rolling === undefined) {
    errors.required(path, "this should be defaulted and never be nil");
    return;
  }
  validatePositiveIntOrPercent(errors, `${path}.maxUnavailable`, rolling.maxUnavailable);
  validatePositiveIntOrPercent(errors, `${path}.maxSurge`, rolling.maxSurge);
  if (intOrPercentValue(rolling.maxUnavailable) === 0 && intOrPercentValue(rolling.maxSurge) === 0) {
    errors.invalid(`${path}.maxUnavailable`, rolling.maxUnavailable, "may not be 0 when `maxSurge` is 0");
  }
  validateAtMost100Percent(errors, `${path}.maxUnavailable`, rolling.maxUnavailable);
}

function validateStrategy(errors: FieldErrors, strategy: DeploymentStrategy): void {
  const path = "spec.strategy";
  switch (strategy.type) {
    case "Recreate":
      if (strategy.rollingUpdate !== undefined) {
        errors.forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'");
      }
      break;
    case "RollingUpdate":
      validateRollingUpdate(errors, `${path}.rollingUpdate`, strategy);
      break;
    default:
      errors.notSupported(`${path}.type`, strategy.type ?? "", ["Recreate", "RollingUpdate"]);
  }
}

function validateSpec(errors: FieldErrors, spec: DeploymentSpec): void {
  validateNonNegative(errors, "spec.replicas", spec.replicas);
  validateSelector(errors, spec.selector, "deployment");
  validateWorkloadTemplate(errors, spec.template, { selector: spec.selector, kind: "ReplicaSet" });
  validateStrategy(errors, spec.strategy ?? {});
  validateNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
  validateNonNegative(errors, "spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  const deadline = spec.progressDeadlineSeconds;
  if (deadline === undefined) return;
  validateNonNegative(errors, "spec.progressDeadlineSeconds", deadline);
  if (deadline <= (spec.minReadySeconds ?? 0)) {
    errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
  }
}

/** Unlike other kinds' columns, nothing for an empty selector. */
function selectorText(deployment: Deployment): string {
  const selector = deployment.spec?.selector;
  return usableSelector(selector) === undefined ? "<invalid>" : formatLabelSelector(selector);
}

/** Source: pkg/registry/apps/deployment/strategy.go */
export const deploymentKind = defineKind<Deployment>({
  ref: apps.deployments,
  shortNames: ["deploy"],
  categories: ["all"],
  subresources: [scaleSubresource, statusOf("Deployment")],
  scale: scalePaths,
  prefix: "/registry/deployments",
  nameRule: subdomainName,
  default(deployment) {
    if (deployment.spec !== undefined) defaultSpec(deployment.spec);
  },
  resetFields: { status: [["spec"], ["metadata", "labels"]] },
  prepareForUpdate(deployment, old, subresource) {
    if (subresource === "status") {
      if (old.metadata.labels === undefined) delete deployment.metadata.labels;
      else deployment.metadata.labels = old.metadata.labels;
    }
    // Annotations are copied to the ReplicaSets, so a change of them must be noticed too.
    const { metadata } = deployment;
    const bumped = metadata.generation !== old.metadata.generation;
    if (subresource === "" && !bumped && !deepEqual(metadata.annotations, old.metadata.annotations)) {
      bumpGeneration(deployment, old);
    }
  },
  validate(errors, deployment) {
    if (deployment.spec !== undefined) validateSpec(errors, deployment.spec);
  },
  validateUpdate(errors, deployment, old) {
    validateImmutable(errors, "spec.selector", deployment.spec?.selector, old.spec?.selector);
  },
  validateSubresource(errors, deployment) {
    const { status } = deployment;
    for (const field of [
      "replicas",
      "updatedReplicas",
      "readyReplicas",
      "availableReplicas",
      "unavailableReplicas",
    ] as const) {
      validateNonNegative(errors, `status.${field}`, status?.[field]);
    }
    const replicas = status?.replicas ?? 0;
    const available = status?.availableReplicas ?? 0;
    if ((status?.updatedReplicas ?? 0) > replicas) {
      errors.invalid("status.updatedReplicas", status?.updatedReplicas, "cannot be greater than status.replicas");
    }
    if ((status?.readyReplicas ?? 0) > replicas) {
      errors.invalid("status.readyReplicas", status?.readyReplicas, "cannot be greater than status.replicas");
    }
    if (available > replicas)
      errors.invalid("status.availableReplicas", available, "cannot be greater than status.replicas");
    if (available > (status?.readyReplicas ?? 0)) {
      errors.invalid("status.availableReplicas", available, "cannot be greater than readyReplicas");
    }
  },
  warnings(deployment) {
    const spec = deployment.spec?.template?.spec;
    return spec === undefined ? [] : podSpecWarnings("spec.template.spec", spec);
  },
  columns: [
    nameColumn(),
    textColumn("Ready", (d) => `${d.status?.readyReplicas ?? 0}/${d.spec?.replicas ?? 0}`),
    textColumn("Up-to-date", (d) => d.status?.updatedReplicas ?? 0),
    textColumn("Available", (d) => d.status?.availableReplicas ?? 0),
    ageColumn(),
    ...containerColumns<Deployment>((d) => d.spec?.template),
    textColumn("Selector", selectorText, "wide"),
  ],
});
