/**
 * /scale: the replicas of any kind that has them, as an autoscaling/v1 Scale.
 * Source: k8s.io/kubernetes/pkg/registry/apps/deployment/storage (ScaleREST)
 */
import { ageColumn, integerColumn, nameColumn } from "@knarr/api/columns.ts";
import type { ScalePaths } from "@knarr/api/descriptor.ts";
import { autoscaling } from "@knarr/api/generated/resources.ts";
import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { readBody } from "../http/body.ts";
import { representationFor } from "../http/media-type.ts";
import { sendObject } from "../http/respond.ts";
import { keyIn, qualifiedOf } from "../registry/resource.ts";
import { includeObjectOf } from "../tables/show.ts";
import { columnDefinitions, table, tableRow } from "../tables/table.ts";
import { decodeBody, normalize } from "../verbs/decode.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { applyConfiguration } from "../verbs/field-ownership.ts";
import { decodeStored } from "../verbs/object-codec.ts";
import { applyPatch, patchTypeOf } from "../verbs/patch-body.ts";
import { type Change, changeObject, storageOf } from "../verbs/write.ts";
import { managerOf, parseWriteOptions, type WriteOptions } from "../verbs/write-options.ts";

interface Scale extends KubeObject {
  spec?: { replicas?: number };
  status: { replicas: number; selector?: string };
}

type Json = Record<string, unknown>;

export async function getScale(request: ResourceRequest): Promise<void> {
  const { descriptor } = request.resource;
  const stored = await storageOf(request).get(keyIn(descriptor.ref, request.namespace, request.name));
  await sendScale(request, scaleOf(decodeStored(descriptor, stored), pathsOf(request)));
}

export async function updateScale(request: ResourceRequest): Promise<void> {
  const { context } = request;
  const options = parseWriteOptions(context.query, "UpdateOptions");
  const scale = decodeBody(scaleRef, await readBody(context), context.header("content-type")) as Scale;
  const named = scale.metadata?.name;
  if (named !== undefined && named !== "" && named !== request.name) {
    throw statusErrors.badRequest(
      `the name of the object (${named}) does not match the name on the URL (${request.name})`,
    );
  }
  await write(request, options, () => scale);
}

export async function patchScale(request: ResourceRequest): Promise<void> {
  const { context } = request;
  const type = patchTypeOf(context.header("content-type"));
  const options = parseWriteOptions(context.query, "PatchOptions", type === "apply");
  const body = await readBody(context);
  if (type !== "apply") {
    return write(request, options, (current) => applyPatch(type, body, current, scaleRef).document as Scale);
  }
  const config = decodeBody(scaleRef, body, "application/yaml") as Scale;
  await write(
    request,
    options,
    (current) => ({ ...current, metadata: { ...current.metadata, ...config.metadata }, spec: config.spec ?? {} }),
    (parent) => applyToParent(request, parent, config, options),
  );
}

/**
 * Server-side apply of a Scale owns the parent's replicas, under the manager's name and this subresource.
 * Source: managedfields ScaleHandler
 */
function applyToParent(request: ResourceRequest, parent: KubeObject, config: Scale, options: WriteOptions): Change {
  const { ref } = request.resource.descriptor;
  const { replicas } = config.spec ?? {};
  const configuration = {
    apiVersion: apiVersionOf(ref),
    kind: ref.kind,
    metadata: { name: request.name },
    ...(replicas === undefined ? {} : { spec: { replicas } }),
  } as KubeObject;
  const by = { manager: options.fieldManager, force: options.force ?? false };
  const applied = applyConfiguration(request, parent, configuration, by);
  return { object: normalize(ref, applied.object), applied };
}

const scaleRef = { ...autoscaling.horizontalpodautoscalers, version: "v1", kind: "Scale", resource: "scales" };

