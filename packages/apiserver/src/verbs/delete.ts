/**
 * DELETE of one object. It is removed at once, or marked and left to its grace period and finalizers; the answer says
 * which: a Status (or, for some kinds, the object) when it is gone, the object when it waits.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isNotFound, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { readBody } from "../http/body.ts";
import { representationFor } from "../http/media-type.ts";
import { representBytes } from "../http/represent.ts";
import { sendBytes, sendObject } from "../http/respond.ts";
import { keyIn, qualifiedOf } from "../registry/resource.ts";
import { returnsDeleted } from "../registry/returns-deleted.ts";
import type { StoredObject, UpdateDecision } from "../storage/types.ts";
import { type DeleteRequestOptions, parseDeleteOptions } from "./delete-options.ts";
import { type DeletionPlan, planDeletion } from "./deletion.ts";
import type { ResourceRequest } from "./environment.ts";
import { decodeStored, encodeForStorage, encodeForWire, servedBytes } from "./object-codec.ts";
import { attributesFor, newScope } from "./pipeline.ts";
import { storageOf } from "./write.ts";
import type { WriteScope } from "./write-scope.ts";

export interface DeleteResult {
  readonly removed: boolean;
  /** The last state, or the state with its deletion marks. */
  readonly object: KubeObject;
  readonly bytes: Buffer;
}

export async function deleteObject(request: ResourceRequest): Promise<void> {
  const { context, resource } = request;
  const options = parseDeleteOptions(context.query, await readBody(context), context.header("content-type"));
  const result = await removeObject(request, options);
  const { ref } = resource.descriptor;
  if (result.removed && !returnsDeleted(ref)) {
    await sendObject(context, 200, {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: {
        name: request.name,
        ...(ref.group === "" ? {} : { group: ref.group }),
        kind: ref.resource,
        ...(result.object.metadata.uid === undefined ? {} : { uid: result.object.metadata.uid }),
      },
    });
    return;
  }
  const shown = representBytes(result.bytes, representationFor(context));
  const code = !result.removed && options.orphanDependentsFalse ? 202 : 200;
  await sendBytes(context, code, shown.body, { contentType: shown.contentType });
}

/** Deletes as the options say; also for deletecollection and eviction. Throws NotFound and Conflict. */
export async function removeObject(request: ResourceRequest, options: DeleteRequestOptions): Promise<DeleteResult> {
  const scope = newScope(request, options.dryRun);
  if (options.dryRun) return tryRemove(request, options, scope);
  const { descriptor, hooks } = request.resource;
  const storage = storageOf(request);
  const key = keyIn(descriptor.ref, request.namespace, request.name);
  const { signal } = request.context;
  let plan: DeletionPlan = { kind: "pending" };
  let object: KubeObject | undefined;
  const decide = async (current: StoredObject | undefined): Promise<UpdateDecision> => {
    if (current === undefined) throw statusErrors.notFound(qualifiedOf(descriptor), request.name);
    const planned = await planFor(request, current, options, scope);
    plan = planned.plan;
    object = planned.object;
    if (plan.kind === "pending") return { kind: "keep" };
    if (plan.kind === "remove" && !plan.marked) return { kind: "delete" };
    return { kind: "write", bytes: encodeForStorage(descriptor, planned.object) };
  };
  const result = await storage.update(key, decide, { signal });
  if (object === undefined) throw statusErrors.notFound(qualifiedOf(descriptor), request.name);
  const removed = () => plan.kind === "remove";
  let last = result.object;
  let isOurs = removed();
  if (removed() && result.outcome !== "deleted") {
    // Grace 0: the marks are stored first, so that the last event shows them, and then the object goes.
    const uid = object.metadata.uid;
    try {
      last = await storage.delete(key, (current) => checkUid(request, decodeStored(descriptor, current), uid), {
        signal,
      });
    } catch (error) {
      // Somebody else was faster: gone is gone, and what it held is given back by whoever removed it.
      if (!isNotFound(error)) throw error;
      isOurs = false;
    }
  }
  if (isOurs) await hooks.afterDelete?.(object, last.revision);
  await scope.commit();
  return { removed: removed(), object: decodeStored(descriptor, last), bytes: servedBytes(request.resource, last) };
}

async function tryRemove(
  request: ResourceRequest,
  options: DeleteRequestOptions,
  scope: WriteScope,
): Promise<DeleteResult> {
  const { descriptor } = request.resource;
  const current = await storageOf(request).get(keyIn(descriptor.ref, request.namespace, request.name));
  const { plan, object } = await planFor(request, current, options, scope);
  await scope.rollback();
  return { removed: plan.kind === "remove", object, bytes: encodeForWire(descriptor, object) };
}

async function planFor(
  request: ResourceRequest,
  current: StoredObject,
  options: DeleteRequestOptions,
  scope: WriteScope,
): Promise<{ plan: DeletionPlan; object: KubeObject }> {
  const { descriptor, hooks } = request.resource;
  const object = decodeStored(descriptor, current);
  checkPreconditions(request, object, options);
  // What an eviction may do was decided when the eviction itself was admitted.
  if (request.subresource === "") {
    const attributes = attributesFor(request, "DELETE", scope, undefined, object);
    await request.env.admission.admit(attributes);
    await request.env.admission.validate(attributes);
  }
  const nowMs = request.env.clock.now();
  if (hooks.markDeleted === undefined) return { plan: planDeletion(descriptor, object, options, nowMs), object };
  const outcome = hooks.markDeleted(object, options, nowMs);
  return { plan: outcome === "remove" ? { kind: "remove", marked: false } : { kind: "mark" }, object };
}

/** Source: rest.BeforeDelete: the wording that clients see for failed preconditions. */
function checkPreconditions(request: ResourceRequest, object: KubeObject, options: DeleteRequestOptions): void {
  // Upstream names the kind here, where it names the resource elsewhere.
  const { group, kind } = request.resource.descriptor.ref;
  const of = { group, resource: kind };
  const { uid = "", resourceVersion = "" } = object.metadata;
  if (options.uid !== undefined && options.uid !== uid) {
    throw statusErrors.conflict(
      of,
      request.name,
      `the UID in the precondition (${options.uid}) does not match the UID in record (${uid}). ` +
        "The object might have been deleted and then recreated",
    );
  }
  if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
    throw statusErrors.conflict(
      of,
      request.name,
      `the ResourceVersion in the precondition (${options.resourceVersion}) does not match the ResourceVersion in record ` +
        `(${resourceVersion}). The object might have been modified`,
    );
  }
}

function checkUid(request: ResourceRequest, current: KubeObject, uid: string | undefined): void {
  if (current.metadata.uid === uid) return;
  throw statusErrors.notFound(qualifiedOf(request.resource.descriptor), request.name);
}
