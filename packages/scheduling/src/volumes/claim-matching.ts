/**
 * Which PersistentVolume suits a claim, as the binder of the controller manager and the scheduler must judge alike.
 *
 * Pure: objects in, an object or an answer out; chooses nothing by the order of the list but between equals.
 * Source: k8s.io/component-helpers/storage/volume/pv_helpers.go, kubernetes.io/docs/concepts/storage/persistent-volumes#binding
 */
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { selectorOf } from "@knarr/apimachinery/label-selector.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import { matchesNodeSelectorTerm } from "../node-affinity.ts";

/** On a claim: the scheduler's wish that the volume be made for this node. */
export const SELECTED_NODE = "volume.kubernetes.io/selected-node";
/** On a claim: volume and claim are bound to each other, nothing is left to do. */
export const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";
/** On a claim or a volume: the other side was chosen by a controller and not by the user. */
export const BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller";
/** On a volume: who made it. */
export const PROVISIONED_BY = "pv.kubernetes.io/provisioned-by";
/** A class of this provisioner has only volumes made by hand. */
export const NO_PROVISIONER = "kubernetes.io/no-provisioner";
const BETA_CLASS = "volume.beta.kubernetes.io/storage-class";

/** The old annotation wins over the field; "" asks for volumes without a class. */
export function claimClass(claim: PersistentVolumeClaim): string {
  return claim.metadata.annotations?.[BETA_CLASS] ?? claim.spec?.storageClassName ?? "";
}

export function volumeClass(volume: PersistentVolume): string {
  return volume.metadata.annotations?.[BETA_CLASS] ?? volume.spec?.storageClassName ?? "";
}

/** Pre-bound by a user or bound by a controller: same name and namespace, and the same uid where one is given. */
export function isVolumeBoundToClaim(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const ref = volume.spec?.claimRef;
  if (ref === undefined) return false;
  if (ref.name !== claim.metadata.name || ref.namespace !== claim.metadata.namespace) return false;
  return (ref.uid ?? "") === "" || ref.uid === claim.metadata.uid;
}

/** The claim names its volume and the binder has finished with it. */
export function isClaimFullyBound(claim: PersistentVolumeClaim): boolean {
  return (claim.spec?.volumeName ?? "") !== "" && claim.metadata.annotations?.[BIND_COMPLETED] !== undefined;
}

export function isDelayedBinding(storageClass: StorageClass | undefined): boolean {
  return storageClass?.volumeBindingMode === "WaitForFirstConsumer";
}

/** Whether a pod on `node` could use `volume`, as its required node affinity says. */
export function volumeMatchesNode(volume: PersistentVolume, node: Node): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  return required === undefined || required.nodeSelectorTerms.some((term) => matchesNodeSelectorTerm(term, node));
}

/** Whether the volume offers every access mode that the claim asks for. */
export function hasAccessModes(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const offered = volume.spec?.accessModes ?? [];
  return (claim.spec?.accessModes ?? []).every((mode) => offered.includes(mode));
}

export interface MatchOptions {
  /** Given by the scheduler: volumes out of the node's reach don't count. */
  readonly node?: Node;
  /** Names of volumes that are meant for other claims of the same pod. */
  readonly excluded?: ReadonlySet<string>;
  /** Given by the binder for classes that wait for a consumer: only a volume bound to the claim already counts. */
  readonly delayBinding?: boolean;
}

/**
 * The volume bound to `claim` in advance, or else the smallest available one that suits. The access modes of the
 * candidates are looked at only with a node: the binder offers candidates by access mode (findBestMatch).
 */
export function findMatchingVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  options: MatchOptions = {},
): PersistentVolume | undefined {
  const { node, excluded, delayBinding = false } = options;
  const wanted = claim.spec?.resources?.requests?.storage ?? "0";
  const selector = claim.spec?.selector === undefined ? undefined : selectorOf(claim.spec.selector);
  const className = claimClass(claim);
  const attributesClass = claim.spec?.volumeAttributesClassName ?? "";
  let smallest: PersistentVolume | undefined;
  for (const volume of volumes) {
    if (excluded?.has(volume.metadata.name ?? "") === true) continue;
    const bound = isVolumeBoundToClaim(volume, claim);
    if (volume.spec?.claimRef !== undefined && !bound) continue;
    if (compareQuantities(capacityOf(volume), wanted) < 0) continue;
    if ((claim.spec?.volumeMode ?? "Filesystem") !== (volume.spec?.volumeMode ?? "Filesystem")) continue;
    if ((volume.spec?.volumeAttributesClassName ?? "") !== attributesClass) continue;
    if (volume.metadata.deletionTimestamp !== undefined) continue;
    if (bound) return node === undefined || volumeMatchesNode(volume, node) ? volume : undefined;
    if (node === undefined && delayBinding) continue;
    if (volume.status?.phase !== "Available") continue;
    if (selector !== undefined && !selector.matches(volume.metadata.labels)) continue;
    if (volumeClass(volume) !== className) continue;
    if (node !== undefined && !(hasAccessModes(volume, claim) && volumeMatchesNode(volume, node))) continue;
    if (smallest === undefined || compareQuantities(capacityOf(smallest), capacityOf(volume)) > 0) smallest = volume;
  }
  return smallest;
}

/**
 * The binder's choice among all volumes: of those that offer the claim's access modes, a set of modes close to what is
 * asked for goes before a larger one, and within a set the smallest volume wins.
 * Source: pkg/controller/volume/persistentvolume/index.go (findByClaim)
 */
export function findBestMatch(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  options: Omit<MatchOptions, "node"> = {},
): PersistentVolume | undefined {
  const byModes = new Map<string, PersistentVolume[]>();
  for (const volume of volumes) {
    if (!hasAccessModes(volume, claim)) continue;
    const modes = [...new Set(volume.spec?.accessModes ?? [])].sort().join(",");
    const group = byModes.get(modes);
    if (group === undefined) byModes.set(modes, [volume]);
    else group.push(volume);
  }
  const size = (modes: string) => modes.split(",").length;
  const sets = [...byModes.keys()].sort((a, b) => size(a) - size(b) || (a < b ? -1 : 1));
  for (const modes of sets) {
    const found = findMatchingVolume(claim, byModes.get(modes) ?? [], options);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `volume` bound to `claim`; the same object when it is already. Marked when the choice was not the user's. */
export function bindVolumeToClaim(volume: PersistentVolume, claim: PersistentVolumeClaim): PersistentVolume {
  const { name, namespace, uid, resourceVersion } = claim.metadata;
  const ref = volume.spec?.claimRef;
  const mark = !isVolumeBoundToClaim(volume, claim) && volume.metadata.annotations?.[BOUND_BY_CONTROLLER] === undefined;
  const isSame = ref !== undefined && ref.name === name && ref.namespace === namespace && ref.uid === uid;
  if (isSame && !mark) return volume;
  const claimRef = isSame
    ? ref
    : { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid, resourceVersion };
  return {
    ...volume,
    metadata: mark
      ? { ...volume.metadata, annotations: { ...volume.metadata.annotations, [BOUND_BY_CONTROLLER]: "yes" } }
      : volume.metadata,
    spec: { ...volume.spec, claimRef },
  };
}

function capacityOf(volume: PersistentVolume): string {
  return volume.spec?.capacity?.storage ?? "0";
}
