import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { resource } from "../../generated/resources.ts";
import type { ResourceClaim } from "../../generated/types/resource-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { validateClaimStatus } from "./claim-status.ts";
import { defaultClaimSpec, validateClaimSpec } from "./requests.ts";

function stateText(claim: ResourceClaim): string {
  const states: string[] = [];
  if (claim.metadata.deletionTimestamp !== undefined) states.push("deleted");
  if (claim.status?.allocation === undefined) {
    if (claim.metadata.deletionTimestamp === undefined) states.push("pending");
  } else states.push("allocated", ...((claim.status.reservedFor?.length ?? 0) > 0 ? ["reserved"] : []));
  return states.join(",");
}

/** Source: pkg/registry/resource/resourceclaim/strategy.go */
export const resourceClaimKind = defineKind<ResourceClaim>({
  ref: resource.resourceclaims,
  subresources: [statusOf("ResourceClaim")],
  prefix: "/registry/resourceclaims",
  nameRule: subdomainName,
  statusFreezesMetadata: true,
  generation: "none",
  default(claim) {
    defaultClaimSpec(claim.spec);
    for (const result of claim.status?.allocation?.devices?.results ?? []) {
      for (const toleration of result.tolerations ?? []) toleration.operator ||= "Equal";
    }
  },
  validate(errors, claim, old) {
    // It cannot change afterwards, and what was fine when it was made stays so.
    if (old === undefined) validateClaimSpec(errors, "spec", claim.spec);
  },
  validateUpdate: (errors, claim, old) => validateImmutable(errors, "spec", claim.spec, old.spec),
  validateSubresource: validateClaimStatus,
  columns: [nameColumn(), textColumn("State", stateText), ageColumn()],
});
