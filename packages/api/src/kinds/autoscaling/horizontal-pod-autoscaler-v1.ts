/** autoscaling/v1: a view of autoscaling/v2, in which they are stored. Source: pkg/apis/autoscaling/v1/conversion.go */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import type { PrinterColumn } from "../../descriptor.ts";
import { autoscalingV1 } from "../../generated/resources.ts";
import type { HorizontalPodAutoscaler } from "../../generated/types/autoscaling-v1.ts";
import type { MetricSpec, HorizontalPodAutoscaler as Stored } from "../../generated/types/autoscaling-v2.ts";
import { subdomainName } from "../../validation/names.ts";
import { horizontalPodAutoscalerKind as current } from "./horizontal-pod-autoscaler.ts";

/**
 * What v1 has no field for travels in annotations.
 * Differs from upstream: the metrics in the annotation have autoscaling/v2's form, because nothing but the server reads them back.
 */
const metricsAnnotation = "autoscaling.alpha.kubernetes.io/metrics";
const behaviorAnnotation = "autoscaling.alpha.kubernetes.io/behavior";

function isCpuUtilization(metric: MetricSpec): boolean {
  return metric.type === "Resource" && metric.resource?.name === "cpu" && metric.resource.target.type === "Utilization";
}

function parseAnnotation(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    // A client may write anything there; what is no JSON is no metric.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function toStored(object: HorizontalPodAutoscaler): Stored {
  const { targetCPUUtilizationPercentage, ...spec } = object.spec ?? {
    maxReplicas: 0,
    scaleTargetRef: { kind: "", name: "" },
  };
  const annotations = { ...object.metadata.annotations };
  const others = (parseAnnotation(annotations[metricsAnnotation]) ?? []) as MetricSpec[];
  const behavior = parseAnnotation(annotations[behaviorAnnotation]) as NonNullable<Stored["spec"]>["behavior"];
  delete annotations[metricsAnnotation];
  delete annotations[behaviorAnnotation];
  const target = { type: "Utilization", averageUtilization: targetCPUUtilizationPercentage };
  const cpu: MetricSpec[] =
    targetCPUUtilizationPercentage === undefined ? [] : [{ type: "Resource", resource: { name: "cpu", target } }];
  const { currentCPUUtilizationPercentage: used, ...status } = object.status ?? {
    currentReplicas: 0,
    desiredReplicas: 0,
  };
  const currentMetrics =
    used === undefined
      ? undefined
      : [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: used } } }];
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: withAnnotations(object.metadata, annotations),
    spec: { ...spec, metrics: [...cpu, ...others], ...(behavior === undefined ? {} : { behavior }) },
    status: { ...status, ...(currentMetrics === undefined ? {} : { currentMetrics }) },
  };
}

function withAnnotations(
  metadata: KubeObject["metadata"],
  annotations: Record<string, string>,
): KubeObject["metadata"] {
  const { annotations: _, ...rest } = metadata;
  return Object.keys(annotations).length === 0 ? rest : { ...rest, annotations };
}

function fromStored(stored: Stored): HorizontalPodAutoscaler {
  const { metrics = [], behavior, ...spec } = stored.spec ?? { maxReplicas: 0, scaleTargetRef: { kind: "", name: "" } };
  const cpu = metrics.find(isCpuUtilization);
  const others = metrics.filter((metric) => metric !== cpu);
  const annotations = { ...stored.metadata.annotations };
  if (others.length > 0) annotations[metricsAnnotation] = JSON.stringify(others);
  if (behavior !== undefined) annotations[behaviorAnnotation] = JSON.stringify(behavior);
  const target = cpu?.resource?.target.averageUtilization;
  const { currentReplicas = 0, desiredReplicas = 0, lastScaleTime, observedGeneration } = stored.status ?? {};
  const used = stored.status?.currentMetrics?.find((m) => m.resource?.name === "cpu")?.resource?.current
    .averageUtilization;
  return {
    apiVersion: "autoscaling/v1",
    kind: "HorizontalPodAutoscaler",
    metadata: withAnnotations(stored.metadata, annotations),
    spec: { ...spec, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: {
      currentReplicas,
      desiredReplicas,
      ...(used === undefined ? {} : { currentCPUUtilizationPercentage: used }),
      ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
      ...(observedGeneration === undefined ? {} : { observedGeneration }),
    },
  };
}

const columns: PrinterColumn<HorizontalPodAutoscaler>[] = current.columns.map((column) => ({
  ...column,
  cell: (object, now) => column.cell(toStored(object), now),
}));

export const horizontalPodAutoscalerV1Kind = defineKind<HorizontalPodAutoscaler>({
  ref: autoscalingV1.horizontalpodautoscalers,
  shortNames: ["hpa"],
  categories: ["all"],
  subresources: [statusOf("HorizontalPodAutoscaler")],
  prefix: "/registry/horizontalpodautoscalers",
  storedAs: { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler" },
  nameRule: subdomainName,
  generation: "none",
  default(object) {
    if (object.spec === undefined) return;
    object.spec.minReplicas ??= 1;
    if (object.metadata.annotations?.[metricsAnnotation] === undefined)
      object.spec.targetCPUUtilizationPercentage ??= 80;
  },
  validate(errors, object) {
    const complaints = current.validate(toStored(object));
    errors.list.push(...complaints.filter((complaint) => !complaint.field.startsWith("metadata.")));
  },
  columns,
  toStored,
  fromStored: (object) => fromStored(object as Stored),
});
