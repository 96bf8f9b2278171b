/**
 * What becomes of a PersistentVolumeClaim. Pure.
 *
 *   unbound --suitable volume--> bind --> bound (annotation bind-completed) --volume gone, or another's--> Lost, for good
 *      |--class waits for a consumer, none there yet--> Pending, with an event
 *      |--class with a provisioner--> Pending, marked for the provisioner, which makes a volume that is bound in advance
 *
 * Source: kubernetes.io/docs/concepts/storage/persistent-volumes, kubernetes/pkg/controller/volume/persistentvolume/pv_controller.go
 */
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import {
  BIND_COMPLETED,
  BOUND_BY_CONTROLLER,
  claimClass,
  findBestMatch,
  hasAccessModes,
  isDelayedBinding,
  isVolumeBoundToClaim,
  SELECTED_NODE,
  volumeClass,
} from "@knarr/scheduling/volumes/claim-matching.ts";

const DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class";
const BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class";
const BETA_CLASS = "volume.beta.kubernetes.io/storage-class";

export interface ClaimView {
  readonly claim: PersistentVolumeClaim;
  /** All volumes. */
  readonly volumes: readonly PersistentVolume[];
  readonly volume: (name: string) => PersistentVolume | undefined;
  readonly classes: readonly StorageClass[];
  /** Pods that use the claim. */
  readonly pods: readonly Pod[];
}

export interface PlannedEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export type ClaimBinderPlan =
  | { readonly kind: "bind"; readonly volume: PersistentVolume }
  /** Final: whatever was bound is gone. */
  | { readonly kind: "lost"; readonly event: PlannedEvent }
  | { readonly kind: "pending"; readonly event?: PlannedEvent }
  /** An external provisioner is to make the volume. */
  | { readonly kind: "provision"; readonly provisioner: string; readonly event: PlannedEvent }
  /** The claim named no class, and since then there is a default. */
  | { readonly kind: "assign-class"; readonly className: string };

export function planClaim(view: ClaimView): ClaimBinderPlan {
  const { annotations } = view.claim.metadata;
  return annotations?.[BIND_COMPLETED] === undefined ? planUnbound(view) : planBound(view);
}

function planBound({ claim, volume: find }: ClaimView): ClaimBinderPlan {
  const name = claim.spec?.volumeName ?? "";
  const lost = (reason: string, message: string): ClaimBinderPlan => ({
    kind: "lost",
    event: { type: "Warning", reason, message },
  });
  if (name === "") {
    return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
  }
  const volume = find(name);
  if (volume === undefined) {
    return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  }
  const uid = volume.spec?.claimRef?.uid;
  if (volume.spec?.claimRef === undefined || uid === claim.metadata.uid) return { kind: "bind", volume };
  return lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
}

function planUnbound(view: ClaimView): ClaimBinderPlan {
  const { claim, classes } = view;
  const wanted = claim.spec?.volumeName ?? "";
  if (wanted !== "") return planNamed(view, wanted);
  const named = claim.spec?.storageClassName ?? claim.metadata.annotations?.[BETA_CLASS];
  if (named === undefined) {
    const fallback = defaultClass(classes);
    if (fallback !== undefined) return { kind: "assign-class", className: fallback };
  }
  const className = claimClass(claim);
  const storageClass = classes.find(({ metadata }) => metadata.name === className);
  const delayBinding = isDelayedBinding(storageClass);
  const volume = findBestMatch(claim, view.volumes, { delayBinding });
  if (volume !== undefined) return { kind: "bind", volume };
  if (delayBinding && claim.metadata.annotations?.[SELECTED_NODE] === undefined) {
    return { kind: "pending", event: waiting(view.pods) };
  }
  if (className !== "") return planProvisioning(className, storageClass);
  const message = "no persistent volumes available for this claim and no storage class is set";
  return { kind: "pending", event: { type: "Normal", reason: "FailedBinding", message } };
}

/** The user named the volume. */
function planNamed({ claim, volume: find }: ClaimView, name: string): ClaimBinderPlan {
  const volume = find(name);
  if (volume === undefined) return { kind: "pending" };
  if (volume.spec?.claimRef === undefined) {
    const misfit = whyUnsuitable(volume, claim);
    if (misfit === undefined) return { kind: "bind", volume };
    const message = `Cannot bind to requested volume "${name}": ${misfit}`;
    return { kind: "pending", event: { type: "Warning", reason: "VolumeMismatch", message } };
  }
  if (isVolumeBoundToClaim(volume, claim)) return { kind: "bind", volume };
  const message = `volume "${name}" already bound to a different claim.`;
  return { kind: "pending", event: { type: "Warning", reason: "FailedBinding", message } };
}

