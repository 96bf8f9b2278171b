/**
 * Which objects a controller owns by its selector: keeps what matches, adopts matching orphans, lets go what no longer
 * matches. Source: kubernetes/pkg/controller/controller_ref_manager.go
 */

import type { LabelSelector, OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";

export interface ClaimPlan<T> {
  readonly owned: readonly T[];
  readonly adopt: readonly T[];
  readonly release: readonly T[];
}

export interface ClaimView<T> {
  readonly owner: KubeObject;
  readonly selector: LabelSelector | undefined;
  /** Objects whose controller the owner is. */
  readonly owned: readonly T[];
  /** Objects of the namespace without a controller. */
  readonly orphans: readonly T[];
  /** What may be adopted besides matching the selector. */
  readonly adoptable?: (object: T) => boolean;
  /** Put on what is adopted, taken from what is released. */
  readonly finalizer?: string;
}

export function planClaims<T extends KubeObject>(view: ClaimView<T>): ClaimPlan<T> {
  const { owner, selector, owned, orphans, adoptable = () => true } = view;
  const deleting = owner.metadata.deletionTimestamp !== undefined;
  const matches = (object: T) => matchesLabelSelector(selector, object.metadata.labels);
  return {
    owned: owned.filter(matches),
    adopt: deleting
      ? []
      : orphans.filter((o) => o.metadata.deletionTimestamp === undefined && adoptable(o) && matches(o)),
    // A deleted owner lets nothing go: the garbage collector knows what to do with its dependents.
    release: deleting ? [] : owned.filter((object) => !matches(object)),
  };
}

/** The strategic merge patch that makes `owner` the controller of the object with this uid. */
export function adoptPatch(owner: KubeObject, uid: string | undefined, finalizer?: string): object {
  const finalizers = finalizer === undefined ? {} : { finalizers: [finalizer] };
  return { metadata: { ownerReferences: [controllerRef(owner)], uid, ...finalizers } };
}

/** The strategic merge patch that removes `owner` from the object with this uid. */
export function releasePatch(owner: KubeObject, uid: string | undefined, finalizer?: string): object {
  const finalizers = finalizer === undefined ? {} : { "$deleteFromPrimitiveList/finalizers": [finalizer] };
  return { metadata: { ownerReferences: [{ $patch: "delete", uid: owner.metadata.uid }], uid, ...finalizers } };
}

export function controllerRef(owner: KubeObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion ?? "",
    kind: owner.kind ?? "",
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}
