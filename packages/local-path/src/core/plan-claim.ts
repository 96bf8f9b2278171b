/**
 * What this node does about a claim: nothing, offer itself, make its volume, or grow it. Pure.
 *
 *   waits for a provisioner --the scheduler chose this node--> provision
 *          '--the class does not wait for pods--> offer: the first node to write its name on the claim makes the volume
 *   bound to a volume of this node, asks for more than it has --> expand
 *
 * Source: kubernetes-csi/external-provisioner (distributed provisioning), kubernetes-csi/external-resizer
 */
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import {
  claimClass,
  isDelayedBinding,
  PROVISIONED_BY,
  SELECTED_NODE,
} from "@knarr/scheduling/volumes/claim-matching.ts";

const PROVISIONER = "volume.kubernetes.io/storage-provisioner";
const BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner";

/** On a volume: whose folder it is. */
export const NODE_ANNOTATION = "local-path.knarr.dev/node";
/** On a volume: "true" where the filesystem holds it to its capacity, else "false". */
export const ENFORCED_ANNOTATION = "local-path.knarr.dev/capacity-enforced";

export interface ClaimView {
  readonly claim: PersistentVolumeClaim;
  readonly provisioner: string;
  readonly nodeName: string;
  /** This node's object, where it is known. */
  readonly node: Node | undefined;
  readonly storageClass: StorageClass | undefined;
  /** The volume that the claim names. */
  readonly volume: PersistentVolume | undefined;
}

export type ClaimPlan =
  | { readonly kind: "none" }
  | { readonly kind: "offer" }
  | { readonly kind: "provision"; readonly storageClass: StorageClass }
  /** Ours to make, but it can't be made as it is asked for. */
  | { readonly kind: "refuse"; readonly message: string }
  | { readonly kind: "expand"; readonly volume: PersistentVolume; readonly size: string };

const NONE: ClaimPlan = { kind: "none" };

export function planClaim(view: ClaimView): ClaimPlan {
  const { claim, storageClass, provisioner, nodeName } = view;
  if (claim.metadata.deletionTimestamp !== undefined) return NONE;
  if ((claim.spec?.volumeName ?? "") !== "") return planBound(view);
  const annotations = claim.metadata.annotations ?? {};
  if ((annotations[PROVISIONER] ?? annotations[BETA_PROVISIONER]) !== provisioner) return NONE;
  if (storageClass?.provisioner !== provisioner) return NONE;
  const selected = annotations[SELECTED_NODE] ?? "";
  if (selected !== "" && selected !== nodeName) return NONE;
  if (selected === "") {
    const mayOffer = !isDelayedBinding(storageClass) && isUsable(view.node) && isAllowed(storageClass, view.node);
    return mayOffer ? { kind: "offer" } : NONE;
  }
  const message = whyNot(claim, storageClass);
  return message === undefined ? { kind: "provision", storageClass } : { kind: "refuse", message };
}

function planBound({ claim, volume, provisioner, nodeName }: ClaimView): ClaimPlan {
  if (volume === undefined || volume.spec?.claimRef?.uid !== claim.metadata.uid) return NONE;
  if (!isOurs(volume, { provisioner, nodeName }) || claim.status?.phase !== "Bound") return NONE;
  const size = String(claim.spec?.resources?.requests?.storage ?? "0");
  const shown = String(claim.status?.capacity?.storage ?? "0");
  const grows = compareQuantities(size, shown) > 0 || compareQuantities(size, capacityOf(volume)) > 0;
  return grows ? { kind: "expand", volume, size } : NONE;
}

export function capacityOf(volume: PersistentVolume): string {
  return String(volume.spec?.capacity?.storage ?? "0");
}

/** Whether the volume was made here. */
export function isOurs(
  volume: PersistentVolume,
  by: { readonly provisioner: string; readonly nodeName: string },
): boolean {
  const annotations = volume.metadata.annotations ?? {};
  return annotations[PROVISIONED_BY] === by.provisioner && annotations[NODE_ANNOTATION] === by.nodeName;
}

function isUsable(node: Node | undefined): boolean {
  const ready = node?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
  return ready && node?.spec?.unschedulable !== true;
}

/** Source: StorageClass.allowedTopologies: terms are alternatives, within one all labels must match. */
function isAllowed({ allowedTopologies = [] }: StorageClass, node: Node | undefined): boolean {
  const labels = node?.metadata.labels ?? {};
  if (allowedTopologies.length === 0) return true;
  return allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => values.includes(labels[key] ?? "")),
  );
}

const MODES = ["ReadWriteOnce", "ReadWriteOncePod"];

function whyNot(claim: PersistentVolumeClaim, storageClass: StorageClass): string | undefined {
  const { spec } = claim;
  if (spec?.selector !== undefined) return "claim Selector is not supported";
  if (spec?.volumeMode === "Block") return "volumeMode Block is not supported: the volumes are folders";
  const modes = (spec?.accessModes ?? []).filter((mode) => !MODES.includes(mode));
  if (modes.length > 0) {
    return `access mode ${modes.join(", ")} is not supported: the volumes are folders of one node (supported: ${MODES.join(", ")})`;
  }
  if (spec?.dataSource !== undefined || spec?.dataSourceRef !== undefined) return "data sources are not supported";
  const parameters = Object.keys(storageClass.parameters ?? {});
  if (parameters.length > 0)
    return `unknown parameter ${parameters.map((p) => JSON.stringify(p)).join(", ")} in StorageClass "${claimClass(claim)}"`;
  return undefined;
}
