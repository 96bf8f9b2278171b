/**
 * ResourceClaims of pods: which are to be made from templates, who still holds a claim, and when it goes. Pure.
 * Source: KEP-4381, kubernetes/pkg/controller/resourceclaim
 */
import type { Pod, PodResourceClaim } from "@knarr/api/generated/types/core-v1.ts";
import type {
  ResourceClaim,
  ResourceClaimConsumerReference,
  ResourceClaimTemplate,
} from "@knarr/api/generated/types/resource-v1.ts";
import { controllerOf } from "@knarr/apimachinery/object.ts";
import { controllerRef } from "./claim-plan.ts";
import { isPodTerminal } from "./pod-state.ts";

export const POD_CLAIM_ANNOTATION = "resource.kubernetes.io/pod-claim-name";
export const ALLOCATION_FINALIZER = "resource.kubernetes.io/delete-protection";
/** Room for a hyphen and five random characters in 63. */
const MAX_BASE = 57;

/** It will never run (again). */
export function isPodDone(pod: Pod): boolean {
  return isPodTerminal(pod) || (pod.metadata.deletionTimestamp !== undefined && (pod.spec?.nodeName ?? "") === "");
}

/** The pod's claims that are to be made from a template and that it has no living one of. */
export function missingClaims(pod: Pod, owned: readonly ResourceClaim[]): readonly PodResourceClaim[] {
  if (isPodDone(pod) || pod.metadata.deletionTimestamp !== undefined) return [];
  return (pod.spec?.resourceClaims ?? []).filter((podClaim) => {
    return podClaim.resourceClaimTemplateName !== undefined && claimOf(podClaim, owned) === undefined;
  });
}

/** The claim that was made for this entry of the pod that owns these. */
export function claimOf(podClaim: PodResourceClaim, owned: readonly ResourceClaim[]): ResourceClaim | undefined {
  return owned.find(({ metadata }) => metadata.annotations?.[POD_CLAIM_ANNOTATION] === podClaim.name);
}

export function claimFromTemplate(
  pod: Pod,
  podClaim: PodResourceClaim,
  template: ResourceClaimTemplate,
): ResourceClaim {
  const { labels, annotations } = template.spec.metadata ?? {};
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: {
      namespace: pod.metadata.namespace,
      generateName: baseName(pod.metadata.name ?? "", podClaim.name),
      labels,
      annotations: { ...annotations, [POD_CLAIM_ANNOTATION]: podClaim.name },
      ownerReferences: [controllerRef({ ...pod, apiVersion: "v1", kind: "Pod" })],
    },
    spec: template.spec.spec,
  };
}

/** Both names are shortened, in proportion, where they are too long together. */
function baseName(pod: string, claim: string): string {
  const full = `${pod}-${claim}-`;
  if (full.length <= MAX_BASE) return full;
  const part = (text: string) => text.slice(0, Math.floor((text.length * MAX_BASE) / full.length));
  return `${part(pod)}-${part(claim)}`;
}

export type Consumer =
  | { readonly kind: "pod"; readonly pod: Pod }
  /** Sure to be gone. */
  | { readonly kind: "gone" };

/** Those that still hold the claim. `consumer` answers for references to pods; others are kept. */
export function validConsumers(
  claim: ResourceClaim,
  consumer: (reference: ResourceClaimConsumerReference) => Consumer,
): readonly ResourceClaimConsumerReference[] {
  return (claim.status?.reservedFor ?? []).filter((reference) => {
    if (reference.resource !== "pods" || (reference.apiGroup ?? "") !== "") return true;
    const found = consumer(reference);
    return found.kind === "pod" && found.pod.metadata.uid === reference.uid && !isPodDone(found.pod);
  });
}

/** The status without those that let go; the allocation goes with the last of them. Undefined when nobody did. */
export function releasedStatus(
  claim: ResourceClaim,
  valid: readonly ResourceClaimConsumerReference[],
): ResourceClaim["status"] | undefined {
  const held = claim.status?.reservedFor ?? [];
  const isProtected = claim.metadata.finalizers?.includes(ALLOCATION_FINALIZER) === true;
  const { allocation, reservedFor: _held, ...rest } = claim.status ?? {};
  const isDeleted = claim.metadata.deletionTimestamp !== undefined;
  if (valid.length === held.length) {
    // Allocated and never held, and now deleted.
    const frees = isDeleted && isProtected && held.length === 0 && allocation !== undefined;
    return frees ? rest : undefined;
  }
  if (valid.length === 0) return isProtected || allocation === undefined ? rest : { ...rest, allocation };
  return { ...rest, ...(allocation === undefined ? {} : { allocation }), reservedFor: [...valid] };
}

/** Whether the finalizer has served its time. `released`: somebody has just let go. */
export function mayDropFinalizer(claim: ResourceClaim, released: boolean): boolean {
  if (claim.metadata.finalizers?.includes(ALLOCATION_FINALIZER) !== true) return false;
  if (claim.status?.allocation !== undefined || (claim.status?.reservedFor ?? []).length > 0) return false;
  return released || claim.metadata.deletionTimestamp !== undefined;
}

/** Made for a pod that has no use for it any more. */
export function isLeftOver(claim: ResourceClaim, owner: Pod | undefined): boolean {
  const reference = controllerOf(claim);
  if (reference?.kind !== "Pod" || owner === undefined || (claim.status?.reservedFor ?? []).length > 0) return false;
  return owner.metadata.uid !== reference.uid || isPodDone(owner);
}
