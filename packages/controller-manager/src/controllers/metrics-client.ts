/**
 * Reads metrics through the aggregated APIs metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.
 * Source: kubernetes/pkg/controller/podautoscaler/metrics/client.go, k8s.io/metrics
 */
import type { CrossVersionObjectReference, MetricIdentifier } from "@knarr/api/generated/types/autoscaling-v2.ts";
import { parseDurationMs } from "@knarr/apimachinery/duration.ts";
import type { APIGroup, APIResourceList } from "@knarr/apimachinery/generated/meta-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import type { Client } from "@knarr/client/client.ts";
import { decodeJson } from "@knarr/client/codec.ts";
import { MetricError, milliOf, type Sample, type Samples } from "../core/autoscaler/metric-replicas.ts";
import { messageOf } from "./pod-control.ts";

/** Where a custom metric doesn't say. Source: metrics/client.go metricServerDefaultMetricWindow */
const DEFAULT_WINDOW_MS = 60_000;

interface PodMetrics {
  metadata: { name?: string };
  timestamp?: string;
  window?: string;
  containers?: { name: string; usage?: Record<string, string> }[];
}
interface MetricValue {
  describedObject?: { name?: string };
  timestamp?: string;
  windowSeconds?: number;
  window?: number;
  value: string;
}

export class MetricsClient {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Usage of a resource by pod: of one container, or of all. */
  async resource(
    of: {
      readonly resource: string;
      readonly container?: string;
      readonly namespace: string;
      readonly selector: string;
    },
    signal: AbortSignal,
  ): Promise<Samples> {
    const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${of.namespace}/pods`;
    const { items = [] } = await this.#get<{ items?: PodMetrics[] }>(
      "resource",
      path,
      { labelSelector: of.selector },
      signal,
    );
    if (items.length === 0) throw new MetricError("no metrics returned from resource metrics API");
    const samples = new Map<string, Sample>();
    for (const pod of items) {
      const milli = usageOf(pod, of);
      if (milli === undefined) continue;
      const windowMs = pod.window === undefined ? DEFAULT_WINDOW_MS : parseDurationMs(pod.window);
      samples.set(pod.metadata.name ?? "", { milli, atMs: Date.parse(pod.timestamp ?? ""), windowMs });
    }
    return samples;
  }

  /** A custom metric by pod. */
  async pods(
    metric: MetricIdentifier,
    of: { namespace: string; selector: string },
    signal: AbortSignal,
  ): Promise<Samples> {
    const path = `/namespaces/${of.namespace}/pods/*/${metric.name}`;
    const items = await this.#custom(path, { labelSelector: of.selector, ...metricSelector(metric) }, signal);
    return new Map(items.map((item) => [item.describedObject?.name ?? "", sampleOf(item)]));
  }

  /** A custom metric of one object, in thousandths. */
  async object(
    metric: MetricIdentifier,
    { object, namespace }: { object: CrossVersionObjectReference; namespace: string },
    signal: AbortSignal,
  ): Promise<number> {
    const path = await this.#objectPath(object, namespace, signal);
    const [item] = await this.#custom(`${path}/${metric.name}`, metricSelector(metric), signal);
    return sampleOf(item as MetricValue).milli;
  }

  /** An external metric's values added up, in thousandths. */
  async external(metric: MetricIdentifier, namespace: string, signal: AbortSignal): Promise<number> {
    const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/${metric.name}`;
    const labelSelector = metric.selector === undefined ? undefined : formatLabelSelector(metric.selector);
    const { items = [] } = await this.#get<{ items?: MetricValue[] }>("external", path, { labelSelector }, signal);
    if (items.length === 0) throw new MetricError("no metrics returned from external metrics API");
    return items.reduce((sum, { value }) => sum + milliOf(value), 0);
  }

  async #custom(path: string, query: Record<string, string | undefined>, signal: AbortSignal): Promise<MetricValue[]> {
    const group = await this.#get<APIGroup>("custom", "/apis/custom.metrics.k8s.io", {}, signal);
    const root = `/apis/${group.preferredVersion?.groupVersion ?? "custom.metrics.k8s.io/v1beta1"}`;
    const { items = [] } = await this.#get<{ items?: MetricValue[] }>("custom", root + path, query, signal);
    if (items.length === 0) throw new MetricError("no metrics returned from custom metrics API");
    return items;
  }

  /** "/namespaces/NS/services/web", "/namespaces/NS/deployments.apps/web", "/nodes/one", "/namespaces/one/metrics". */
  async #objectPath(object: CrossVersionObjectReference, namespace: string, signal: AbortSignal): Promise<string> {
    const { apiVersion = "v1", kind, name } = object;
    if (kind === "Namespace") return `/namespaces/${name}/metrics`;
    const list = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { resources } = await this.#get<APIResourceList>("custom", list, {}, signal);
    const found = resources.find((resource) => resource.kind === kind && !resource.name.includes("/"));
    if (found === undefined) throw new MetricError(`no matches for kind "${kind}" in version "${apiVersion}"`);
    const group = apiVersion.includes("/") ? `.${apiVersion.split("/")[0]}` : "";
    return `${found.namespaced ? `/namespaces/${namespace}` : ""}/${found.name}${group}/${name}`;
  }

  async #get<T>(
    api: "resource" | "custom" | "external",
    path: string,
    query: Record<string, string | undefined>,
    signal: AbortSignal,
  ): Promise<T> {
    try {
      const headers = { accept: "application/json" };
      const { body } = await this.#client.request({ method: "GET", path, query, headers, signal });
      return decodeJson(body) as T;
    } catch (cause) {
      if (signal.aborted) throw cause;
      throw new MetricError(`unable to fetch metrics from ${api} metrics API: ${messageOf(cause)}`);
    }
  }
}

function usageOf(pod: PodMetrics, of: { resource: string; container?: string; namespace: string }): number | undefined {
  const containers = pod.containers ?? [];
  const wanted = of.container === undefined ? containers : containers.filter(({ name }) => name === of.container);
  if (of.container !== undefined && wanted.length === 0) {
    throw new MetricError(
      `container ${of.container} not present in metrics for pod ${of.namespace}/${pod.metadata.name}`,
    );
  }
  let total = 0;
  for (const { usage } of wanted) {
    const value = usage?.[of.resource];
    if (value === undefined) return undefined;
    total += milliOf(value);
  }
  return total;
}

function sampleOf({ value, timestamp, windowSeconds, window }: MetricValue): Sample {
  const seconds = windowSeconds ?? window;
  const windowMs = seconds === undefined ? DEFAULT_WINDOW_MS : seconds * 1000;
  return { milli: milliOf(value), atMs: Date.parse(timestamp ?? ""), windowMs };
}

function metricSelector({ selector }: MetricIdentifier): { metricLabelSelector?: string } {
  return selector === undefined ? {} : { metricLabelSelector: formatLabelSelector(selector) };
}
