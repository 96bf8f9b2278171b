/** Volumes of pods and templates. Source: kubectl/pkg/describe/describe.go (layout). */
import type { PersistentVolumeSpec, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { type Description, orUnset } from "./description.ts";

export function describeVolumes(out: Description, volumes: readonly Volume[] | undefined, space: string): void {
  if (volumes === undefined || volumes.length === 0) {
    out.line(0, `${space}Volumes:\t<none>`);
    return;
  }
  out.line(0, `${space}Volumes:`);
  for (const volume of volumes) {
    out.line(1, `${space === "" ? "" : " "}${volume.name}:`);
    describeSource(out, volume);
  }
}

type Fields = readonly (readonly [label: string, value: string | number | boolean | undefined])[];

function source(out: Description, type: string, fields: Fields): void {
  out.field(2, "Type", type);
  for (const [label, value] of fields) out.field(2, label, value ?? "");
}

function describeSource(out: Description, volume: Volume): void {
  const {
    hostPath,
    emptyDir,
    secret,
    configMap,
    projected,
    persistentVolumeClaim,
    downwardAPI,
    nfs,
    csi,
    ephemeral,
    image,
  } = volume;
  if (hostPath !== undefined) {
    source(out, "HostPath (bare host directory volume)", [
      ["Path", hostPath.path],
      ["HostPathType", hostPath.type ?? "<none>"],
    ]);
  } else if (emptyDir !== undefined) {
    source(out, "EmptyDir (a temporary directory that shares a pod's lifetime)", [
      ["Medium", emptyDir.medium],
      ["SizeLimit", orUnset(emptyDir.sizeLimit)],
    ]);
  } else if (secret !== undefined) {
    source(out, "Secret (a volume populated by a Secret)", [
      ["SecretName", secret.secretName],
      ["Optional", secret.optional === true],
    ]);
  } else if (configMap !== undefined) {
    source(out, "ConfigMap (a volume populated by a ConfigMap)", [
      ["Name", configMap.name],
      ["Optional", configMap.optional === true],
    ]);
  } else if (projected !== undefined) describeProjected(out, projected);
  else if (persistentVolumeClaim !== undefined) {
    source(out, "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)", [
      ["ClaimName", persistentVolumeClaim.claimName],
      ["ReadOnly", persistentVolumeClaim.readOnly === true],
    ]);
  } else if (downwardAPI !== undefined) {
    out.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
    out.line(2, "Items:");
    for (const { fieldRef, resourceFieldRef, path } of downwardAPI.items ?? []) {
      out.line(3, `${fieldRef?.fieldPath ?? resourceFieldRef?.resource ?? ""} -> ${path}`);
    }
  } else if (nfs !== undefined) {
    source(out, "NFS (an NFS mount that lasts the lifetime of a pod)", [
      ["Server", nfs.server],
      ["Path", nfs.path],
      ["ReadOnly", nfs.readOnly === true],
    ]);
  } else if (csi !== undefined) {
    source(out, "CSI (a Container Storage Interface (CSI) volume source)", [
      ["Driver", csi.driver],
      ["FSType", csi.fsType],
      ["ReadOnly", csi.readOnly === true],
    ]);
  } else if (ephemeral !== undefined) {
    const claim = ephemeral.volumeClaimTemplate?.spec;
    source(out, "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)", [
      ["StorageClass", claim?.storageClassName],
      ["Capacity", (claim?.resources?.requests as Record<string, string> | undefined)?.storage],
      ["Access Modes", (claim?.accessModes ?? []).join(",")],
    ]);
  } else if (image !== undefined) {
    source(out, "Image (a container image or OCI artifact)", [
      ["Reference", image.reference],
      ["PullPolicy", image.pullPolicy],
    ]);
  } else out.line(2, "<unknown>");
}

function describeProjected(out: Description, projected: NonNullable<Volume["projected"]>): void {
  out.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
  for (const { secret, configMap, downwardAPI, serviceAccountToken, clusterTrustBundle } of projected.sources ?? []) {
    if (secret !== undefined) {
      out.field(2, "SecretName", secret.name ?? "");
      out.field(2, "Optional", secret.optional === true);
    } else if (downwardAPI !== undefined) out.field(2, "DownwardAPI", true);
    else if (configMap !== undefined) {
      out.field(2, "ConfigMapName", configMap.name ?? "");
      out.field(2, "Optional", configMap.optional === true);
    } else if (serviceAccountToken !== undefined) {
      out.field(2, "TokenExpirationSeconds", serviceAccountToken.expirationSeconds ?? 3600);
    } else if (clusterTrustBundle !== undefined) {
      out.field(2, "ClusterTrustBundle", clusterTrustBundle.name ?? clusterTrustBundle.signerName ?? "");
    }
  }
}

/** What a PersistentVolume is made of. */
export function describeVolumeSource(out: Description, spec: PersistentVolumeSpec): void {
  const { hostPath, local, nfs, csi } = spec;
  if (hostPath !== undefined) {
    field(out, "Type", "HostPath (bare host directory volume)");
    field(out, "Path", hostPath.path);
    field(out, "HostPathType", hostPath.type ?? "");
  } else if (local !== undefined) {
    field(out, "Type", "LocalVolume (a persistent volume backed by local storage on a node)");
    field(out, "Path", local.path);
  } else if (nfs !== undefined) {
    field(out, "Type", "NFS (an NFS mount that lasts the lifetime of a pod)");
    field(out, "Server", nfs.server);
    field(out, "Path", nfs.path);
    field(out, "ReadOnly", nfs.readOnly === true);
  } else if (csi !== undefined) {
    field(out, "Type", "CSI (a Container Storage Interface (CSI) volume source)");
    field(out, "Driver", csi.driver);
    field(out, "FSType", csi.fsType ?? "");
    field(out, "VolumeHandle", csi.volumeHandle);
    field(out, "ReadOnly", csi.readOnly === true);
  } else out.line(1, "<unknown>");
}

function field(out: Description, label: string, value: string | boolean | undefined): void {
  out.line(2, `${label}:\t${value ?? ""}`);
}
