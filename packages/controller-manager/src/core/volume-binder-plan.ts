/**
 * What becomes of a PersistentVolume. Pure.
 *
 *   Available --claimed--> Bound --claim gone--> Released --policy Retain--> stays
 *                                                   |------ policy Delete --> an external deleter removes it
 *                                                   '------ policy Recycle -> Failed: nothing here recycles
 *
 * Source: kubernetes/pkg/controller/volume/persistentvolume/pv_controller.go
 */
import type { PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { BOUND_BY_CONTROLLER, PROVISIONED_BY } from "@knarr/scheduling/volumes/claim-matching.ts";
import type { PlannedEvent } from "./claim-binder-plan.ts";

export type VolumePhase = "Available" | "Bound" | "Released" | "Failed";

export interface VolumePlan {
  /** Takes the volume away from its claim (wholly when a controller chose it, else only the uid) and makes it Available. */
  readonly unbind?: boolean;
  readonly phase?: VolumePhase;
  readonly message?: string;
  /** For when the phase changes. */
  readonly event?: PlannedEvent;
  /** The claim has to be looked at: it may have been waiting for this volume. */
  readonly wakeClaim?: boolean;
}

/** `claim` is the one that claimRef names, by uid too: undefined when it is gone. */
export function planVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): VolumePlan {
  const ref = volume.spec?.claimRef;
  if (ref === undefined) return { phase: "Available" };
  if ((ref.uid ?? "") === "") return { phase: "Available", wakeClaim: true };
  if (claim === undefined) return reclaim(volume);
  const bound = claim.spec?.volumeName ?? "";
  if (bound === "") return { wakeClaim: true };
  if (bound === volume.metadata.name) return { phase: "Bound" };
  const dynamic = volume.metadata.annotations?.[PROVISIONED_BY] !== undefined;
  if (dynamic && volume.spec?.persistentVolumeReclaimPolicy === "Delete") return reclaim(volume);
  return { unbind: true };
}

function reclaim(volume: PersistentVolume): VolumePlan {
  const phase = volume.status?.phase;
  // A failure stays visible.
  const released: VolumePlan = phase === "Failed" ? {} : { phase: "Released" };
  switch (volume.spec?.persistentVolumeReclaimPolicy ?? "Retain") {
    case "Retain":
      return released;
    case "Delete": {
      const deleter = volume.metadata.annotations?.[PROVISIONED_BY] ?? "";
      if (deleter !== "" && !deleter.startsWith("kubernetes.io/")) return released;
      const message = `error getting deleter volume plugin for volume "${volume.metadata.name}": no deletable volume plugin matched`;
      return failed("VolumeFailedDelete", message);
    }
    case "Recycle":
      return failed("VolumeFailedRecycle", "No recycler plugin found for the volume!");
    default:
      return failed("VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy");
  }
}

function failed(reason: string, message: string): VolumePlan {
  return { phase: "Failed", message, event: { type: "Warning", reason, message } };
}

/** The volume without its claim. */
export function unbindVolume(volume: PersistentVolume): PersistentVolume {
  const { [BOUND_BY_CONTROLLER]: byController, ...annotations } = volume.metadata.annotations ?? {};
  if (byController === undefined) {
    const { uid: _uid, resourceVersion: _version, ...ref } = volume.spec?.claimRef ?? {};
    return { ...volume, spec: { ...volume.spec, claimRef: ref } };
  }
  const { claimRef: _claim, ...spec } = volume.spec ?? {};
  return { ...volume, metadata: { ...volume.metadata, annotations }, spec };
}
