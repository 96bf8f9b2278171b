/** What autoscalers measure and aim at. Source: pkg/apis/autoscaling/validation validateMetricSpec */
import { isDns1123Label } from "@knarr/apimachinery/name-validation.ts";
import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import type {
  CrossVersionObjectReference,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from "../../generated/types/autoscaling-v2.ts";
import { requireText } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { pathSegmentName } from "../../validation/names.ts";
import { validateContainerResourceName } from "../core/resource-names.ts";

/** The field of each type of metric. */
export const sources = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
} as const;

type SourceField = (typeof sources)[keyof typeof sources];

export function targetOf(metric: MetricSpec): MetricTarget | undefined {
  return metric[sources[metric.type as keyof typeof sources]]?.target;
}

export function validateReference(errors: FieldErrors, path: string, reference: CrossVersionObjectReference): void {
  for (const field of ["kind", "name"] as const) {
    const value = reference[field];
    if (requireText(errors, `${path}.${field}`, value)) {
      errors.invalidAll(`${path}.${field}`, value, pathSegmentName(value, false));
    }
  }
}

function validateTarget(errors: FieldErrors, path: string, target: MetricTarget): void {
  requireText(errors, `${path}.type`, target.type, "must specify a metric target type");
  if (!["AverageValue", "Utilization", "Value"].includes(target.type)) {
    errors.invalid(`${path}.type`, target.type, "must be either Utilization, Value, or AverageValue");
  }
  for (const field of ["value", "averageValue"] as const) {
    const amount = target[field];
    if (amount === undefined) continue;
    if (!isQuantity(amount) || compareQuantities(amount, "0") <= 0) {
      errors.invalid(`${path}.${field}`, amount, "must be positive");
    }
  }
  if (target.averageUtilization !== undefined && target.averageUtilization < 1) {
    errors.invalid(`${path}.averageUtilization`, target.averageUtilization, "must be greater than 0");
  }
}

function validateIdentifier(errors: FieldErrors, path: string, { name }: MetricIdentifier): void {
  if (requireText(errors, `${path}.name`, name, "must specify a metric name")) {
    errors.invalidAll(`${path}.name`, name, pathSegmentName(name, false));
  }
}

function validateUtilization(errors: FieldErrors, path: string, target: MetricTarget): void {
  validateTarget(errors, path, target);
  const { averageUtilization, averageValue } = target;
  if (averageUtilization === undefined && averageValue === undefined) {
    errors.required(`${path}.averageUtilization`, "must set either a target raw value or a target utilization");
  }
  if (averageUtilization !== undefined && averageValue !== undefined) {
    errors.forbidden(`${path}.averageValue`, "may not set both a target raw value and a target utilization");
  }
}

type SourceRules = {
  [F in SourceField]: (errors: FieldErrors, path: string, source: NonNullable<MetricSpec[F]>) => void;
};

/** In the order in which upstream looks for them. */
const rules: SourceRules = {
  object(errors, path, { describedObject, metric, target }) {
    validateReference(errors, `${path}.describedObject`, describedObject);
    validateIdentifier(errors, `${path}.metric`, metric);
    validateTarget(errors, `${path}.target`, target);
    if (target.value === undefined && target.averageValue === undefined) {
      errors.required(`${path}.target.averageValue`, "must set either a target value or averageValue");
    }
  },
  external(errors, path, { metric, target }) {
    validateIdentifier(errors, `${path}.metric`, metric);
    validateTarget(errors, `${path}.target`, target);
    if (target.value === undefined && target.averageValue === undefined) {
      const detail = "must set either a target value for metric or a per-pod target";
      errors.required(`${path}.target.averageValue`, detail);
    }
    if (target.value !== undefined && target.averageValue !== undefined) {
      errors.forbidden(`${path}.target.value`, "may not set both a target value for metric and a per-pod target");
    }
  },
  pods(errors, path, { metric, target }) {
    validateIdentifier(errors, `${path}.metric`, metric);
    validateTarget(errors, `${path}.target`, target);
    if (target.averageValue === undefined) {
      errors.required(`${path}.target.averageValue`, "must specify a positive target averageValue");
    }
  },
  resource(errors, path, { name, target }) {
    requireText(errors, `${path}.name`, name, "must specify a resource name");
    validateUtilization(errors, `${path}.target`, target);
  },
  containerResource(errors, path, { name, container, target }) {
    if (requireText(errors, `${path}.name`, name, "must specify a resource name")) {
      validateContainerResourceName(errors, `${path}.name`, name);
    }
    if (requireText(errors, `${path}.container`, container, "must specify a container")) {
      errors.invalidAll(`${path}.container`, container, isDns1123Label(container));
    }
    validateUtilization(errors, `${path}.target`, target);
  },
};

function validateSource<F extends SourceField>(errors: FieldErrors, path: string, field: F, metric: MetricSpec): void {
  const source = metric[field];
  if (source !== undefined) rules[field](errors, `${path}.${field}`, source);
}

function validateMetric(errors: FieldErrors, path: string, metric: MetricSpec): void {
  const types = Object.keys(sources);
  requireText(errors, `${path}.type`, metric.type, "must specify a metric source type");
  // Upstream says it twice, and so in two causes.
  const isKnown = types.includes(metric.type);
  if (!isKnown) errors.notSupported(`${path}.type`, metric.type, types);
  const present = (Object.keys(rules) as SourceField[]).filter((field) => metric[field] !== undefined);
  // Only the first is looked into, of whatever type it is.
  if (present[0] !== undefined) validateSource(errors, path, present[0], metric);
  const wanted = isKnown ? sources[metric.type as keyof typeof sources] : undefined;
  if (wanted === undefined) errors.notSupported(`${path}.type`, metric.type, types);
  else if (metric[wanted] === undefined) {
    errors.required(`${path}.${wanted}`, "must populate information for the given metric source");
  }
  if (present.length < 2) return;
  for (const other of present) {
    if (other !== wanted) errors.forbidden(`${path}.${other}`, "must populate the given metric source only");
  }
}

export function validateMetrics(
  errors: FieldErrors,
  path: string,
  {
    metrics = [],
    minReplicas,
  }: { readonly metrics?: readonly MetricSpec[] | undefined; readonly minReplicas?: number | undefined },
): void {
  for (const [i, metric] of metrics.entries()) validateMetric(errors, `${path}[${i}]`, metric);
  if (minReplicas === 0 && !metrics.some(({ type }) => type === "Object" || type === "External")) {
    const detail = "must specify at least one Object or External metric to support scaling to zero replicas";
    errors.forbidden(path, detail);
  }
}
