/**
 * The way of an object from a decoded request to storage, the same for every kind:
 *   system metadata -> default -> managed fields -> mutating admission -> default -> prepare -> kind's hooks
 *   -> validate -> validating admission -> encode
 * Source: order of k8s.io/apiserver handlers create.go, update.go and registry/generic/registry/store.go.
 */
import { randomUUID } from "node:crypto";
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { AdmissionAttributes, AdmissionOperation } from "../admission/plugin.ts";
import { qualifiedOf } from "../registry/resource.ts";
import type { ResourceRequest } from "./environment.ts";
import { type Applied, trackFields } from "./field-ownership.ts";
import { WriteScope } from "./write-scope.ts";

export interface PipelineOptions {
  readonly dryRun: boolean;
  /** Who writes, for managedFields. */
  readonly manager: string;
  /** The subresource that managedFields name, where it is not the request's own (scale writes its parent). */
  readonly trackAs?: string;
}

export function newScope(request: ResourceRequest, dryRun: boolean): WriteScope {
  return new WriteScope({
    user: request.user,
    dryRun,
    subresource: request.subresource,
    warn: (text) => warn(request, text),
    log: request.env.log,
  });
}

/** Adds a Warning header, once. */
export function warn(request: ResourceRequest, text: string): void {
  if (!request.context.warnings.includes(text)) request.context.warnings.push(text);
}

/** Mutates `object` until it may be stored as new. Throws what refuses it; the caller then rolls `scope` back. */
export async function prepareNew(
  request: ResourceRequest,
  object: KubeObject,
  scope: WriteScope,
  options: PipelineOptions,
  applied?: Applied,
): Promise<void> {
  const { descriptor, hooks } = request.resource;
  const { env } = request;
  checkIdentity(request, object, "create");
  const { metadata } = object;
  metadata.uid = randomUUID();
  metadata.creationTimestamp = rfc3339Seconds(env.clock.now());
  for (const field of ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] as const) {
    delete metadata[field];
  }
  // A decoded object is in its normal form; one that an apply made is not.
  descriptor.default(object, applied === undefined);
  if (applied === undefined) trackFields(request, undefined, object, managerIn(request, options));
  const attributes = attributesFor(request, "CREATE", scope, object, undefined);
  await env.admission.admit(attributes);
  descriptor.default(object);
  descriptor.prepareForCreate(object);
  await hooks.beginCreate?.(object, scope);
  throwInvalid(descriptor, object, descriptor.validate(object));
  await env.admission.validate(attributes);
  applied?.track(object);
  for (const text of descriptor.warnings(object, undefined)) warn(request, text);
}

function managerIn(request: ResourceRequest, options: PipelineOptions): { manager: string; subresource: string } {
  return { manager: options.manager, subresource: options.trackAs ?? request.subresource };
}

/** Mutates `object` until it may replace `old`. */
export async function prepareChanged(
  request: ResourceRequest,
  object: KubeObject,
  old: KubeObject,
  scope: WriteScope,
  options: PipelineOptions,
  applied?: Applied,
): Promise<void> {
  const { descriptor, hooks } = request.resource;
  const { env, subresource } = request;
  checkIdentity(request, object, "update");
  inheritMetadata(object, old);
  descriptor.default(object, applied === undefined);
  if (applied === undefined) trackFields(request, old, object, managerIn(request, options));
  const attributes = attributesFor(request, "UPDATE", scope, object, old);
  await env.admission.admit(attributes);
  descriptor.default(object);
  descriptor.prepareForUpdate(object, old, subresource);
  await hooks.beginUpdate?.(object, old, scope);
  throwInvalid(descriptor, object, descriptor.validateUpdate(object, old, subresource));
  await env.admission.validate(attributes);
  applied?.track(object);
  for (const text of descriptor.warnings(object, old)) warn(request, text);
}

