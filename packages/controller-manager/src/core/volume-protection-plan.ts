/**
 * The finalizers that keep claims and volumes in use from going. Pure.
 * Source: kubernetes.io/docs/concepts/storage/persistent-volumes#storage-object-in-use-protection
 */
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { controllerOf, type KubeObject } from "@knarr/apimachinery/object.ts";

export const CLAIM_FINALIZER = "kubernetes.io/pvc-protection";
export const ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection";
export const VOLUME_FINALIZER = "kubernetes.io/pv-protection";

export type ProtectionPlan = "protect" | "release" | "keep";

/** `isUsed` is asked only for an object on its way out. */
export function planProtection(object: KubeObject, finalizer: string, isUsed: () => boolean): ProtectionPlan {
  const isProtected = object.metadata.finalizers?.includes(finalizer) === true;
  if (object.metadata.deletionTimestamp === undefined) return isProtected ? "keep" : "protect";
  return isProtected && !isUsed() ? "release" : "keep";
}

export const isVolumeUsed = ({ status }: PersistentVolume): boolean => status?.phase === "Bound";

/** Pods that aren't scheduled don't count: no kubelet starts a pod whose claim is being deleted. */
export function isClaimUsed(claim: PersistentVolumeClaim, pods: readonly Pod[]): boolean {
  return pods.some((pod) => usesClaim(pod, claim));
}

function usesClaim(pod: Pod, claim: PersistentVolumeClaim): boolean {
  if ((pod.spec?.nodeName ?? "") === "") return false;
  const name = claim.metadata.name ?? "";
  return (pod.spec?.volumes ?? []).some((volume) => {
    if (volume.persistentVolumeClaim?.claimName === name) return true;
    if (volume.ephemeral === undefined || `${pod.metadata.name}-${volume.name}` !== name) return false;
    return !isShutDown(pod) && isOwnedBy(claim, pod);
  });
}

/** The kubelet is done with it, or it was deleted by force. */
function isShutDown({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;
}

/** Whether the claim was made for this very pod. Source: component-helpers/storage/ephemeral */
export function isOwnedBy(claim: PersistentVolumeClaim, pod: Pod): boolean {
  const owner = controllerOf(claim);
  return claim.metadata.namespace === pod.metadata.namespace && owner?.uid === pod.metadata.uid;
}

/** The object with, or without, the finalizer. */
export function withFinalizer<T extends KubeObject>(object: T, finalizer: string, plan: "protect" | "release"): T {
  const others = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
  const finalizers = plan === "protect" ? [...others, finalizer] : others;
  return { ...object, metadata: { ...object.metadata, finalizers } };
}