async function write(
  request: ResourceRequest,
  options: WriteOptions,
  wanted: (current: Scale) => Scale,
  /** How the parent changes once the Scale is checked; by default its replicas are set. */
  apply?: (parent: KubeObject) => Change,
): Promise<void> {
  const { descriptor } = request.resource;
  const paths = pathsOf(request);
  const result = await changeObject(
    // The parent is written as itself: its own strategy bumps generation and validates.
    { ...request, subresource: "" },
    (_old, copy) => {
      const old = copy();
      const current = scaleOf(old, paths);
      const scale = wanted(structuredClone(current));
      check(request, scale, current);
      if (apply !== undefined) return apply(old);
      setPath(old as unknown as Json, paths.specReplicasPath, scale.spec?.replicas ?? 0);
      return { object: old };
    },
    { dryRun: options.dryRun, manager: managerOf(options, request.context.header("user-agent")), trackAs: "scale" },
  );
  const object =
    result.stored === undefined
      ? (JSON.parse(result.bytes.toString()) as KubeObject)
      : decodeStored(descriptor, result.stored);
  await sendScale(request, scaleOf(object, paths));
}

const shown = {
  columns: [
    { ...nameColumn(), format: "" },
    integerColumn("Desired", (scale: KubeObject) => (scale as Scale).spec?.replicas ?? 0),
    integerColumn("Available", (scale: KubeObject) => (scale as Scale).status.replicas),
    ageColumn(),
  ],
  rowConditions: () => [],
};

async function sendScale(request: ResourceRequest, scale: Scale): Promise<void> {
  const { context, env } = request;
  const representation = representationFor(context, { transforms: ["Table"] });
  if (representation.transform !== "Table") return sendObject(context, 200, scale);
  const include = includeObjectOf(context.query.get("includeObject") ?? "");
  const row = tableRow(shown, scale, env.clock.now(), include);
  const metadata = { resourceVersion: scale.metadata.resourceVersion };
  await sendObject(context, 200, table(columnDefinitions(shown), [row], metadata, representation));
}

function check(request: ResourceRequest, scale: Scale, current: Scale): void {
  const version = scale.metadata?.resourceVersion;
  if (version !== undefined && version !== "" && version !== current.metadata.resourceVersion) {
    throw statusErrors.staleVersion(qualifiedOf(request.resource.descriptor), request.name);
  }
  const replicas = scale.spec?.replicas ?? 0;
  if (!Number.isInteger(replicas) || replicas < 0) {
    throw statusErrors.invalid("autoscaling", "Scale", request.name, [
      {
        type: "FieldValueInvalid",
        field: "spec.replicas",
        message: `Invalid value: ${replicas}: must be greater than or equal to 0`,
      },
    ]);
  }
}

function pathsOf(request: ResourceRequest): ScalePaths {
  const { scale } = request.resource.descriptor;
  if (scale === undefined) throw statusErrors.pathNotFound();
  return scale;
}

function scaleOf(object: KubeObject, paths: ScalePaths): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = at(object as unknown as Json, paths.specReplicasPath);
  const selector = selectorText(at(object as unknown as Json, paths.labelSelectorPath));
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: typeof replicas === "number" && replicas !== 0 ? { replicas } : {},
    status: {
      replicas: (at(object as unknown as Json, paths.statusReplicasPath) as number | undefined) ?? 0,
      ...(selector === "" ? {} : { selector }),
    },
  };
}

function selectorText(selector: unknown): string {
  if (typeof selector === "string") return selector;
  if (typeof selector !== "object" || selector === null) return "";
  if ("matchLabels" in selector || "matchExpressions" in selector)
    return formatLabelSelector(selector as LabelSelector);
  return formatLabelSelector({ matchLabels: selector as Record<string, string> });
}

function at(object: Json, path: string): unknown {
  let value: unknown = object;
  for (const part of path.split(".").slice(1)) value = (value as Json | undefined)?.[part];
  return value;
}

function setPath(object: Json, path: string, value: unknown): void {
  const parts = path.split(".").slice(1);
  let holder = object;
  for (const part of parts.slice(0, -1)) {
    holder[part] ??= {};
    holder = holder[part] as Json;
  }
  const last = parts.at(-1);
  if (last !== undefined) holder[last] = value;
}