function planProvisioning(className: string, storageClass: StorageClass | undefined): ClaimBinderPlan {
  const failed = (message: string): ClaimBinderPlan => ({
    kind: "pending",
    event: { type: "Warning", reason: "ProvisioningFailed", message },
  });
  if (storageClass === undefined) return failed(`storageclass.storage.k8s.io "${className}" not found`);
  const { provisioner } = storageClass;
  // There are no provisioners in the tree: their names can only be a mistake, or say that volumes are made by hand.
  if (provisioner.startsWith("kubernetes.io/")) return failed(`no volume plugin matched name: ${provisioner}`);
  const message =
    `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. ` +
    "If volume creation is delayed, please verify that the provisioner is running and correctly registered.";
  return { kind: "provision", provisioner, event: { type: "Normal", reason: "ExternalProvisioning", message } };
}

function waiting(pods: readonly Pod[]): PlannedEvent {
  const unscheduled = pods.filter(({ spec, metadata }) => {
    return (spec?.nodeName ?? "") === "" && metadata.deletionTimestamp === undefined;
  });
  if (unscheduled.length === 0) {
    const message = "waiting for first consumer to be created before binding";
    return { type: "Normal", reason: "WaitForFirstConsumer", message };
  }
  const names = unscheduled.map(({ metadata }) => metadata.name).sort();
  const subject = names.length === 1 ? `pod ${names[0]}` : `pods ${names.join(",")}`;
  return { type: "Normal", reason: "WaitForPodScheduled", message: `waiting for ${subject} to be scheduled` };
}

/** The newest of the classes marked as default; by name when they are equally old. */
function defaultClass(classes: readonly StorageClass[]): string | undefined {
  const isDefault = ({ metadata }: StorageClass) =>
    metadata.annotations?.[DEFAULT_CLASS] === "true" || metadata.annotations?.[BETA_DEFAULT_CLASS] === "true";
  const age = ({ metadata }: StorageClass) => metadata.creationTimestamp ?? "";
  return classes.filter(isDefault).toSorted((a, b) => {
    if (age(a) !== age(b)) return age(a) < age(b) ? 1 : -1;
    return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
  })[0]?.metadata.name;
}

function whyUnsuitable(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  const size = (quantity: string | number | undefined) => String(quantity ?? "0");
  const requested = size(claim.spec?.resources?.requests?.storage);
  if (volume.metadata.deletionTimestamp !== undefined) {
    return `the volume is marked for deletion "${volume.metadata.name}"`;
  }
  if (compareQuantities(size(volume.spec?.capacity?.storage), requested) < 0) return "requested PV is too small";
  if (volumeClass(volume) !== claimClass(claim)) return "storageClassName does not match";
  const attributes = (name: string | undefined) => name ?? "";
  if (attributes(volume.spec?.volumeAttributesClassName) !== attributes(claim.spec?.volumeAttributesClassName)) {
    return "VolumeAttributesClassName does not match";
  }
  const mode = (value: string | undefined) => value ?? "Filesystem";
  if (mode(volume.spec?.volumeMode) !== mode(claim.spec?.volumeMode)) return "incompatible volumeMode";
  return hasAccessModes(volume, claim) ? undefined : "incompatible accessMode";
}

/** The claim bound to `volume`; the same object when nothing is to change. Marked when the choice was not the user's. */
export function bindClaim(claim: PersistentVolumeClaim, volume: PersistentVolume): PersistentVolumeClaim {
  const named = claim.spec?.volumeName === volume.metadata.name;
  const { annotations } = claim.metadata;
  if (named && annotations?.[BIND_COMPLETED] !== undefined) return claim;
  return {
    ...claim,
    metadata: {
      ...claim.metadata,
      annotations: {
        ...annotations,
        ...(named ? {} : { [BOUND_BY_CONTROLLER]: "yes" }),
        [BIND_COMPLETED]: "yes",
      },
    },
    spec: { ...claim.spec, volumeName: volume.metadata.name },
  };
}

/** The claim's status; undefined when it says so already. With a volume, its modes and size; without one, none. */
export function claimStatus(
  claim: PersistentVolumeClaim,
  phase: "Pending" | "Bound" | "Lost",
  volume: PersistentVolume | undefined,
): PersistentVolumeClaim["status"] | undefined {
  const status = claim.status ?? {};
  if (volume === undefined) {
    const { accessModes, capacity, ...rest } = status;
    if (status.phase === phase && accessModes === undefined && capacity === undefined) return undefined;
    return { ...rest, phase };
  }
  const accessModes = volume.spec?.accessModes ?? [];
  // Once bound, the size is the resizer's to say.
  const capacity = status.phase === phase && status.capacity !== undefined ? status.capacity : volume.spec?.capacity;
  const attributes = volume.spec?.volumeAttributesClassName;
  const next = {
    ...status,
    phase,
    accessModes,
    capacity,
    ...(attributes === undefined ? {} : { currentVolumeAttributesClassName: attributes }),
  };
  const same =
    status.phase === phase &&
    (status.accessModes ?? []).join() === accessModes.join() &&
    status.capacity === capacity &&
    (attributes === undefined || status.currentVolumeAttributesClassName === attributes);
  return same ? undefined : next;
}
