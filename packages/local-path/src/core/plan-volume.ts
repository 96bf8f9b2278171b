/** The volume for a claim, and what becomes of a volume of this node. Pure. */
import { basename, dirname } from "node:path/posix";
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { claimClass, PROVISIONED_BY } from "@knarr/scheduling/volumes/claim-matching.ts";
import { ENFORCED_ANNOTATION, NODE_ANNOTATION } from "./plan-claim.ts";

/** A volume that is deleted before its claim keeps its object until the folder is gone. Source: KEP-2644 */
export const FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer";
const HOSTNAME = "kubernetes.io/hostname";

export function volumeNameFor(claim: PersistentVolumeClaim): string {
  return `pvc-${claim.metadata.uid}`;
}

/** "pvc-UID" when the volume's path is a folder right below `storageDir`: nothing else is ever touched. */
export function folderOf(volume: PersistentVolume, storageDir: string): string | undefined {
  const path = volume.spec?.local?.path ?? "";
  const name = basename(path);
  return dirname(path) === storageDir && /^pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)
    ? name
    : undefined;
}

export interface NewVolume {
  readonly claim: PersistentVolumeClaim;
  readonly storageClass: StorageClass;
  readonly provisioner: string;
  readonly nodeName: string;
  readonly node: Node | undefined;
  readonly path: string;
  readonly enforced: boolean;
}

export function volumeFor({
  claim,
  storageClass,
  provisioner,
  nodeName,
  node,
  path,
  enforced,
}: NewVolume): PersistentVolume {
  const { name, namespace, uid, resourceVersion } = claim.metadata;
  const reclaimPolicy = storageClass.reclaimPolicy ?? "Delete";
  const hostname = node?.metadata.labels?.[HOSTNAME] ?? nodeName;
  const options = storageClass.mountOptions ?? [];
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: {
      name: volumeNameFor(claim),
      annotations: {
        [PROVISIONED_BY]: provisioner,
        [NODE_ANNOTATION]: nodeName,
        [ENFORCED_ANNOTATION]: String(enforced),
      },
      ...(reclaimPolicy === "Delete" ? { finalizers: [FINALIZER] } : {}),
    },
    spec: {
      accessModes: claim.spec?.accessModes,
      capacity: { storage: claim.spec?.resources?.requests?.storage ?? "0" },
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid, resourceVersion },
      persistentVolumeReclaimPolicy: reclaimPolicy,
      storageClassName: claimClass(claim),
      volumeMode: "Filesystem",
      ...(options.length === 0 ? {} : { mountOptions: options }),
      local: { path },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: HOSTNAME, operator: "In", values: [hostname] }] }],
        },
      },
    },
  };
}

export type VolumePlan =
  | { readonly kind: "none" }
  /** The folder goes, then the object. */
  | { readonly kind: "reclaim" }
  /** The finalizer is to be there, or not. */
  | { readonly kind: "finalizers"; readonly finalizers: readonly string[] };

/** `claimGone`: the claim that claimRef names does not exist any more, which the server said, not a cache. */
export function planVolume(volume: PersistentVolume, claimGone: boolean): VolumePlan {
  const { finalizers = [], deletionTimestamp } = volume.metadata;
  const isDeleting = deletionTimestamp !== undefined;
  const hasFinalizer = finalizers.includes(FINALIZER);
  if (volume.spec?.persistentVolumeReclaimPolicy !== "Delete") {
    // The data stays, whatever becomes of the object.
    return hasFinalizer
      ? { kind: "finalizers", finalizers: finalizers.filter((f) => f !== FINALIZER) }
      : { kind: "none" };
  }
  // Without ours, the folder is gone already, and others hold the object.
  if (isDeleting && !hasFinalizer) return { kind: "none" };
  if (claimGone && (volume.status?.phase === "Released" || isDeleting)) return { kind: "reclaim" };
  if (!hasFinalizer) return { kind: "finalizers", finalizers: [...finalizers, FINALIZER] };
  return { kind: "none" };
}
