/**
 * One metric of a HorizontalPodAutoscaler: read, and turned into a proposal.
 * Source: kubernetes/pkg/controller/podautoscaler/horizontal.go computeStatusFor*
 */
import type { MetricSpec, MetricTarget, MetricValueStatus } from "@knarr/api/generated/types/autoscaling-v2.ts";
import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import { canonicalQuantity } from "@knarr/apimachinery/quantity.ts";
import type { MetricOutcome } from "../core/autoscaler/autoscaler-conditions.ts";
import {
  averageReplicas,
  MetricError,
  milliOf,
  type PodsView,
  perPodReplicas,
  ratioReplicas,
  utilizationReplicas,
} from "../core/autoscaler/metric-replicas.ts";
import type { MetricsClient } from "./metrics-client.ts";

export interface EvaluationContext {
  readonly metrics: MetricsClient;
  readonly namespace: string;
  /** The scale's, as text. */
  readonly selector: string;
  readonly statusReplicas: number;
  readonly view: PodsView;
  readonly signal: AbortSignal;
}

interface Evaluated {
  readonly replicas: number;
  readonly name: string;
  readonly current: MetricValueStatus;
}

/** Never throws MetricError: that is the outcome. */
export async function evaluateMetric(spec: MetricSpec, context: EvaluationContext): Promise<MetricOutcome> {
  const { reason, what } = kindOf(spec);
  try {
    const { replicas, name, current } = await evaluate(spec, context);
    return { ok: true, replicas, name, status: statusOf(spec, current) };
  } catch (error) {
    if (!(error instanceof MetricError)) throw error;
    const { message } = error;
    return { ok: false, reason, message, summary: what === "" ? message : `failed to get ${what}: ${message}` };
  }
}

function kindOf({ type, resource, containerResource, external }: MetricSpec): { reason: string; what: string } {
  switch (type) {
    case "Object":
      return { reason: "FailedGetObjectMetric", what: "object metric value" };
    case "Pods":
      return { reason: "FailedGetPodsMetric", what: "pods metric value" };
    case "Resource":
      return { reason: "FailedGetResourceMetric", what: `${resource?.name} resource metric value` };
    case "ContainerResource":
      return { reason: "FailedGetContainerResourceMetric", what: `${containerResource?.name} container metric value` };
    case "External":
      return { reason: "FailedGetExternalMetric", what: `${external?.metric.name} external metric value` };
    default:
      return { reason: "InvalidMetricSourceType", what: "" };
  }
}

function statusOf(spec: MetricSpec, current: MetricValueStatus): Extract<MetricOutcome, { ok: true }>["status"] {
  const { type, object, pods, resource, containerResource, external } = spec;
  return {
    type,
    ...(object === undefined
      ? {}
      : { object: { describedObject: object.describedObject, metric: object.metric, current } }),
    ...(pods === undefined ? {} : { pods: { metric: pods.metric, current } }),
    ...(resource === undefined ? {} : { resource: { name: resource.name, current } }),
    ...(containerResource === undefined
      ? {}
      : { containerResource: { name: containerResource.name, container: containerResource.container, current } }),
    ...(external === undefined ? {} : { external: { metric: external.metric, current } }),
  };
}

