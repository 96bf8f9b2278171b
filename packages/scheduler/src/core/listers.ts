/** What plugins may look up besides nodes and pods. Filled from informers; in tests from plain lists. */

import type { ReplicaSet, StatefulSet } from "@knarr/api/generated/types/apps-v1.ts";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  ReplicationController,
  Service,
} from "@knarr/api/generated/types/core-v1.ts";
import type { PodDisruptionBudget } from "@knarr/api/generated/types/policy-v1.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
} from "@knarr/api/generated/types/storage-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";

export interface Lister<T> {
  /** `namespace` is "" for what has none. */
  get(namespace: string, name: string): T | undefined;
  list(namespace?: string): readonly T[];
}

export interface Listers {
  readonly services: Lister<Service>;
  readonly replicationControllers: Lister<ReplicationController>;
  readonly replicaSets: Lister<ReplicaSet>;
  readonly statefulSets: Lister<StatefulSet>;
  readonly namespaces: Lister<KubeObject>;
  readonly persistentVolumeClaims: Lister<PersistentVolumeClaim>;
  readonly persistentVolumes: Lister<PersistentVolume>;
  readonly storageClasses: Lister<StorageClass>;
  readonly csiNodes: Lister<CSINode>;
  readonly csiDrivers: Lister<CSIDriver>;
  readonly csiStorageCapacities: Lister<CSIStorageCapacity>;
  readonly volumeAttachments: Lister<VolumeAttachment>;
  readonly podDisruptionBudgets: Lister<PodDisruptionBudget>;
}
export type ListedKind = keyof Listers;

/** A lister over a fixed list. */
export function listOf<T extends KubeObject>(objects: readonly T[] = []): Lister<T> {
  return {
    get: (namespace, name) =>
      objects.find(({ metadata }) => (metadata.namespace ?? "") === namespace && metadata.name === name),
    list: (namespace) =>
      namespace === undefined ? objects : objects.filter(({ metadata }) => metadata.namespace === namespace),
  };
}
