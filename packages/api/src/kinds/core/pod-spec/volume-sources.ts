/**
 * Volume sources of vendors and of times past, shared by pods and persistent volumes: what each of them requires.
 * Source: core/validation validate*VolumeSource
 */
import type { Volume } from "../../../generated/types/core-v1.ts";
import { requireText, validateDescendingPath, validateOneOf } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { rangeError } from "../../../validation/names.ts";

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
  if (Object.hasOwn(furtherChecks, kind)) furtherChecks[kind]?.(errors, path, source);
}

type Source = Readonly<Record<string, unknown>>;

function validateRange(errors: FieldErrors, path: string, value: unknown): void {
  if (typeof value === "number" && (value < 0 || value > 255)) errors.invalid(path, value, rangeError(0, 255));
}

/** The name in a reference to a Secret, and its namespace where the kind of reference has one. */
function validateSecretRef(errors: FieldErrors, path: string, ref: unknown): void {
  if (typeof ref !== "object" || ref === null) return;
  requireText(errors, `${path}.secretRef.name`, (ref as { name?: string }).name);
}

const checkSecretRef = (errors: FieldErrors, path: string, { secretRef }: Source) =>
  validateSecretRef(errors, path, secretRef);

const checkPartition = (errors: FieldErrors, path: string, { partition }: Source) =>
  validateRange(errors, `${path}.partition`, partition);

/** Source: core/validation, iscsiInitiator*Regex */
const ISCSI_NAMES: Readonly<Record<string, RegExp>> = {
  iqn: /iqn\.\d{4}-\d{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$/,
  eui: /^eui.[A-Za-z0-9]{16}$/,
  naa: /^naa.[A-Za-z0-9]{32}$/,
};

function validateIscsiName(errors: FieldErrors, path: string, name: unknown): void {
  if (typeof name !== "string" || name === "") return;
  const form = ISCSI_NAMES[name.slice(0, 3)];
  if (form === undefined) errors.invalid(path, name, "must be valid format starting with iqn, eui, or naa");
  else if (!form.test(name)) errors.invalid(path, name, "must be valid format");
}

function validateIscsi(errors: FieldErrors, path: string, source: Source): void {
  validateIscsiName(errors, `${path}.iqn`, source.iqn);
  validateRange(errors, `${path}.lun`, source.lun);
  const usesSecret = source.chapAuthDiscovery === true || source.chapAuthSession === true;
  if (usesSecret && source.secretRef === undefined) errors.required(`${path}.secretRef`);
  validateIscsiName(errors, `${path}.initiatorname`, source.initiatorName);
}

const AZURE_DISKS = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const AZURE_BLOBS = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

function validateAzureDisk(errors: FieldErrors, path: string, source: Source): void {
  const { cachingMode, kind, diskURI = "" } = source as { cachingMode?: string; kind?: string; diskURI?: string };
  if (cachingMode !== undefined) {
    validateOneOf(errors, `${path}.cachingMode`, cachingMode, ["None", "ReadOnly", "ReadWrite"]);
  }
  if (kind === undefined) return;
  validateOneOf(errors, `${path}.kind`, kind, ["Dedicated", "Managed", "Shared"]);
  const [start, form] = kind === "Managed" ? ["/subscriptions/", AZURE_DISKS] : ["https://", AZURE_BLOBS];
  if (!diskURI.startsWith(start)) errors.notSupported(`${path}.diskURI`, diskURI, [form]);
}

function validateFlexVolume(errors: FieldErrors, path: string, { options }: Source): void {
  for (const key of Object.keys((options ?? {}) as object)) {
    const owner = `.${(key.split("/", 2)[0] ?? key).toLowerCase()}`;
    if (!owner.endsWith(".kubernetes.io") && !owner.endsWith(".k8s.io")) continue;
    errors.invalid(`${path}.options[${key}]`, key, "kubernetes.io and k8s.io namespaces are reserved");
  }
}

function validateQuobyte(errors: FieldErrors, path: string, source: Source): void {
  const { registry = "", tenant = "" } = source as { registry?: string; tenant?: string };
  const rule = "must be a host:port pair or multiple pairs separated by commas";
  if (registry === "") errors.required(`${path}.registry`, rule);
  else if (tenant.length > 64) {
    errors.required(`${path}.tenant`, "must be a UUID and may not exceed a length of 64 characters");
  } else if (!registry.split(",").every((pair) => /^(\[[^\]]*\]|[^:[\]]*):[^:[\]]*$/.test(pair))) {
    errors.invalid(`${path}.registry`, registry, rule);
  }
  requireText(errors, `${path}.volume`, source.volume as string | undefined);
}

function validateFlocker(errors: FieldErrors, path: string, source: Source): void {
  const { datasetName = "", datasetUUID = "" } = source as { datasetName?: string; datasetUUID?: string };
  if (datasetName === "" && datasetUUID === "") {
    errors.required(path, "one of datasetName and datasetUUID is required");
  }
  if (datasetName !== "" && datasetUUID !== "") {
    errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
  }
  if (datasetName.includes("/")) errors.invalid(`${path}.datasetName`, datasetName, "must not contain '/'");
}

/** What goes beyond fields that must be there. */
const furtherChecks: Readonly<Record<string, (errors: FieldErrors, path: string, source: Source) => void>> = {
  awsElasticBlockStore: checkPartition,
  azureDisk: validateAzureDisk,
  cinder: checkSecretRef,
  fc: validateFibreChannel,
  flexVolume: validateFlexVolume,
  flocker: validateFlocker,
  gcePersistentDisk: checkPartition,
  gitRepo: (errors, path, { directory }) => {
    if (typeof directory === "string") validateDescendingPath(errors, `${path}.directory`, directory);
  },
  iscsi: validateIscsi,
  quobyte: validateQuobyte,
};

function validateFibreChannel(errors: FieldErrors, path: string, source: Record<string, unknown>): void {
  const names = Array.isArray(source.targetWWNs) && source.targetWWNs.length > 0;
  const ids = Array.isArray(source.wwids) && source.wwids.length > 0;
  if (!names && !ids) errors.required(`${path}.targetWWNs`, "must specify either targetWWNs or wwids, but not both");
  if (names && ids) {
    errors.invalid(`${path}.targetWWNs`, source.targetWWNs, "targetWWNs and wwids can not be specified simultaneously");
  }
  if (names && source.lun === undefined) errors.required(`${path}.lun`, "lun is required if targetWWNs is specified");
  if (names) validateRange(errors, `${path}.lun`, source.lun);
}
