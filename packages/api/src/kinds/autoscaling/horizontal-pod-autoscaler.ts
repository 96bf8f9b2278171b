import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { autoscaling } from "../../generated/resources.ts";
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerSpec,
  HPAScalingRules,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from "../../generated/types/autoscaling-v2.ts";
import { requireText, validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { pathSegmentName, subdomainName } from "../../validation/names.ts";

const sources = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
} as const;

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
}

function targetOf(metric: MetricSpec): MetricTarget | undefined {
  return metric[sources[metric.type as keyof typeof sources]]?.target;
}

function validateTarget(errors: FieldErrors, path: string, target: MetricTarget): void {
  requireText(errors, `${path}.type`, target.type, "must specify a metric target type");
  if (!["AverageValue", "Utilization", "Value"].includes(target.type)) {
    errors.invalid(`${path}.type`, target.type, "must be either Utilization, Value, or AverageValue");
  }
  for (const field of ["value", "averageValue"] as const) {
    const amount = target[field];
    if (amount !== undefined && !isPositive(amount)) errors.invalid(`${path}.${field}`, amount, "must be positive");
  }
  if (target.averageUtilization !== undefined && target.averageUtilization < 1) {
    errors.invalid(`${path}.averageUtilization`, target.averageUtilization, "must be greater than 0");
  }
}

function isPositive(amount: string | undefined): boolean {
  return amount !== undefined && isQuantity(amount) && compareQuantities(amount, "0") > 0;
}

/** What a source needs besides a target that is right in itself. Source: validateObjectSource and its siblings */
function validateSource(errors: FieldErrors, path: string, metric: MetricSpec): void {
  const { object, external, pods, resource, containerResource } = metric;
  if (object !== undefined) validateReference(errors, `${path}.object.describedObject`, object.describedObject);
  for (const [field, source] of Object.entries({ object, external, pods })) {
    if (source === undefined) continue;
    const at = `${path}.${field}.metric.name`;
    if (requireText(errors, at, source.metric.name, "must specify a metric name")) {
      errors.invalidAll(at, source.metric.name, pathSegmentName(source.metric.name, false));
    }
  }
  for (const [field, source] of Object.entries({ resource, containerResource })) {
    if (source === undefined) continue;
    requireText(errors, `${path}.${field}.name`, source.name, "must specify a resource name");
    if (source === containerResource) {
      requireText(errors, `${path}.${field}.container`, containerResource?.container, "must specify a container");
    }
    const { averageUtilization, averageValue } = source.target;
    const at = `${path}.${field}.target`;
    if (averageUtilization === undefined && averageValue === undefined) {
      errors.required(`${at}.averageUtilization`, "must set either a target raw value or a target utilization");
    } else if (averageUtilization !== undefined && averageValue !== undefined) {
      errors.forbidden(`${at}.averageValue`, "may not set both a target raw value and a target utilization");
    }
  }
  if (object !== undefined && object.target.value === undefined && object.target.averageValue === undefined) {
    errors.required(
      `${path}.object.target.averageValue`,
      "must set either a target value or averageValue for a metric",
    );
  }
  if (external !== undefined) {
    const { value, averageValue } = external.target;
    const at = `${path}.external.target`;
    if (value === undefined && averageValue === undefined) {
      errors.required(`${at}.averageValue`, "must set either a target value for metric or a per-pod target");
    } else if (value !== undefined && averageValue !== undefined) {
      errors.forbidden(`${at}.value`, "may not set both a target value for metric and a per-pod target");
    }
  }
  if (pods !== undefined && !isPositive(pods.target.averageValue)) {
    errors.required(`${path}.pods.target.averageValue`, "must specify a positive target averageValue");
  }
}

function validateReference(errors: FieldErrors, path: string, reference: CrossVersionObjectReference): void {
  for (const field of ["kind", "name"] as const) {
    const value = reference[field];
    if (requireText(errors, `${path}.${field}`, value)) {
      errors.invalidAll(`${path}.${field}`, value, pathSegmentName(value, false));
    }
  }
}

function validateMetric(errors: FieldErrors, path: string, metric: MetricSpec): void {
  if (!requireText(errors, `${path}.type`, metric.type, "must specify a metric source type")) return;
  const types = Object.keys(sources);
  if (!types.includes(metric.type)) {
    errors.notSupported(`${path}.type`, metric.type, types);
    return;
  }
  const field = sources[metric.type as keyof typeof sources];
  const target = targetOf(metric);
  if (metric[field] === undefined)
    errors.required(`${path}.${field}`, "must populate information for the given metric source");
  else if (target !== undefined) {
    validateTarget(errors, `${path}.${field}.target`, target);
    validateSource(errors, path, { type: metric.type, [field]: metric[field] });
  }
  for (const other of Object.values(sources)) {
    if (other !== field && metric[other] !== undefined) {
      errors.forbidden(`${path}.${other}`, "must populate the given metric source only");
    }
  }
}

function validateSpec(errors: FieldErrors, spec: HorizontalPodAutoscalerSpec): void {
  if (spec.minReplicas !== undefined && spec.minReplicas < 1) {
    errors.invalid("spec.minReplicas", spec.minReplicas, "must be greater than or equal to 1");
  }
  if (spec.maxReplicas < 1) errors.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than 0");
  if (spec.minReplicas !== undefined && spec.maxReplicas < spec.minReplicas) {
    errors.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than or equal to `minReplicas`");
  }
  validateReference(errors, "spec.scaleTargetRef", spec.scaleTargetRef);
  for (const [i, metric] of (spec.metrics ?? []).entries()) validateMetric(errors, `spec.metrics[${i}]`, metric);
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
  validate(errors, autoscaler) {
    if (autoscaler.spec !== undefined) validateSpec(errors, autoscaler.spec);
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
