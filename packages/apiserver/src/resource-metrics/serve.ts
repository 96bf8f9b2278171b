/**
 * metrics.k8s.io/v1beta1: get and list of NodeMetrics and PodMetrics, as metrics-server answers them. What is listed are
 * the nodes and the running pods of the caches; what they use comes from the scraper's store.
 * Source: metrics-server pkg/api
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { NodeMetrics, PodMetrics, Usage } from "@knarr/api/metrics-types.ts";
import { formatDuration } from "@knarr/apimachinery/duration.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { formatQuantity } from "@knarr/apimachinery/quantity.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { type Representation, representationFor } from "../http/media-type.ts";
import { representValue } from "../http/represent.ts";
import { sendBytes } from "../http/respond.ts";
import { metadataOnly } from "../tables/partial-metadata.ts";
import { includeObjectOf } from "../tables/show.ts";
import { columnDefinitions, table, tableRow } from "../tables/table.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { parseListQuery } from "../verbs/list-options.ts";
import type { Use } from "./usage-store.ts";

const GROUP = "metrics.k8s.io";
const API_VERSION = `${GROUP}/v1beta1`;

export async function getNodeMetrics(request: ResourceRequest): Promise<void> {
  const { name, env } = request;
  env.resourceMetrics.scraper.asked();
  const node = await env.lookup.get(core.nodes, { namespace: "", name });
  if (node === undefined) throw statusErrors.notFound({ group: "", resource: "nodes" }, name);
  const found = nodeMetrics(request, node);
  if (found === undefined) throw statusErrors.notFound({ group: GROUP, resource: "nodemetrics" }, name);
  await sendOne(request, found);
}

export async function listNodeMetrics(request: ResourceRequest): Promise<void> {
  const { env } = request;
  env.resourceMetrics.scraper.asked();
  const nodes = selected(request, await env.lookup.list(core.nodes));
  await sendList(request, nodes.map((node) => nodeMetrics(request, node)).filter(isDefined));
}

export async function getPodMetrics(request: ResourceRequest): Promise<void> {
  const { name, namespace, env } = request;
  env.resourceMetrics.scraper.asked();
  const pod = await env.lookup.get(core.pods, { namespace, name });
  if (pod === undefined) throw statusErrors.notFound({ group: "", resource: "pods" }, name);
  const found = podMetrics(request, pod);
  if (found === undefined)
    throw statusErrors.notFound({ group: GROUP, resource: "podmetrics" }, `${namespace}/${name}`);
  await sendOne(request, found);
}

export async function listPodMetrics(request: ResourceRequest): Promise<void> {
  const { env, namespace } = request;
  env.resourceMetrics.scraper.asked();
  const pods = selected(request, await env.lookup.list(core.pods, namespace));
  await sendList(request, pods.map((pod) => podMetrics(request, pod)).filter(isDefined));
}

/** Those that the selectors choose, in the order of their names. */
function selected<T extends KubeObject>(request: ResourceRequest, objects: readonly T[]): T[] {
  const { context, resource, namespace, name } = request;
  const { selector } = parseListQuery(context.query, resource, { namespace, name, watch: false });
  const { labels, fields, name: only } = selector;
  const chosen = objects.filter(({ metadata }) => {
    if (only !== undefined && metadata.name !== only) return false;
    if (labels !== undefined && !labels.matches(metadata.labels ?? {})) return false;
    const values = { "metadata.name": metadata.name ?? "", "metadata.namespace": metadata.namespace ?? "" };
    return fields === undefined || fields.matches(values);
  });
  const orderOf = ({ metadata }: T) => `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
  return chosen.sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
}

function nodeMetrics({ env }: ResourceRequest, { metadata }: Node): NodeMetrics | undefined {
  const use = env.resourceMetrics.store.node(metadata.name ?? "");
  if (use === undefined) return undefined;
  return {
    kind: "NodeMetrics",
    apiVersion: API_VERSION,
    metadata: metadataOf({ metadata }, env.clock.now()),
    ...timesOf(use),
    usage: usageOf(use),
  };
}

function podMetrics({ env }: ResourceRequest, pod: Pod): PodMetrics | undefined {
  if (pod.status?.phase !== "Running") return undefined;
  const { namespace, name } = pod.metadata;
  const use = env.resourceMetrics.store.pod(pod.spec?.nodeName ?? "", `${namespace}/${name}`);
  if (use === undefined) return undefined;
  return {
    kind: "PodMetrics",
    apiVersion: API_VERSION,
    metadata: metadataOf(pod, env.clock.now()),
    ...timesOf(use),
    containers: [...use.containers].map(([container, one]) => ({ name: container, usage: usageOf(one) })),
  };
}

/** The creation time is the answer's, as in metrics-server. */
function metadataOf({ metadata }: Pick<KubeObject, "metadata">, nowMs: number) {
  const { name, namespace, labels } = metadata;
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    creationTimestamp: rfc3339Seconds(nowMs),
    ...(labels === undefined ? {} : { labels }),
  };
}

function timesOf({ atMs, windowMs }: { readonly atMs: number; readonly windowMs: number }) {
  return { timestamp: rfc3339Seconds(atMs), window: formatDuration(BigInt(Math.round(windowMs)) * 1_000_000n) };
}

function usageOf({ cpuNanoCores, memoryBytes }: Use): Usage {
  return {
    cpu: formatQuantity({ nanos: cpuNanoCores, format: "DecimalSI" }),
    memory: formatQuantity({ nanos: memoryBytes * 1_000_000_000n, format: "BinarySI" }),
  };
}

async function sendOne(request: ResourceRequest, object: KubeObject): Promise<void> {
  const representation = representationFor(request.context);
  switch (representation.transform) {
    case "Table":
      return sendTable(request, [object], representation);
    case "PartialObjectMetadata":
      return send(request, metadataOnly(object, representation), representation);
    case "PartialObjectMetadataList":
      throw statusErrors.notAcceptable(["application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"]);
    case "none":
      return send(request, object, representation);
    default:
      throw new TypeError(`unknown transform ${representation.transform satisfies never}`);
  }
}

async function sendList(request: ResourceRequest, objects: readonly KubeObject[]): Promise<void> {
  const representation = representationFor(request.context);
  switch (representation.transform) {
    case "Table":
      return sendTable(request, objects, representation);
    case "PartialObjectMetadata":
      throw statusErrors.notAcceptable(["application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"]);
    case "PartialObjectMetadataList": {
      const apiVersion = `meta.k8s.io/${representation.metaVersion}`;
      const items = objects.map((object) => metadataOnly(object, representation));
      return send(request, { kind: "PartialObjectMetadataList", apiVersion, metadata: {}, items }, representation);
    }
    case "none": {
      const kind = request.resource.descriptor.listKind;
      const items = objects.map(({ kind: _kind, apiVersion: _apiVersion, ...rest }) => rest);
      return send(request, { kind, apiVersion: API_VERSION, metadata: {}, items }, representation);
    }
    default:
      throw new TypeError(`unknown transform ${representation.transform satisfies never}`);
  }
}

async function sendTable(
  request: ResourceRequest,
  objects: readonly KubeObject[],
  representation: Representation,
): Promise<void> {
  const { descriptor } = request.resource;
  const include = includeObjectOf(request.context.query.get("includeObject") ?? "");
  const rows = objects.map((one) => tableRow(descriptor, one, request.env.clock.now(), include));
  await send(request, table(columnDefinitions(descriptor), rows, {}, representation), representation);
}

async function send({ context }: ResourceRequest, value: object, representation: Representation): Promise<void> {
  const { body, contentType } = representValue(value, representation);
  await sendBytes(context, 200, body, { contentType });
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}