export function attributesFor(
  request: ResourceRequest,
  operation: AdmissionOperation,
  scope: WriteScope,
  object: KubeObject | undefined,
  oldObject: KubeObject | undefined,
): AdmissionAttributes {
  return {
    operation,
    ref: request.resource.descriptor.ref,
    subresource: request.subresource,
    namespace: request.namespace,
    name: request.name || (object?.metadata?.name ?? ""),
    ...(object === undefined ? {} : { object }),
    ...(oldObject === undefined ? {} : { oldObject }),
    user: request.user,
    dryRun: scope.dryRun,
    warn: scope.warn,
    annotate: (key, value) => request.context.annotate(key, value),
  };
}

export function throwInvalid(
  descriptor: KindDescriptor,
  object: KubeObject,
  errors: ReturnType<KindDescriptor["validate"]>,
): void {
  if (errors.length === 0) return;
  const { ref } = descriptor;
  throw statusErrors.invalid(ref.group, ref.kind, object.metadata.name || (object.metadata.generateName ?? ""), errors);
}

/** Namespace and name of body and URL must agree; what the body leaves out is filled in. */
function checkIdentity(request: ResourceRequest, object: KubeObject, what: "create" | "update"): void {
  const { descriptor } = request.resource;
  const { metadata } = object;
  if (descriptor.ref.namespaced) {
    if (metadata.namespace === undefined || metadata.namespace === "") metadata.namespace = request.namespace;
    else if (metadata.namespace !== request.namespace) {
      throw statusErrors.badRequest(
        `the namespace of the provided object does not match the namespace sent on the request`,
      );
    }
  } else if (metadata.namespace !== undefined && metadata.namespace !== "") {
    throw statusErrors.badRequest(`namespace is not allowed on this type`);
  } else delete metadata.namespace;
  if (what === "create") return;
  if (metadata.name === undefined || metadata.name === "") {
    throw statusErrors.badRequest(`the name of the object (based on the URL) was not specified`);
  }
  if (metadata.name !== request.name) {
    throw statusErrors.badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${request.name})`,
    );
  }
}

/** What clients may leave out of an update, and what they may not change. Source: rest.BeforeUpdate. */
function inheritMetadata(object: KubeObject, old: KubeObject): void {
  const { metadata } = object;
  const before = old.metadata;
  if (before.generation === undefined) delete metadata.generation;
  else metadata.generation = before.generation;
  delete metadata.selfLink;
  // An unconditional update is one of the version that is there.
  if (before.resourceVersion !== undefined) metadata.resourceVersion = before.resourceVersion;
  if (metadata.uid === undefined || metadata.uid === "") {
    if (before.uid !== undefined) metadata.uid = before.uid;
  }
  if (before.creationTimestamp !== undefined) metadata.creationTimestamp = before.creationTimestamp;
  for (const field of ["deletionTimestamp", "deletionGracePeriodSeconds"] as const) {
    // An update can neither begin nor change a deletion.
    if (before[field] === undefined) delete metadata[field];
    else Object.assign(metadata, { [field]: before[field] });
  }
}

/** Conflicts of an update's resourceVersion and uid with what is stored. */
export function checkVersions(request: ResourceRequest, object: KubeObject, old: KubeObject): void {
  const { descriptor } = request.resource;
  const of = qualifiedOf(descriptor);
  const { resourceVersion, uid, name = request.name } = object.metadata;
  if (uid !== undefined && uid !== "" && uid !== old.metadata.uid) {
    throw statusErrors.conflict(
      of,
      name,
      invalidObjectText(
        `${descriptor.storage?.prefix ?? ""}${request.namespace === "" ? "" : `/${request.namespace}`}/${name}`,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`,
      ),
    );
  }
  if (resourceVersion === undefined || resourceVersion === "" || resourceVersion === "0") {
    if (descriptor.allowUnconditionalUpdate) return;
    throw statusErrors.invalid(descriptor.ref.group, descriptor.ref.kind, name, [
      {
        type: "FieldValueInvalid",
        field: "metadata.resourceVersion",
        message: `Invalid value: 0: must be specified for an update`,
      },
    ]);
  }
  if (resourceVersion !== old.metadata.resourceVersion) throw statusErrors.staleVersion(of, name);
}

/** Source: storage.NewInvalidObjError, as a conflict of preconditions shows it. */
export function invalidObjectText(key: string, why: string): string {
  return `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: ${why}`;
}
