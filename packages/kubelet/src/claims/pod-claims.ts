/**
 * Which ResourceClaims a pod and each of its containers use, and what makes a claim fit for a pod. Pure.
 * Source: KEP-4381; k8s.io/dynamic-resource-allocation/resourceclaim
 */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceClaim } from "@knarr/api/generated/types/resource-v1.ts";
import { controllerOf } from "@knarr/apimachinery/object.ts";

/** A pod's claim can't be used (yet); the message is what the pod's event says. */
export class ClaimError extends Error {}

export interface PodClaim {
  /** The entry of spec.resourceClaims; undefined for the claim of extended resources. */
  readonly entry: string | undefined;
  readonly claimName: string;
  /** It was made from a template, for this pod and no other. */
  readonly mustOwn: boolean;
}

/** Throws ClaimError while a claim is still to be made from its template. Entries that came to no claim are left out. */
export function claimsOfPod(pod: Pod): readonly PodClaim[] {
  const { spec, status, metadata } = pod;
  const claims: PodClaim[] = [];
  for (const { name, resourceClaimName, resourceClaimTemplateName } of spec?.resourceClaims ?? []) {
    if (resourceClaimName !== undefined) claims.push({ entry: name, claimName: resourceClaimName, mustOwn: false });
    else if (resourceClaimTemplateName !== undefined) {
      const made = status?.resourceClaimStatuses?.find((s) => s.name === name);
      if (made === undefined)
        throw new ClaimError(`pod "${metadata.namespace}/${metadata.name}": ResourceClaim not created yet`);
      // The pod's maker found that this pod needs none.
      if (made.resourceClaimName === undefined) continue;
      claims.push({ entry: name, claimName: made.resourceClaimName, mustOwn: true });
    }
  }
  const extended = status?.extendedResourceClaimStatus?.resourceClaimName;
  if (extended !== undefined) claims.push({ entry: undefined, claimName: extended, mustOwn: false });
  return claims;
}

export interface ClaimUse {
  readonly claimName: string;
  /** "" stands for all that the claim was given. */
  readonly request: string;
}

/** What of the pod's claims the container asks for, in the order of the pod's claims. Throws ClaimError. */
export function claimsOfContainer(pod: Pod, container: Container): readonly ClaimUse[] {
  const wanted = container.resources?.claims ?? [];
  return claimsOfPod(pod).flatMap(({ entry, claimName }) => {
    if (entry === undefined) return requestsForExtended(pod, container).map((request) => ({ claimName, request }));
    return wanted.filter(({ name }) => name === entry).map(({ request }) => ({ claimName, request: request ?? "" }));
  });
}

/** The scheduler noted which request of its claim stands for which extended resource of which container. */
function requestsForExtended(pod: Pod, container: Container): readonly string[] {
  const asked = container.resources?.requests ?? {};
  return (pod.status?.extendedResourceClaimStatus?.requestMappings ?? [])
    .filter(({ containerName, resourceName }) => containerName === container.name && asked[resourceName] !== undefined)
    .map(({ requestName }) => requestName);
}

/** Throws ClaimError when the claim is another's, or not allocated and reserved for the pod. */
export function checkClaim(pod: Pod, { mustOwn }: PodClaim, claim: ResourceClaim): void {
  const { name: podName, namespace, uid: podUid } = pod.metadata;
  const { name, uid } = claim.metadata;
  if (mustOwn && controllerOf(claim)?.uid !== podUid) {
    throw new ClaimError(
      `ResourceClaim ${namespace}/${name} was not created for pod ${namespace}/${podName} (pod is not owner)`,
    );
  }
  if (claim.status?.reservedFor?.some((holder) => holder.uid === podUid) !== true) {
    throw new ClaimError(`pod ${podName} (${podUid}) is not allowed to use ResourceClaim ${name} (${uid})`);
  }
  if (claim.status.allocation === undefined) throw new ClaimError(`ResourceClaim ${name}: not allocated`);
}

/** The drivers that gave something to the claim, each once. */
export function driversOf(claim: ResourceClaim): readonly string[] {
  return [...new Set((claim.status?.allocation?.devices?.results ?? []).map(({ driver }) => driver))];
}
