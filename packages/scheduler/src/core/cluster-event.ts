/**
 * Changes in the cluster that may make a pod schedulable. Names are those of upstream's metrics and hints.
 * Source: pkg/scheduler/framework/events.go, KEP-4247
 */
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";

export type ClusterEvent =
  | { readonly resource: "Node"; readonly action: "Add"; readonly node: Node }
  | { readonly resource: "Node"; readonly action: "Delete"; readonly node: Node }
  | { readonly resource: "Node"; readonly action: "Update"; readonly old: Node; readonly node: Node }
  | { readonly resource: "AssignedPod"; readonly action: "Add"; readonly pod: Pod }
  | { readonly resource: "AssignedPod"; readonly action: "Delete"; readonly pod: Pod }
  | { readonly resource: "AssignedPod"; readonly action: "Update"; readonly old: Pod; readonly pod: Pod }
  | { readonly resource: "TargetPod"; readonly action: "Update"; readonly old: Pod; readonly pod: Pod }
  | {
      readonly resource: "PersistentVolumeClaim";
      readonly action: "Add" | "Update" | "Delete";
      readonly object: PersistentVolumeClaim;
    }
  | { readonly resource: "PersistentVolume"; readonly action: "Add" | "Update"; readonly object: PersistentVolume }
  | {
      readonly resource:
        | "StorageClass"
        | "CSINode"
        | "CSIDriver"
        | "CSIStorageCapacity"
        | "VolumeAttachment"
        | "Namespace";
      readonly action: "Add" | "Update" | "Delete";
      readonly object: KubeObject;
    };

/** "Node/Add" and the like. */
export type EventKind = `${ClusterEvent["resource"]}/${ClusterEvent["action"]}`;

export function kindOf(event: ClusterEvent): EventKind {
  return `${event.resource}/${event.action}`;
}
