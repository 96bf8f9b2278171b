/** Whether a volume for a claim can be made on a node: topology of the class, and capacity where drivers tell it. */
import type { Node, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { CSIStorageCapacity, StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import type { Listers } from "../core/listers.ts";

/** Source: plugins/volumebinding/binder.go (checkVolumeProvisions, hasEnoughCapacity) */
export function canProvision(
  claim: PersistentVolumeClaim,
  on: { readonly storageClass: StorageClass; readonly node: Node; readonly listers: Listers },
): "ok" | "topology" | "space" {
  const { storageClass, node, listers } = on;
  if (!matchesTopologies(storageClass, node)) return "topology";
  const driver = listers.csiDrivers.get("", storageClass.provisioner);
  // A driver that does not publish its capacity is trusted to have some.
  if (driver?.spec.storageCapacity !== true) return "ok";
  const size = claim.spec?.resources?.requests?.storage ?? "0";
  const fits = listers.csiStorageCapacities
    .list()
    .some(
      (capacity) =>
        capacity.storageClassName === storageClass.metadata.name &&
        isSufficient(capacity, size) &&
        matchesLabelSelector(capacity.nodeTopology, node.metadata.labels),
    );
  return fits ? "ok" : "space";
}

function isSufficient({ maximumVolumeSize, capacity }: CSIStorageCapacity, size: string): boolean {
  const limit = maximumVolumeSize ?? capacity;
  return limit !== undefined && compareQuantities(limit, size) >= 0;
}

/** Terms are alternatives; within one all labels must match. No terms at all means everywhere. */
function matchesTopologies({ allowedTopologies }: StorageClass, node: Node): boolean {
  if (allowedTopologies === undefined || allowedTopologies.length === 0) return true;
  const labels = node.metadata.labels ?? {};
  return allowedTopologies.some(({ matchLabelExpressions }) => {
    if (matchLabelExpressions === undefined || matchLabelExpressions.length === 0) return false;
    return matchLabelExpressions.every(({ key, values }) => {
      const value = labels[key];
      return value !== undefined && values.includes(value);
    });
  });
}