async function evaluate(spec: MetricSpec, context: EvaluationContext): Promise<Evaluated> {
  const { metrics, namespace, selector, view, signal } = context;
  if (spec.type === "Object" && spec.object !== undefined) {
    const { describedObject, metric, target } = spec.object;
    // The order of upstream's words, which tools know. Source: replica_calculator.go, GetObjectMetricReplicas
    const { kind, name } = describedObject;
    const milli = await explained(
      `unable to get metric ${metric.name}: ${kind} on ${namespace} ${name}/`,
      metrics.object(metric, { object: describedObject, namespace }, signal),
    );
    return shared(target, { milli, name: `${describedObject.kind} metric ${metric.name}` }, context);
  }
  if (spec.type === "External" && spec.external !== undefined) {
    const { metric, target } = spec.external;
    const labels = goSelector(metric.selector);
    const milli = await explained(
      `unable to get external metric ${namespace}/${metric.name}/${labels}: `,
      metrics.external(metric, namespace, signal),
    );
    return shared(target, { milli, name: `external metric ${metric.name}(${labels})` }, context);
  }
  if (spec.type === "Pods" && spec.pods !== undefined) {
    const { metric, target } = spec.pods;
    const samples = await explained(
      `unable to get metric ${metric.name}: `,
      metrics.pods(metric, { namespace, selector }, signal),
    );
    const targetMilli = milliOf(target.averageValue ?? "");
    const { replicas, averageMilli } = averageReplicas(view, { samples, resource: "", targetMilli });
    return { replicas, name: `pods metric ${metric.name}`, current: { averageValue: milliQuantity(averageMilli) } };
  }
  const source = spec.type === "Resource" ? spec.resource : spec.containerResource;
  if (source === undefined || (spec.type !== "Resource" && spec.type !== "ContainerResource")) {
    throw new MetricError(`unknown metric source type "${spec.type}"`);
  }
  const container = spec.type === "ContainerResource" ? spec.containerResource?.container : undefined;
  return usage(source, container, context);
}

/** Source: horizontal.go, computeStatusForResourceMetricGeneric */
async function usage(
  source: { name: string; target: MetricTarget },
  container: string | undefined,
  context: EvaluationContext,
): Promise<Evaluated> {
  const { name: resource, target } = source;
  if (target.averageValue !== undefined) {
    return explained(`failed to get ${resource} usage: `, measured(source, container, context));
  }
  if (target.averageUtilization === undefined) {
    throw new MetricError(
      "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set",
    );
  }
  return explained(`failed to get ${resource} utilization: `, measured(source, container, context));
}

async function measured(
  { name: resource, target }: { name: string; target: MetricTarget },
  container: string | undefined,
  { metrics, namespace, selector, view, signal }: EvaluationContext,
): Promise<Evaluated> {
  const part = container === undefined ? {} : { container };
  const samples = await explained(
    `unable to get metrics for resource ${resource}: `,
    metrics.resource({ resource, namespace, selector, ...part }, signal),
  );
  const what = `${resource} ${container === undefined ? "" : "container "}resource`;
  if (target.averageValue !== undefined) {
    const targetMilli = milliOf(target.averageValue);
    const { replicas, averageMilli } = averageReplicas(view, { samples, resource, targetMilli });
    return { replicas, name: what, current: { averageValue: milliQuantity(averageMilli) } };
  }
  const proposal = utilizationReplicas(view, { samples, resource, target: target.averageUtilization ?? 0, ...part });
  return {
    replicas: proposal.replicas,
    name: `${what} utilization (percentage of request)`,
    current: { averageUtilization: proposal.utilization, averageValue: milliQuantity(proposal.averageMilli) },
  };
}

/** What was being done goes before what went wrong. */
async function explained<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof MetricError)) throw error;
    throw new MetricError(`${doing}${error.message}`);
  }
}

/** One value for all: against the whole target, or shared out among the replicas. */
function shared(
  target: MetricTarget,
  { milli, name }: { milli: number; name: string },
  { view, statusReplicas }: EvaluationContext,
): Evaluated {
  if (target.averageValue !== undefined) {
    const replicas = perPodReplicas(view, statusReplicas, { milli, targetMilli: milliOf(target.averageValue) });
    const average = statusReplicas === 0 ? 0 : Math.ceil(milli / statusReplicas);
    return { replicas, name, current: { averageValue: milliQuantity(average) } };
  }
  if (target.value === undefined) {
    throw new MetricError("invalid metric source: neither a value target nor an average value target was set");
  }
  const replicas = ratioReplicas(view, milli / milliOf(target.value));
  return { replicas, name, current: { value: milliQuantity(milli) } };
}

const milliQuantity = (milli: number) => canonicalQuantity(`${Math.trunc(milli)}m`);

/** As Go prints it in upstream's messages. */
function goSelector(selector: LabelSelector | undefined): string {
  if (selector === undefined) return "nil";
  const labels = Object.entries(selector.matchLabels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const map = labels.map(([key, value]) => `${key}: ${value},`).join("");
  return `&LabelSelector{MatchLabels:map[string]string{${map}},MatchExpressions:[]LabelSelectorRequirement{},}`;
}
