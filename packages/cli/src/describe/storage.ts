/** Volumes, claims and classes of storage. Source: kubectl/pkg/describe/describe.go (layout). */
import { core } from "@knarr/api/generated/resources.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { describeTime } from "./describe-time.ts";
import type { Description } from "./description.ts";
import type { DescribeContext } from "./index.ts";
import { describeVolumeSource } from "./volumes.ts";

const SHORT: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};
const modes = (list: readonly string[] | undefined) => (list ?? []).map((mode) => SHORT[mode] ?? mode).join(",");
const finalizers = (list: readonly string[] | undefined) => `[${(list ?? []).join(" ")}]`;
const storageOf = (map: unknown) => (map as Readonly<Record<string, string>> | undefined)?.storage ?? "";

export function describePersistentVolume(out: Description, volume: PersistentVolume): void {
  const { metadata, spec, status } = volume;
  out.head(volume, ["labels", "annotations"]);
  out.field(0, "Finalizers", finalizers(metadata.finalizers));
  out.field(0, "StorageClass", spec?.storageClassName ?? "");
  const deleted = metadata.deletionTimestamp;
  out.field(
    0,
    "Status",
    deleted === undefined ? (status?.phase ?? "") : `Terminating (lasts ${describeTime(deleted)})`,
  );
  const claim = spec?.claimRef;
  out.field(0, "Claim", claim === undefined ? "" : `${claim.namespace}/${claim.name}`);
  out.field(0, "Reclaim Policy", spec?.persistentVolumeReclaimPolicy);
  out.field(0, "Access Modes", modes(spec?.accessModes));
  out.field(0, "VolumeMode", spec?.volumeMode);
  out.field(0, "Capacity", storageOf(spec?.capacity));
  const required = spec?.nodeAffinity?.required;
  if (required === undefined) out.field(0, "Node Affinity", "<none>");
  else {
    out.line(0, "Node Affinity:\t");
    out.line(1, "Required Terms:\t");
    for (const [i, term] of (required.nodeSelectorTerms ?? []).entries()) {
      const texts = (term.matchExpressions ?? []).map(
        (e) => `${e.key} ${e.operator.toLowerCase().replace("notin", "not in")} [${(e.values ?? []).join(", ")}]`,
      );
      out.line(2, `Term ${i}:\t${texts[0] ?? ""}`);
      for (const text of texts.slice(1)) out.line(2, `\t${text}`);
    }
  }
  out.field(0, "Message", status?.message ?? "");
  out.line(0, "Source:");
  if (spec !== undefined) describeVolumeSource(out, spec);
}

export async function describePersistentVolumeClaim(
  out: Description,
  claim: PersistentVolumeClaim,
  context: DescribeContext,
): Promise<void> {
  const { metadata, spec, status } = claim;
  out.head(claim, ["namespace"]);
  out.field(0, "StorageClass", spec?.storageClassName ?? "");
  const deleted = metadata.deletionTimestamp;
  out.field(
    0,
    "Status",
    deleted === undefined ? (status?.phase ?? "") : `Terminating (lasts ${describeTime(deleted)})`,
  );
  out.field(0, "Volume", spec?.volumeName ?? "");
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.field(0, "Finalizers", finalizers(metadata.finalizers));
  const isBound = (spec?.volumeName ?? "") !== "";
  out.field(0, "Capacity", isBound ? storageOf(status?.capacity) : "");
  out.field(0, "Access Modes", isBound ? modes(status?.accessModes) : "");
  out.field(0, "VolumeMode", spec?.volumeMode);
  if (spec?.dataSource !== undefined) {
    out.line(0, "DataSource:");
    if ((spec.dataSource.apiGroup ?? "") !== "") out.field(1, "APIGroup", spec.dataSource.apiGroup);
    out.field(1, "Kind", spec.dataSource.kind);
    out.field(1, "Name", spec.dataSource.name);
  }
  const { items } = await context.client.list(core.pods, {
    namespace: metadata.namespace ?? "",
    signal: context.signal,
  });
  const users = items.filter((pod) =>
    pod.spec?.volumes?.some(
      (v) =>
        v.persistentVolumeClaim?.claimName === metadata.name ||
        (v.ephemeral !== undefined && `${pod.metadata.name}-${v.name}` === metadata.name),
    ),
  );
  out.list(
    "Used By",
    users.map((pod) => pod.metadata.name ?? ""),
  );
  if ((status?.conditions ?? []).length === 0) return;
  out.line(0, "Conditions:\n  Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage");
  out.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
  for (const c of status?.conditions ?? []) {
    const [probed, changed] = [describeTime(c.lastProbeTime) ?? "", describeTime(c.lastTransitionTime) ?? ""];
    out.line(1, `${c.type} \t${c.status} \t${probed} \t${changed} \t${c.reason ?? ""} \t${c.message ?? ""}`);
  }
}

export function describeStorageClass(out: Description, found: StorageClass): void {
  const { metadata } = found;
  out.field(0, "Name", metadata.name);
  out.field(
    0,
    "IsDefaultClass",
    metadata.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true" ? "Yes" : "No",
  );
  const annotations = Object.entries(metadata.annotations ?? {}).map(([key, value]) => `${key}=${value}`);
  out.field(0, "Annotations", annotations.length === 0 ? "<none>" : annotations.sort().join(","));
  out.field(0, "Provisioner", found.provisioner);
  const parameters = Object.entries((found.parameters ?? {}) as Record<string, string>).map(
    ([key, value]) => `${key}=${value}`,
  );
  out.field(0, "Parameters", parameters.length === 0 ? "<none>" : parameters.sort().join(","));
  out.field(
    0,
    "AllowVolumeExpansion",
    found.allowVolumeExpansion === undefined ? "<unset>" : found.allowVolumeExpansion ? "True" : "False",
  );
  if ((found.mountOptions ?? []).length === 0) out.field(0, "MountOptions", "<none>");
  else {
    out.line(0, "MountOptions:");
    for (const option of found.mountOptions ?? []) out.line(1, option);
  }
  out.field(0, "ReclaimPolicy", found.reclaimPolicy);
  out.field(0, "VolumeBindingMode", found.volumeBindingMode);
  if (found.allowedTopologies === undefined) return;
  out.line(0, "AllowedTopologies:\t");
  for (const [i, term] of found.allowedTopologies.entries()) {
    const texts = (term.matchLabelExpressions ?? []).map((e) => `${e.key} in [${e.values.join(", ")}]`);
    out.line(1, `Term ${i}:\t${texts[0] ?? ""}`);
    for (const text of texts.slice(1)) out.line(1, `\t${text}`);
  }
}
