import { ageColumn, containerColumns, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, scaleSubresource, statusOf } from "../../define-kind.ts";
import { apps } from "../../generated/resources.ts";
import type { StatefulSet, StatefulSetSpec } from "../../generated/types/apps-v1.ts";
import { requireText, validateNonNegative, validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { validatePositiveIntOrPercent } from "../../validation/int-or-percent.ts";
import { labelName } from "../../validation/names.ts";
import { defaultPodTemplate } from "../core/pod-spec/defaults.ts";
import { defaultClaimSpec } from "../core/pod-spec/volume-defaults.ts";
import { podSpecWarnings } from "../core/pod-warnings.ts";
import { validateReplicaStatus } from "./replica-set.ts";
import { scalePaths, validateSelector, validateWorkloadTemplate } from "./workload.ts";

function defaultSpec(spec: StatefulSetSpec): void {
  spec.podManagementPolicy ||= "OrderedReady";
  spec.updateStrategy ??= {};
  if ((spec.updateStrategy.type ?? "") === "") {
    spec.updateStrategy.type = "RollingUpdate";
    spec.updateStrategy.rollingUpdate ??= {};
  }
  if (spec.updateStrategy.type === "RollingUpdate" && spec.updateStrategy.rollingUpdate !== undefined) {
    spec.updateStrategy.rollingUpdate.partition ??= 0;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  defaultPodTemplate(spec.template);
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion = "v1";
    claim.kind = "PersistentVolumeClaim";
    claim.spec ??= {};
    defaultClaimSpec(claim.spec);
    claim.status ??= {};
    claim.status.phase ||= "Pending";
  }
}

function validateStrategies(errors: FieldErrors, spec: StatefulSetSpec): void {
  const policy = spec.podManagementPolicy;
  if (requireText(errors, "spec.podManagementPolicy", policy) && policy !== "OrderedReady" && policy !== "Parallel") {
    errors.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'");
  }
  const strategy = spec.updateStrategy ?? {};
  const rolling = strategy.rollingUpdate;
  if ((strategy.type ?? "") === "") errors.required("spec.updateStrategy");
  else if (strategy.type === "OnDelete") {
    if (rolling !== undefined) {
      errors.invalid("spec.updateStrategy.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'");
    }
  } else if (strategy.type === "RollingUpdate") {
    if (rolling !== undefined) {
      validateNonNegative(errors, "spec.updateStrategy.rollingUpdate.partition", rolling.partition);
      validatePositiveIntOrPercent(errors, "spec.updateStrategy.rollingUpdate.maxUnavailable", rolling.maxUnavailable);
    }
  } else errors.invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'");
}

function validateSpec(errors: FieldErrors, spec: StatefulSetSpec): void {
  validateStrategies(errors, spec);
  for (const field of ["whenDeleted", "whenScaled"] as const) {
    const path = `spec.persistentVolumeClaimRetentionPolicy.${field}`;
    validateOneOf(errors, path, spec.persistentVolumeClaimRetentionPolicy?.[field], ["Delete", "Retain"]);
  }
  validateNonNegative(errors, "spec.replicas", spec.replicas);
  validateNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
  validateNonNegative(errors, "spec.ordinals.start", spec.ordinals?.start);
  validateNonNegative(errors, "spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  validateSelector(errors, spec.selector, "statefulset");
  validateWorkloadTemplate(errors, templateWithClaims(spec), { selector: spec.selector, kind: "StatefulSet" });
}

/** Containers may mount the claim templates: they become volumes of that name. */
function templateWithClaims(spec: StatefulSetSpec): StatefulSetSpec["template"] {
  const claims = (spec.volumeClaimTemplates ?? []).map((claim) => claim.metadata.name ?? "");
  const { template } = spec;
  if (claims.length === 0 || template?.spec === undefined) return template;
  const own = (template.spec.volumes ?? []).filter((volume) => !claims.includes(volume.name));
  const volumes = claims.map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  return { ...template, spec: { ...template.spec, volumes: [...own, ...volumes] } };
}

/** All that an update may change. */
const mutable = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
] as const;

function frozen(spec: StatefulSetSpec | undefined): Partial<StatefulSetSpec> {
  const rest: Partial<StatefulSetSpec> = { ...spec };
  for (const field of mutable) delete rest[field];
  return rest;
}

/** Mutates: in 1.36 the field is behind a gate that is off (KEP-961), so new uses of it vanish. */
function dropMaxUnavailable(set: StatefulSet): void {
  delete set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable;
}

/** Source: pkg/registry/apps/statefulset/strategy.go, ValidateStatefulSetSpec */
export const statefulSetKind = defineKind<StatefulSet>({
  ref: apps.statefulsets,
  shortNames: ["sts"],
  categories: ["all"],
  subresources: [scaleSubresource, statusOf("StatefulSet")],
  scale: scalePaths,
  prefix: "/registry/statefulsets",
  nameRule: labelName,
  default(set) {
    if (set.spec !== undefined) defaultSpec(set.spec);
  },
  prepareForCreate: dropMaxUnavailable,
  prepareForUpdate(set, old) {
    if (old.spec?.updateStrategy?.rollingUpdate?.maxUnavailable === undefined) dropMaxUnavailable(set);
  },
  validate(errors, set) {
    if (set.spec !== undefined) validateSpec(errors, set.spec);
  },
  validateUpdate(errors, set, old) {
    if (deepEqual(frozen(set.spec), frozen(old.spec))) return;
    const quoted = mutable.map((field) => `'${field}'`);
    const list = `${quoted.slice(0, -1).join(", ")} and ${quoted.at(-1)}`;
    errors.forbidden("spec", `updates to statefulset spec for fields other than ${list} are forbidden`);
  },
  validateSubresource: (errors, set) => validateReplicaStatus(errors, set.status),
  warnings(set) {
    const spec = set.spec?.template?.spec;
    return spec === undefined ? [] : podSpecWarnings("spec.template.spec", spec);
  },
  columns: [
    nameColumn(),
    textColumn("Ready", (set) => `${set.status?.readyReplicas ?? 0}/${set.spec?.replicas ?? 0}`),
    ageColumn(),
    ...containerColumns<StatefulSet>((set) => set.spec?.template),
  ],
});
