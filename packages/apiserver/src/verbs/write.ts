/**
 * The two writes that every verb comes down to: store a new object, and change an existing one under guard.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isAlreadyExists, isNotFound, StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { randomSuffix } from "../admission/service-account.ts";
import { keyIn, qualifiedOf } from "../registry/resource.ts";
import type { ResourceStorage, StoredObject, UpdateDecision } from "../storage/types.ts";
import type { ResourceRequest } from "./environment.ts";
import type { Applied } from "./field-ownership.ts";
import { decodeStored, encodeForStorage, encodeForWire, servedBytes } from "./object-codec.ts";
import { newScope, type PipelineOptions, prepareChanged, prepareNew } from "./pipeline.ts";
import type { WriteScope } from "./write-scope.ts";

export interface WriteResult {
  readonly outcome: "created" | "updated" | "unchanged" | "deleted";
  /** The answer's body. */
  readonly bytes: Buffer;
  /** The object as stored; absent for dry runs. */
  readonly stored?: StoredObject;
}

/** Names tried for generateName before giving up. Source: rest.Create with KEP-4420. */
const GENERATE_TRIES = 8;
/** A generated name fits in a DNS label. */
const MAX_GENERATED_BASE = 63 - 5;

export function storageOf(request: ResourceRequest): ResourceStorage {
  const { storage, descriptor } = request.resource;
  if (storage === undefined) throw statusErrors.methodNotSupported(qualifiedOf(descriptor), request.context.info.verb);
  return storage;
}

/** Stores a new object; `make` gives a fresh copy for each try. Throws AlreadyExists. */
export async function createObject(
  request: ResourceRequest,
  make: () => KubeObject,
  options: PipelineOptions,
): Promise<WriteResult> {
  let object = make();
  const base = object.metadata.generateName ?? "";
  const generate = (object.metadata.name ?? "") === "" && base !== "";
  for (let attempt = 1; ; attempt += 1) {
    if (attempt > 1) object = make();
    if (generate) object.metadata.name = `${base.slice(0, MAX_GENERATED_BASE)}${randomSuffix()}`;
    const scope = newScope(request, options.dryRun);
    try {
      return await storeNew(request, object, scope, options);
    } catch (error) {
      if (!isInDoubt(error)) await scope.rollback();
      if (!(generate && isAlreadyExists(error) && attempt < GENERATE_TRIES)) throw error;
    }
  }
}

async function storeNew(
  request: ResourceRequest,
  object: KubeObject,
  scope: WriteScope,
  options: PipelineOptions,
): Promise<WriteResult> {
  const { descriptor } = request.resource;
  const storage = storageOf(request);
  await prepareNew(request, object, scope, options);
  const key = keyIn(descriptor.ref, request.namespace, object.metadata.name ?? "");
  if (options.dryRun) {
    if (await exists(storage, key)) throw statusErrors.alreadyExists(qualifiedOf(descriptor), key.name);
    await scope.rollback();
    return { outcome: "created", bytes: encodeForWire(descriptor, object) };
  }
  const stored = await storage.create(key, encodeForStorage(descriptor, object), { signal: request.context.signal });
  await scope.commit();
  return { outcome: "created", bytes: servedBytes(request.resource, stored), stored };
}

async function exists(storage: ResourceStorage, key: StoredObject["key"]): Promise<boolean> {
  try {
    await storage.get(key);
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

export interface ChangeOptions extends PipelineOptions {
  /** Called with undefined when there is no such object, if given; otherwise that is NotFound. */
  readonly makeNew?: () => Change;
}

/** What a change makes of an object; by server-side apply it brings its own account of who owns what. */
export interface Change {
  readonly object: KubeObject;
  readonly applied?: Applied;
}

/**
 * Changes an object under guard. `change` gets the stored object, which it leaves as it is, and what gives it a copy that it may change and
 * return; it may be called several times.
 */
export async function changeObject(
  request: ResourceRequest,
  change: (old: KubeObject, copy: () => KubeObject) => Change,
  options: ChangeOptions,
): Promise<WriteResult> {
  const { descriptor } = request.resource;
  const storage = storageOf(request);
  const key = keyIn(descriptor.ref, request.namespace, request.name);
  const { signal } = request.context;
  let scope = newScope(request, options.dryRun);
  let written: KubeObject | undefined;
  const decide = async (current: StoredObject | undefined): Promise<UpdateDecision> => {
    await scope.rollback();
    scope = newScope(request, options.dryRun);
    written = undefined;
    if (current === undefined) {
      if (options.makeNew === undefined) throw statusErrors.notFound(qualifiedOf(descriptor), request.name);
      const made = options.makeNew();
      written = made.object;
      await prepareNew(request, written, scope, options, made.applied);
      return { kind: "write", bytes: encodeForStorage(descriptor, written) };
    }
    const old = decodeStored(descriptor, current);
    const changed = change(old, () => decodeStored(descriptor, current));
    written = changed.object;
    await prepareChanged(request, written, old, scope, options, changed.applied);
    if (vanishes(request, written, old)) return { kind: "delete" };
    return { kind: "write", bytes: encodeForStorage(descriptor, written) };
  };
  try {
    if (options.dryRun) {
      const tried = await tryChange(request, decide, () => written);
      await scope.rollback();
      return tried;
    }
    const result = await storage.update(key, decide, { createIfMissing: options.makeNew !== undefined, signal });
    if (result.outcome === "deleted" && written !== undefined) {
      await request.resource.hooks.afterDelete?.(written, result.object.revision);
    }
    await scope.commit();
    return { outcome: result.outcome, bytes: servedBytes(request.resource, result.object), stored: result.object };
  } catch (error) {
    if (!isInDoubt(error)) await scope.rollback();
    throw error;
  }
}

/**
 * A write that was not confirmed may have happened: what it took must stay taken, or it would be given to somebody else.
 * The repair loop frees it if it did not.
 */
function isInDoubt(error: unknown): boolean {
  return !(error instanceof StatusError) || error.code >= 500;
}

/** Everything but the write. */
async function tryChange(
  request: ResourceRequest,
  decide: (current: StoredObject | undefined) => Promise<UpdateDecision>,
  written: () => KubeObject | undefined,
): Promise<WriteResult> {
  const { descriptor } = request.resource;
  let current: StoredObject | undefined;
  try {
    current = await storageOf(request).get(keyIn(descriptor.ref, request.namespace, request.name));
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  await decide(current);
  const object = written();
  if (object === undefined) throw statusErrors.notFound(qualifiedOf(descriptor), request.name);
  if (current === undefined) delete object.metadata.resourceVersion;
  else object.metadata.resourceVersion = String(current.revision);
  return { outcome: current === undefined ? "created" : "updated", bytes: encodeForWire(descriptor, object) };
}

/** An update that takes the last finalizer from an object that waits for nothing else removes it. */
function vanishes(request: ResourceRequest, object: KubeObject, old: KubeObject): boolean {
  const { metadata } = object;
  if (metadata.deletionTimestamp === undefined || (metadata.finalizers?.length ?? 0) > 0) return false;
  const { mayVanish } = request.resource.hooks;
  if (mayVanish !== undefined) return mayVanish(object);
  // Source: registry store.go deleteWithoutFinalizers: only when the deletion was not waiting for a grace period.
  return (old.metadata.finalizers?.length ?? 0) > 0 && (metadata.deletionGracePeriodSeconds ?? 0) === 0;
}
