import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { autoscaling } from "../../generated/resources.ts";
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerSpec,
  HPAScalingRules,
  MetricSpec,
  MetricStatus,
  MetricValueStatus,
} from "../../generated/types/autoscaling-v2.ts";
import { validateNonNegative, validateOneOf, validateQuantity } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { sources, targetOf, validateMetrics, validateReference } from "./metric-validation.ts";

function defaultRules(rules: HPAScalingRules | undefined, isUp: boolean): HPAScalingRules {
  const percent = { type: "Percent", value: 100, periodSeconds: 15 };
  const policies = isUp ? [{ type: "Pods", value: 4, periodSeconds: 15 }, percent] : [percent];
  return {
    ...(isUp ? { stabilizationWindowSeconds: 0 } : {}),
    selectPolicy: "Max",
    policies,
    ...rules,
  };
}

/** Mutates. Source: pkg/apis/autoscaling/v2/defaults.go */
function defaultSpec(spec: HorizontalPodAutoscalerSpec): void {
  spec.minReplicas ??= 1;
  if ((spec.metrics?.length ?? 0) === 0) {
    const target = { type: "Utilization", averageUtilization: 80 };
    spec.metrics = [{ type: "Resource", resource: { name: "cpu", target } }];
  }
  if (spec.behavior === undefined) return;
  spec.behavior.scaleUp = defaultRules(spec.behavior.scaleUp, true);
  spec.behavior.scaleDown = defaultRules(spec.behavior.scaleDown, false);
}

function validateRules(errors: FieldErrors, path: string, rules: HPAScalingRules | undefined): void {
  if (rules === undefined) return;
  const window = rules.stabilizationWindowSeconds;
  if (window !== undefined && window < 0) {
    errors.invalid(`${path}.stabilizationWindowSeconds`, window, "must be greater than or equal to zero");
  }
  if (window !== undefined && window > 3600) {
    errors.invalid(`${path}.stabilizationWindowSeconds`, window, "must be less than or equal to 3600");
  }
  if (rules.selectPolicy !== undefined) {
    validateOneOf(errors, `${path}.selectPolicy`, rules.selectPolicy, ["Disabled", "Max", "Min"]);
  }
  const policies = rules.policies ?? [];
  if (policies.length === 0) errors.required(`${path}.policies`, "must specify at least one Policy");
  for (const [i, policy] of policies.entries()) {
    const at = `${path}.policies[${i}]`;
    validateOneOf(errors, `${at}.type`, policy.type, ["Percent", "Pods"]);
    if (policy.value <= 0) errors.invalid(`${at}.value`, policy.value, "must be greater than zero");
    if (policy.periodSeconds <= 0)
      errors.invalid(`${at}.periodSeconds`, policy.periodSeconds, "must be greater than zero");
    if (policy.periodSeconds > 1800) {
      errors.invalid(`${at}.periodSeconds`, policy.periodSeconds, "must be less than or equal to 1800");
    }
  }
  if (rules.tolerance !== undefined) validateQuantity(errors, `${path}.tolerance`, rules.tolerance);
}

function validateSpec(
  errors: FieldErrors,
  spec: HorizontalPodAutoscalerSpec,
  old: HorizontalPodAutoscalerSpec | undefined,
): void {
  // One that scales to zero already goes on so, although the feature gate HPAScaleToZero is off.
  const least = old?.minReplicas === 0 ? 0 : 1;
  if (spec.minReplicas !== undefined && spec.minReplicas < least) {
    errors.invalid("spec.minReplicas", spec.minReplicas, `must be greater than or equal to ${least}`);
  }
  if (spec.maxReplicas < 1) errors.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than 0");
  if (spec.minReplicas !== undefined && spec.maxReplicas < spec.minReplicas) {
    errors.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than or equal to `minReplicas`");
  }
  validateReference(errors, "spec.scaleTargetRef", spec.scaleTargetRef);
  validateMetrics(errors, "spec.metrics", spec);
  validateRules(errors, "spec.behavior.scaleUp", spec.behavior?.scaleUp);
  validateRules(errors, "spec.behavior.scaleDown", spec.behavior?.scaleDown);
}

function currentOf(status: MetricStatus | undefined): MetricValueStatus | undefined {
  if (status === undefined) return undefined;
  return status[sources[status.type as keyof typeof sources]]?.current;
}

/** "cpu: 12%/80%" */
function metricText(metric: MetricSpec, status: MetricStatus | undefined): string {
  const target = targetOf(metric);
  const current = currentOf(status);
  if (target === undefined) return "<unknown type>";
  const isResource = metric.type === "Resource" || metric.type === "ContainerResource";
  const prefix = isResource ? `${metric.resource?.name ?? metric.containerResource?.name ?? ""}: ` : "";
  if (target.averageValue !== undefined) {
    const suffix = metric.type === "External" || metric.type === "Object" ? " (avg)" : "";
    return `${prefix}${current?.averageValue ?? "<unknown>"}/${target.averageValue}${suffix}`;
  }
  if (!isResource) return `${current?.value ?? "<unknown>"}/${target.value ?? "0"}`;
  const used = current?.averageUtilization === undefined ? "<unknown>" : `${current.averageUtilization}%`;
  const wanted = target.averageUtilization === undefined ? "<auto>" : `${target.averageUtilization}%`;
  return `${prefix}${used}/${wanted}`;
}

function metricsText(autoscaler: HorizontalPodAutoscaler): string {
  const metrics = autoscaler.spec?.metrics ?? [];
  if (metrics.length === 0) return "<none>";
  const texts = metrics.map((metric, i) => metricText(metric, autoscaler.status?.currentMetrics?.[i]));
  const shown = texts.slice(0, 2).join(", ");
  return texts.length > 2 ? `${shown} + ${texts.length - 2} more...` : shown;
}

/** Source: pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go, ValidateHorizontalPodAutoscaler */
export const horizontalPodAutoscalerKind = defineKind<HorizontalPodAutoscaler>({
  ref: autoscaling.horizontalpodautoscalers,
  shortNames: ["hpa"],
  categories: ["all"],
  subresources: [statusOf("HorizontalPodAutoscaler")],
  prefix: "/registry/horizontalpodautoscalers",
  nameRule: subdomainName,
  generation: "none",
  default(autoscaler) {
    if (autoscaler.spec !== undefined) defaultSpec(autoscaler.spec);
  },
  validate(errors, autoscaler, old) {
    if (autoscaler.spec !== undefined) validateSpec(errors, autoscaler.spec, old?.spec);
  },
  validateSubresource(errors, { status }) {
    validateNonNegative(errors, "status.currentReplicas", status?.currentReplicas);
    validateNonNegative(errors, "status.desiredReplicas", status?.desiredReplicas);
  },
  columns: [
    nameColumn(),
    textColumn("Reference", ({ spec }) => `${spec?.scaleTargetRef.kind ?? ""}/${spec?.scaleTargetRef.name ?? ""}`),
    textColumn("Targets", metricsText),
    textColumn("MinPods", (autoscaler) => String(autoscaler.spec?.minReplicas ?? "<unset>")),
    textColumn("MaxPods", (autoscaler) => autoscaler.spec?.maxReplicas ?? 0),
    textColumn("Replicas", (autoscaler) => autoscaler.status?.currentReplicas ?? 0),
    ageColumn(),
  ],
});
