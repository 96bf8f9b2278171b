import {
  ageColumn,
  containerColumns,
  formatLabels,
  formatSelector,
  integerColumn,
  nameColumn,
  textColumn,
} from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { apps } from "../../generated/resources.ts";
import type { DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy } from "../../generated/types/apps-v1.ts";
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
import { validateSelector, validateWorkloadTemplate } from "./workload.ts";

function defaultSpec(spec: DaemonSetSpec): void {
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= "RollingUpdate";
  if (spec.updateStrategy.type === "RollingUpdate") {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
  defaultPodTemplate(spec.template);
}

function validateStrategy(errors: FieldErrors, strategy: DaemonSetUpdateStrategy): void {
  const path = "spec.updateStrategy";
  const rolling = strategy.rollingUpdate;
  if (strategy.type === "OnDelete") return;
  if (strategy.type !== "RollingUpdate") {
    errors.notSupported(`${path}.type`, strategy.type ?? "", ["RollingUpdate", "OnDelete"]);
    return;
  }
  if (rolling === undefined) {
    errors.required(`${path}.rollingUpdate`);
    return;
  }
  const at = `${path}.rollingUpdate`;
  for (const field of ["maxUnavailable", "maxSurge"] as const) {
    validatePositiveIntOrPercent(errors, `${at}.${field}`, rolling[field]);
    validateAtMost100Percent(errors, `${at}.${field}`, rolling[field]);
  }
  const hasUnavailable = intOrPercentValue(rolling.maxUnavailable) !== 0;
  const hasSurge = intOrPercentValue(rolling.maxSurge) !== 0;
  if (hasUnavailable && hasSurge) {
    errors.invalid(`${at}.maxSurge`, rolling.maxSurge, "may not be set when maxUnavailable is non-zero");
  } else if (!hasUnavailable && !hasSurge) {
    errors.required(`${at}.maxUnavailable`, "cannot be 0 when maxSurge is 0");
  }
}

const counts = [
  "currentNumberScheduled",
  "numberMisscheduled",
  "desiredNumberScheduled",
  "numberReady",
  "updatedNumberScheduled",
  "numberAvailable",
  "numberUnavailable",
] as const;

/**
 * How often the template has changed: a field of the oldest API, which apps/v1 shows as an annotation. Nobody but the server
 * sets it. Source: pkg/apis/apps/v1/conversion.go, pkg/registry/apps/daemonset/strategy.go
 */
const templateGeneration = "deprecated.daemonset.template.generation";

function generationOf({ metadata }: DaemonSet): number {
  const text = metadata.annotations?.[templateGeneration] ?? "";
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : 1;
}

function setGeneration(set: DaemonSet, generation: number): void {
  set.metadata.annotations = { ...set.metadata.annotations, [templateGeneration]: String(generation) };
}

/** Source: pkg/registry/apps/daemonset/strategy.go, ValidateDaemonSetSpec */
export const daemonSetKind = defineKind<DaemonSet>({
  ref: apps.daemonsets,
  shortNames: ["ds"],
  categories: ["all"],
  subresources: [statusOf("DaemonSet")],
  prefix: "/registry/daemonsets",
  nameRule: subdomainName,
  default(set) {
    if (set.spec !== undefined) defaultSpec(set.spec);
  },
  prepareForCreate(set) {
    setGeneration(set, generationOf(set));
  },
  prepareForUpdate(set, old, subresource) {
    const changed = subresource === "" && !deepEqual(set.spec?.template, old.spec?.template);
    setGeneration(set, generationOf(old) + (changed ? 1 : 0));
  },
  validate(errors, set) {
    const { spec } = set;
    if (spec === undefined) return;
    validateSelector(errors, spec.selector, "daemonset");
    validateWorkloadTemplate(errors, spec.template, { selector: spec.selector, kind: "DaemonSet" });
    validateNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
    validateStrategy(errors, spec.updateStrategy ?? {});
    validateNonNegative(errors, "spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  },
  validateUpdate(errors, set, old) {
    validateImmutable(errors, "spec.selector", set.spec?.selector, old.spec?.selector);
  },
  validateSubresource(errors, set) {
    for (const field of counts) validateNonNegative(errors, `status.${field}`, set.status?.[field]);
  },
  warnings(set) {
    const spec = set.spec?.template?.spec;
    return spec === undefined ? [] : podSpecWarnings("spec.template.spec", spec);
  },
  columns: [
    nameColumn(),
    integerColumn("Desired", (set) => set.status?.desiredNumberScheduled ?? 0),
    integerColumn("Current", (set) => set.status?.currentNumberScheduled ?? 0),
    integerColumn("Ready", (set) => set.status?.numberReady ?? 0),
    integerColumn("Up-to-date", (set) => set.status?.updatedNumberScheduled ?? 0),
    integerColumn("Available", (set) => set.status?.numberAvailable ?? 0),
    textColumn("Node Selector", (set) => formatLabels(set.spec?.template?.spec?.nodeSelector)),
    ageColumn(),
    ...containerColumns<DaemonSet>((set) => set.spec?.template),
    textColumn("Selector", (set) => formatSelector(set.spec?.selector), "wide"),
  ],
});
