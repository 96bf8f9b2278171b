/**
 * What becomes of an object, given what is known of its owners: the garbage collector's decisions. Pure.
 *
 *   an owner that lives        ..........  the object stays, and loses the references that no longer hold it
 *   none lives, one waits for it  .......  deleted, in the foreground when it has dependents of its own
 *   all are absent  .....................  deleted, the way its own finalizers ask for
 *   one that can't be judged  ...........  the object stays
 *
 * Source: kubernetes/pkg/controller/garbagecollector attemptToDeleteItem
 */
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "./owner-graph.ts";

/** "waiting": deleted in the foreground, so its dependents have to go; "unknown": nobody can say whether it exists. */
export type OwnerState = "solid" | "waiting" | "absent" | "unknown";

export interface Owner {
  readonly state: OwnerState;
  readonly reference: OwnerReference;
}

export interface CollectionInput {
  /** As the server has it now, not as it is cached. */
  readonly live: KubeObject;
  /** One for each of its references, in their order. */
  readonly owners: readonly Owner[];
  readonly hasDependents: boolean;
  /** One of its dependents is being deleted in the foreground itself, so the two may wait for each other. */
  readonly mayBeInCycle: boolean;
}

export type CollectionPlan =
  | { readonly kind: "keep" }
  | { readonly kind: "release"; readonly ownerReferences: readonly OwnerReference[] }
  | {
      readonly kind: "delete";
      readonly propagationPolicy: "Foreground" | "Background" | "Orphan";
      /** To be written before the deletion, so that the object holds none of its owners back. */
      readonly unblock?: readonly OwnerReference[];
    };

const KEEP: CollectionPlan = { kind: "keep" };

export function planCollection({ live, owners, hasDependents, mayBeInCycle }: CollectionInput): CollectionPlan {
  const isIn = (state: OwnerState) => owners.some((owner) => owner.state === state);
  if (owners.length === 0 || isIn("unknown")) return KEEP;
  const solid = owners.filter(({ state }) => state === "solid").map(({ reference }) => reference);
  if (solid.length === owners.length) return KEEP;
  if (solid.length > 0) return { kind: "release", ownerReferences: solid };
  if (!isIn("waiting") || !hasDependents) return { kind: "delete", propagationPolicy: policyOf(live) };
  const blocks = owners.some(({ reference }) => reference.blockOwnerDeletion === true);
  if (!mayBeInCycle || !blocks) return { kind: "delete", propagationPolicy: "Foreground" };
  const unblock = owners.map(({ reference }) => ({ ...reference, blockOwnerDeletion: false }));
  return { kind: "delete", propagationPolicy: "Foreground", unblock };
}

/** The state of an owner that exists. */
export function stateOfOwner({ metadata }: KubeObject): "solid" | "waiting" {
  const inForeground = metadata.finalizers?.includes(FOREGROUND_FINALIZER) === true;
  return metadata.deletionTimestamp !== undefined && inForeground ? "waiting" : "solid";
}

/** What the object's own finalizers ask for. */
function policyOf({ metadata }: KubeObject): "Foreground" | "Background" | "Orphan" {
  if (metadata.finalizers?.includes(ORPHAN_FINALIZER) === true) return "Orphan";
  return metadata.finalizers?.includes(FOREGROUND_FINALIZER) === true ? "Foreground" : "Background";
}
