/**
 * What a request of deletion does to an object. Pure: plans first, the caller writes.
 * Source: k8s.io/apiserver registry/rest/delete.go (BeforeDelete) and registry/generic/registry/store.go.
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { DeleteRequestOptions, Propagation } from "./delete-options.ts";

export const ORPHAN_FINALIZER = "orphan";
export const FOREGROUND_FINALIZER = "foregroundDeletion";

export type DeletionPlan =
  /** Nothing waits: remove it. `object` was changed only if `marked`. */
  | { readonly kind: "remove"; readonly marked: boolean }
  /** Store the changed object: a grace period runs or finalizers are pending. */
  | { readonly kind: "mark" }
  /** It is being deleted already and this request changes nothing. */
  | { readonly kind: "pending" };

/** Mutates `object`: deletionTimestamp, grace, generation and finalizers, as the plan says. */
export function planDeletion(
  descriptor: KindDescriptor,
  object: KubeObject,
  options: DeleteRequestOptions,
  nowMs: number,
): DeletionPlan {
  const grace = planGrace(descriptor, object, options, nowMs);
  if (grace === "pending") return { kind: "pending" };
  const finalizersChanged = applyPropagation(descriptor, object, options.propagation);
  const finalizersPending = (object.metadata.finalizers?.length ?? 0) > 0;
  if (grace !== undefined) {
    return grace > 0 || finalizersPending ? { kind: "mark" } : { kind: "remove", marked: true };
  }
  if (!finalizersPending) return { kind: "remove", marked: false };
  const marked = markDeleting(object, nowMs);
  return marked || finalizersChanged ? { kind: "mark" } : { kind: "pending" };
}

/** The seconds of grace now set on the object, undefined when the kind has none, "pending" when nothing changes. */
function planGrace(
  descriptor: KindDescriptor,
  object: KubeObject,
  options: DeleteRequestOptions,
  nowMs: number,
): number | undefined | "pending" {
  const { metadata } = object;
  const seconds = descriptor.deletion.graceSeconds(object, options.gracePeriodSeconds);
  if (seconds === undefined) return undefined;
  if (metadata.deletionTimestamp === undefined) {
    metadata.deletionTimestamp = rfc3339Seconds(nowMs + seconds * 1000);
    metadata.deletionGracePeriodSeconds = seconds;
    bumpGeneration(object);
    return seconds;
  }
  const current = metadata.deletionGracePeriodSeconds;
  if (current === undefined) return undefined;
  const asked = options.gracePeriodSeconds;
  // A running grace period can only be shortened.
  if (asked === undefined || asked >= current) {
    return current === 0 && (metadata.finalizers?.length ?? 0) === 0 ? 0 : "pending";
  }
  const startMs = Date.parse(metadata.deletionTimestamp) - current * 1000;
  metadata.deletionTimestamp = rfc3339Seconds(startMs + asked * 1000);
  metadata.deletionGracePeriodSeconds = asked;
  return asked;
}

/** Source: store.go markAsDeleting. Returns whether anything changed. */
function markDeleting(object: KubeObject, nowMs: number): boolean {
  const { metadata } = object;
  if (metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0) return false;
  if (metadata.deletionTimestamp === undefined) {
    bumpGeneration(object);
    metadata.deletionTimestamp = rfc3339Seconds(nowMs);
  }
  metadata.deletionGracePeriodSeconds = 0;
  return true;
}

function bumpGeneration(object: KubeObject): void {
  const generation = object.metadata.generation;
  if (generation !== undefined && generation > 0) object.metadata.generation = generation + 1;
}

/** Sets and clears the garbage collector's finalizers. Returns whether anything changed. */
export function applyPropagation(
  descriptor: KindDescriptor,
  object: KubeObject,
  asked: Propagation | undefined,
): boolean {
  const before = object.metadata.finalizers ?? [];
  const policy = asked ?? implied(before) ?? descriptor.deletion.defaultPropagation;
  const kept = before.filter((finalizer) => finalizer !== ORPHAN_FINALIZER && finalizer !== FOREGROUND_FINALIZER);
  const added = policy === "Orphan" ? [ORPHAN_FINALIZER] : policy === "Foreground" ? [FOREGROUND_FINALIZER] : [];
  const wanted = [...kept, ...added];
  const same = wanted.length === before.length && before.every((finalizer) => wanted.includes(finalizer));
  if (same) return false;
  if (wanted.length === 0) delete object.metadata.finalizers;
  else object.metadata.finalizers = wanted;
  return true;
}

/** A finalizer that is set already says how the object wants to be deleted. */
function implied(finalizers: readonly string[]): Propagation | undefined {
  if (finalizers.includes(ORPHAN_FINALIZER)) return "Orphan";
  return finalizers.includes(FOREGROUND_FINALIZER) ? "Foreground" : undefined;
}
