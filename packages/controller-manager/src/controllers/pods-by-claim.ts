/** Informer index: the pods that use a claim, by the claim's key; those of ephemeral volumes too. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

export const BY_CLAIM = "claim";

export function claimsOfPod({ metadata, spec }: Pod): readonly string[] {
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [`${metadata.namespace}/${persistentVolumeClaim.claimName}`];
    return ephemeral === undefined ? [] : [`${metadata.namespace}/${metadata.name}-${name}`];
  });
}
