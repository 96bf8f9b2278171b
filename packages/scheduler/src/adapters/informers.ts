/** Informers of everything that decides where pods go, and how their news reach the scheduler. */
import { apps, core, policy, storage } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Informer, InformerSet } from "@knarr/client/informer.ts";
import type { ClusterEvent } from "../core/cluster-event.ts";
import type { Lister, Listers } from "../core/listers.ts";
import type { Scheduler } from "../scheduler.ts";
import { slimNode, slimPod } from "./slim-objects.ts";

const POD_OPTIONS = { fieldSelector: "status.phase!=Succeeded,status.phase!=Failed", transform: slimPod } as const;
const NODE_OPTIONS = { transform: slimNode } as const;

export function podInformer(informers: InformerSet) {
  return informers.informer(core.pods, POD_OPTIONS);
}

export function informerListers(informers: InformerSet): Listers {
  const lister = <T extends KubeObject>(ref: ResourceRef<T>): Lister<T> => {
    const informer = informers.informer(ref);
    return {
      get: (namespace, name) => informer.get({ namespace, name }),
      list: (namespace) => informer.list(namespace),
    };
  };
  return {
    services: lister(core.services),
    replicationControllers: lister(core.replicationcontrollers),
    replicaSets: lister(apps.replicasets),
    statefulSets: lister(apps.statefulsets),
    namespaces: lister(core.namespaces),
    persistentVolumeClaims: lister(core.persistentvolumeclaims),
    persistentVolumes: lister(core.persistentvolumes),
    storageClasses: lister(storage.storageclasses),
    csiNodes: lister(storage.csinodes),
    csiDrivers: lister(storage.csidrivers),
    csiStorageCapacities: lister(storage.csistoragecapacities),
    volumeAttachments: lister(storage.volumeattachments),
    podDisruptionBudgets: lister(policy.poddisruptionbudgets),
  };
}

/** Tells the scheduler of pods, nodes and the rest. */
export function subscribe(informers: InformerSet, scheduler: Scheduler): void {
  informers.informer(core.nodes, NODE_OPTIONS).subscribe({
    added: (node) => scheduler.onNode(undefined, node),
    updated: (old, node) => scheduler.onNode(old, node),
    deleted: (node) => scheduler.onNode(node, undefined),
  });
  podInformer(informers).subscribe({
    added: (pod) => scheduler.onPod(undefined, pod),
    updated: (old, pod) => scheduler.onPod(old, pod),
    deleted: (pod) => scheduler.onPod(pod, undefined),
  });
  type Other = Exclude<ClusterEvent["resource"], "Node" | "AssignedPod" | "TargetPod">;
  const tell = <T extends KubeObject>(informer: Informer<T>, resource: Other) => {
    // The kinds of `object` and `resource` go together, by the table below.
    const event = (action: "Add" | "Update" | "Delete", object: T) =>
      scheduler.onOther({ resource, action, object } as unknown as ClusterEvent);
    informer.subscribe({
      added: (object) => event("Add", object),
      updated: (_old, object) => event("Update", object),
      deleted: (object) => event("Delete", object),
    });
  };
  tell(informers.informer(core.persistentvolumeclaims), "PersistentVolumeClaim");
  tell(informers.informer(core.persistentvolumes), "PersistentVolume");
  tell(informers.informer(core.namespaces), "Namespace");
  tell(informers.informer(storage.storageclasses), "StorageClass");
  tell(informers.informer(storage.csinodes), "CSINode");
  tell(informers.informer(storage.csidrivers), "CSIDriver");
  tell(informers.informer(storage.csistoragecapacities), "CSIStorageCapacity");
  tell(informers.informer(storage.volumeattachments), "VolumeAttachment");
}
