/** Defaults of volumes. Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go and +default tags of core/v1 */
import type { PersistentVolumeClaimSpec, PersistentVolumeSpec, Volume } from "../../../generated/types/core-v1.ts";

/** rw-r--r-- */
const defaultMode = 0o644;

function defaultItems(
  items: readonly { fieldRef?: { apiVersion?: string | undefined } | undefined }[] | undefined,
): void {
  for (const item of items ?? []) if (item.fieldRef !== undefined) item.fieldRef.apiVersion ||= "v1";
}

function defaultProjected(projected: NonNullable<Volume["projected"]>): void {
  projected.defaultMode ??= defaultMode;
  for (const source of projected.sources ?? []) {
    if (source.serviceAccountToken !== undefined) source.serviceAccountToken.expirationSeconds ??= 3600;
    defaultItems(source.downwardAPI?.items);
  }
}

type Legacy = "iscsi" | "rbd" | "azureDisk" | "scaleIO";

/** Storage that upstream serves through CSI migration or not at all any more; its defaults are still part of the API. */
function defaultLegacySource(volume: Pick<PersistentVolumeSpec | Volume, Legacy>): void {
  const { iscsi, rbd, azureDisk, scaleIO } = volume;
  if (iscsi !== undefined) iscsi.iscsiInterface ||= "default";
  if (rbd !== undefined) {
    rbd.pool ||= "rbd";
    rbd.user ||= "admin";
    rbd.keyring ||= "/etc/ceph/keyring";
  }
  if (azureDisk !== undefined) {
    azureDisk.cachingMode ??= "ReadWrite";
    azureDisk.kind ??= "Shared";
    azureDisk.fsType ??= "ext4";
    azureDisk.readOnly ??= false;
  }
  if (scaleIO !== undefined) {
    scaleIO.storageMode ||= "ThinProvisioned";
    scaleIO.fsType ||= "xfs";
  }
}

/** Mutates. */
export function defaultClaimSpec(spec: PersistentVolumeClaimSpec): void {
  spec.volumeMode ??= "Filesystem";
}

/** Mutates: a volume without a source is an emptyDir. */
export function defaultVolume(volume: Volume): void {
  if (Object.keys(volume).every((key) => key === "name")) volume.emptyDir = {};
  if (volume.secret !== undefined) volume.secret.defaultMode ??= defaultMode;
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= defaultMode;
  if (volume.downwardAPI !== undefined) {
    volume.downwardAPI.defaultMode ??= defaultMode;
    defaultItems(volume.downwardAPI.items);
  }
  if (volume.projected !== undefined) defaultProjected(volume.projected);
  if (volume.hostPath !== undefined) volume.hostPath.type ??= "";
  if (volume.ephemeral?.volumeClaimTemplate !== undefined) defaultClaimSpec(volume.ephemeral.volumeClaimTemplate.spec);
  if (volume.image !== undefined) volume.image.pullPolicy ||= imagePullPolicy(volume.image.reference ?? "");
  defaultLegacySource(volume);
}

/** Source: SetDefaults_Volume for image volumes, which follow containers */
function imagePullPolicy(reference: string): string {
  const tagged = /:([^/:@]+)$/.exec(reference)?.[1];
  return reference.includes("@") || (tagged !== undefined && tagged !== "latest") ? "IfNotPresent" : "Always";
}

/** Mutates: the source in a persistent volume, or in an attachment. */
export function defaultPersistentSource(spec: PersistentVolumeSpec): void {
  if (spec.hostPath !== undefined) spec.hostPath.type ??= "";
  defaultLegacySource(spec);
}
