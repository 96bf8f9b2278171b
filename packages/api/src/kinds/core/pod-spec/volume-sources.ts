/**
 * Volume sources of vendors and of times past, shared by pods and persistent volumes: what each of them requires.
 * Source: core/validation validate*VolumeSource
 */
import type { Volume } from "../../../generated/types/core-v1.ts";
import { requireText } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";

/** Text fields without which a source is of no use. */
const requiredFields: Readonly<Record<string, readonly string[]>> = {
  awsElasticBlockStore: ["volumeID"],
  azureDisk: ["diskName", "diskURI"],
  azureFile: ["secretName", "shareName"],
  cinder: ["volumeID"],
  flexVolume: ["driver"],
  gcePersistentDisk: ["pdName"],
  gitRepo: ["repository"],
  glusterfs: ["endpoints", "path"],
  iscsi: ["targetPortal", "iqn"],
  photonPersistentDisk: ["pdID"],
  portworxVolume: ["volumeID"],
  quobyte: ["registry", "volume"],
  rbd: ["image"],
  scaleIO: ["gateway", "system", "volumeName"],
  vsphereVolume: ["volumePath"],
};

/** List fields that must not be empty. */
const requiredLists: Readonly<Record<string, string>> = { cephfs: "monitors", rbd: "monitors" };

export function validateLegacySource(
  errors: FieldErrors,
  path: string,
  kind: string,
  owner: Partial<Record<keyof Volume, unknown>>,
): void {
  const source = (owner[kind as keyof Volume] ?? {}) as Record<string, unknown>;
  for (const field of requiredFields[kind] ?? []) {
    const value = source[field];
    requireText(errors, `${path}.${field}`, typeof value === "string" ? value : undefined);
  }
  const list = requiredLists[kind];
  if (list !== undefined && !(Array.isArray(source[list]) && source[list].length > 0))
    errors.required(`${path}.${list}`);
  if (kind === "fc") validateFibreChannel(errors, path, source);
}

function validateFibreChannel(errors: FieldErrors, path: string, source: Record<string, unknown>): void {
  const names = Array.isArray(source.targetWWNs) && source.targetWWNs.length > 0;
  const ids = Array.isArray(source.wwids) && source.wwids.length > 0;
  if (!names && !ids) errors.required(`${path}.targetWWNs`, "must specify either targetWWNs or wwids, but not both");
  if (names && ids) {
    errors.invalid(`${path}.targetWWNs`, source.targetWWNs, "targetWWNs and wwids can not be specified simultaneously");
  }
  if (names && source.lun === undefined) errors.required(`${path}.lun`, "lun is required if targetWWNs is specified");
}
