/** What everything with a selector and a pod template checks. Source: k8s.io/kubernetes/pkg/apis/apps/validation */
import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { ScalePaths } from "../../descriptor.ts";
import type { PodTemplateSpec } from "../../generated/types/core-v1.ts";
import { usableSelector } from "../../usable-selector.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { validateLabelSelector } from "../../validation/object-meta.ts";
import { validatePodTemplate } from "../core/pod-spec/validate.ts";

export const scalePaths: ScalePaths = {
  specReplicasPath: ".spec.replicas",
  statusReplicasPath: ".status.replicas",
  labelSelectorPath: ".spec.selector",
};

export function isEmptySelector(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length === 0;
}

/** `kind` as the sentence about empty selectors names it: "deployment", "statefulset" ... */
export function validateSelector(errors: FieldErrors, selector: LabelSelector | undefined, kind: string): void {
  if (selector === undefined) {
    errors.required("spec.selector");
    return;
  }
  validateLabelSelector(errors, "spec.selector", selector);
  if (isEmptySelector(selector)) errors.invalid("spec.selector", selector, `empty selector is invalid for ${kind}`);
}

export interface TemplateRules {
  readonly selector: LabelSelector | undefined;
  /** In the sentence about activeDeadlineSeconds. */
  readonly kind: string;
}

/** A template whose pods run for ever and carry the selector's labels. */
export function validateWorkloadTemplate(
  errors: FieldErrors,
  template: PodTemplateSpec | undefined,
  { selector, kind }: TemplateRules,
): void {
  const path = "spec.template";
  if (template === undefined) {
    errors.required(path);
    return;
  }
  const labels = template.metadata?.labels ?? {};
  const compiled = usableSelector(selector);
  if (selector !== undefined && compiled === undefined)
    errors.invalid("spec.selector", selector, "invalid label selector");
  else if (selector !== undefined && !isEmptySelector(selector) && compiled?.matches(labels) === false) {
    errors.invalid(`${path}.metadata.labels`, labels, "`selector` does not match template `labels`");
  }
  validatePodTemplate(errors, path, template);
  const policy = template.spec?.restartPolicy ?? "";
  if (policy !== "Always") errors.notSupported(`${path}.spec.restartPolicy`, policy, ["Always"]);
  if (template.spec?.activeDeadlineSeconds !== undefined) {
    errors.forbidden(`${path}.spec.activeDeadlineSeconds`, `activeDeadlineSeconds in ${kind} is not Supported`);
  }
}
