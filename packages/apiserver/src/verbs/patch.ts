/**
 * PATCH: JSON, merge, strategic merge, and server-side apply (which creates what is missing). The patched object takes
 * the way of an update.
 */
import { cloneJson } from "@knarr/apimachinery/json.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { readBody } from "../http/body.ts";
import { decodeApplyBody, decodePatched, normalize } from "./decode.ts";
import type { ResourceRequest } from "./environment.ts";
import { applyConfiguration } from "./field-ownership.ts";
import { applyPatch, patchTypeOf } from "./patch-body.ts";
import { checkVersions, warn } from "./pipeline.ts";
import { sendWritten } from "./send-written.ts";
import { type Change, changeObject } from "./write.ts";
import { managerOf, parseWriteOptions, type WriteOptions } from "./write-options.ts";

export async function patch(request: ResourceRequest): Promise<void> {
  const { context, resource } = request;
  const type = patchTypeOf(context.header("content-type"));
  const options = parseWriteOptions(context.query, "PatchOptions", type === "apply");
  const body = await readBody(context);
  if (type === "apply") return apply(request, options, body);
  const { descriptor } = resource;
  const result = await changeObject(
    request,
    (old, copy) => {
      const version = old.metadata.resourceVersion;
      const patched = applyPatch(type, body, copy(), descriptor.ref);
      const decoded = decodePatched(descriptor, patched, options.fieldValidation);
      for (const text of decoded.warnings) warn(request, text);
      const { object } = decoded;
      // A patch may name a version to be guarded by; without one it is not.
      if ((object.metadata.resourceVersion ?? "") === "") {
        if (version !== undefined) object.metadata.resourceVersion = version;
      }
      // Another uid is no precondition here, but a field that does not change: validation says so.
      const { uid: _, ...named } = object.metadata;
      checkVersions(request, { ...object, metadata: named }, old);
      return { object };
    },
    { dryRun: options.dryRun, manager: managerOf(options, context.header("user-agent")) },
  );
  await sendWritten(request, 200, result);
}

async function apply(request: ResourceRequest, options: WriteOptions, body: Buffer): Promise<void> {
  const { resource, subresource } = request;
  const { descriptor } = resource;
  const { object: config, warnings } = decodeApplyBody(descriptor, body, options.fieldValidation);
  for (const text of warnings) warn(request, text);
  checkConfiguration(request, config);
  const merge = (live: KubeObject | undefined): Change => {
    const by = { manager: options.fieldManager, force: options.force ?? false };
    const applied = applyConfiguration(request, live, cloneJson(config), by);
    return { object: normalize(request.resource.descriptor.ref, applied.object), applied };
  };
  const result = await changeObject(
    request,
    (old, copy) => {
      if (config.metadata.resourceVersion !== undefined || config.metadata.uid !== undefined) {
        checkVersions(
          request,
          { ...config, metadata: { resourceVersion: old.metadata.resourceVersion, ...config.metadata } },
          old,
        );
      }
      return merge(copy());
    },
    {
      dryRun: options.dryRun,
      manager: options.fieldManager,
      ...(subresource === "" ? { makeNew: () => newByApply(request, config, merge) } : {}),
    },
  );
  await sendWritten(request, result.outcome === "created" ? 201 : 200, result);
}

function newByApply(request: ResourceRequest, config: KubeObject, merge: (live: undefined) => Change): Change {
  const { descriptor } = request.resource;
  const { uid, resourceVersion } = config.metadata;
  if (uid !== undefined && uid !== "") {
    throw statusErrors.conflict(
      descriptor.ref,
      request.name,
      `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== "")
    throw statusErrors.notFound(descriptor.ref, request.name);
  return merge(undefined);
}

/** Source: handlers/patch.go applyPatcher and fieldmanager's checks of the configuration. */
function checkConfiguration(request: ResourceRequest, config: KubeObject): void {
  const { ref } = request.resource.descriptor;
  const expected = apiVersionOf(ref);
  const { apiVersion = "", kind = "" } = config;
  if (apiVersion !== expected) {
    throw statusErrors.badRequest(
      `Incorrect version specified in apply patch. Specified patch version: ${apiVersion}, expected: ${expected}`,
    );
  }
  if (kind !== ref.kind) {
    throw statusErrors.badRequest(
      `${kind} in version "${ref.version}" cannot be handled as a ${ref.kind}: expected kind ${ref.kind}`,
    );
  }
  const { name } = config.metadata;
  if (name !== undefined && name !== "" && name !== request.name) {
    throw statusErrors.badRequest(
      `the name of the object (${name}) does not match the name on the URL (${request.name})`,
    );
  }
  config.metadata.name = request.name;
  if ((config.metadata.managedFields?.length ?? 0) > 0) {
    throw statusErrors.badRequest("metadata.managedFields must be nil");
  }
}
