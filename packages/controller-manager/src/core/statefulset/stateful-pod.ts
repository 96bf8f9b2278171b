/**
 * A StatefulSet's pods: their names, their identity, their claims. Pure.
 * Source: kubernetes/pkg/controller/statefulset/stateful_set_utils.go
 */
import type { ControllerRevision, StatefulSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, Volume } from "@knarr/api/generated/types/core-v1.ts";
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import { controllerRef } from "../claim-plan.ts";
import { isPodAvailable, isPodReady } from "../pod-state.ts";
import { podOf } from "../pod-template.ts";
import { REVISION_HASH_LABEL, templateOf } from "../revision-plan.ts";

export const POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name";
export const POD_INDEX_LABEL = "apps.kubernetes.io/pod-index";

/** "web-3" of StatefulSet "web" is 3; undefined for names that are none of its pods'. */
export function ordinalIn(set: StatefulSet, pod: Pod): number | undefined {
  const match = /^(.*)-(0|[1-9]\d*)$/.exec(pod.metadata.name ?? "");
  return match !== null && match[1] === set.metadata.name ? Number(match[2]) : undefined;
}

export const startOrdinal = (set: StatefulSet) => set.spec?.ordinals?.start ?? 0;
export const replicasOf = (set: StatefulSet) => set.spec?.replicas ?? 1;

export function isInRange(set: StatefulSet, ordinal: number): boolean {
  const start = startOrdinal(set);
  return ordinal >= start && ordinal < start + replicasOf(set);
}

export const podRevision = (pod: Pod) => pod.metadata.labels?.[REVISION_HASH_LABEL];
export const isTerminating = (pod: Pod) => pod.metadata.deletionTimestamp !== undefined;
export const isRunningAndReady = (pod: Pod) => pod.status?.phase === "Running" && isPodReady(pod);
export const isHealthy = (pod: Pod) => isRunningAndReady(pod) && !isTerminating(pod);

export function isRunningAndAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  return pod.status?.phase === "Running" && isPodAvailable(pod, minReadySeconds, nowMs);
}

const podName = (set: StatefulSet, ordinal: number) => `${set.metadata.name}-${ordinal}`;

/** "www-web-3" */
export function claimName(set: StatefulSet, template: PersistentVolumeClaim, ordinal: number): string {
  return `${template.metadata.name}-${podName(set, ordinal)}`;
}

/** The pod of this ordinal at this revision. */
export function statefulPod(set: StatefulSet, revision: ControllerRevision, ordinal: number): Pod {
  const template: PodTemplateSpec = templateOf(revision);
  const { metadata, ...pod } = podOf(set, template);
  const { generateName: _generated, ...rest } = metadata;
  const name = podName(set, ordinal);
  const labels = {
    ...rest.labels,
    ...identityLabels(name, ordinal),
    [REVISION_HASH_LABEL]: revision.metadata.name ?? "",
  };
  return {
    ...pod,
    metadata: { ...rest, name, labels },
    spec: {
      containers: [],
      ...pod.spec,
      hostname: name,
      ...(set.spec?.serviceName === undefined ? {} : { subdomain: set.spec.serviceName }),
      ...volumesOf(set, pod.spec?.volumes, ordinal),
    },
  };
}

function identityLabels(name: string, ordinal: number): Record<string, string> {
  return { [POD_NAME_LABEL]: name, [POD_INDEX_LABEL]: `${ordinal}` };
}

/** The template's volumes, those of the claim templates in place of others of the same name. */
function volumesOf(set: StatefulSet, volumes: readonly Volume[] = [], ordinal: number): { volumes?: Volume[] } {
  const templates = set.spec?.volumeClaimTemplates ?? [];
  const claims = templates.map((template): Volume => {
    const source = { claimName: claimName(set, template, ordinal), readOnly: false };
    return { name: template.metadata.name ?? "", persistentVolumeClaim: source };
  });
  const names = new Set(claims.map(({ name }) => name));
  const all = [...claims, ...volumes.filter(({ name }) => !names.has(name))];
  return all.length === 0 ? {} : { volumes: all };
}

/** The pod with its labels as they should be; undefined when they are. */
export function identityFixed(pod: Pod, ordinal: number): Pod | undefined {
  const wanted = identityLabels(pod.metadata.name ?? "", ordinal);
  const { labels = {} } = pod.metadata;
  if (Object.entries(wanted).every(([name, value]) => labels[name] === value)) return undefined;
  return { ...pod, metadata: { ...pod.metadata, labels: { ...labels, ...wanted } } };
}

/** The claims that the pod of this ordinal needs, as they would be created. */
export function claimsFor(set: StatefulSet, ordinal: number): readonly PersistentVolumeClaim[] {
  return (set.spec?.volumeClaimTemplates ?? []).map(({ metadata, spec }) => ({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: claimName(set, { metadata }, ordinal),
      namespace: set.metadata.namespace,
      labels: { ...metadata.labels, ...set.spec?.selector?.matchLabels },
      ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(deletedWithSet(set) ? { ownerReferences: [controllerRef(set)] } : {}),
    },
    ...(spec === undefined ? {} : { spec }),
  }));
}

const deletedWithSet = (set: StatefulSet) => set.spec?.persistentVolumeClaimRetentionPolicy?.whenDeleted === "Delete";
const deletedWhenScaled = (set: StatefulSet) => set.spec?.persistentVolumeClaimRetentionPolicy?.whenScaled === "Delete";

/**
 * The claim with the owners that the retention policy wants; undefined when it has them, or another controller has it.
 * A claim that goes with the set is the set's, one that goes when its pod is scaled away is the pod's. Source: KEP-1847
 */
export function claimOwned(
  set: StatefulSet,
  pod: Pod,
  claim: PersistentVolumeClaim,
): PersistentVolumeClaim | undefined {
  const { ownerReferences: refs = [] } = claim.metadata;
  const ours = (ref: OwnerReference) => ref.uid === set.metadata.uid || ref.uid === pod.metadata.uid;
  if (refs.some((ref) => ref.controller === true && !ours(ref))) return undefined;
  const condemned = !isInRange(set, ordinalIn(set, pod) ?? -1);
  const owner = condemned && deletedWhenScaled(set) ? pod : deletedWithSet(set) ? set : undefined;
  const current = refs.filter(ours);
  if (owner === undefined ? current.length === 0 : current.length === 1 && isControllerRef(current[0], owner)) {
    return undefined;
  }
  const kept = refs.filter((ref) => !ours(ref));
  const ownerReferences = owner === undefined ? kept : [...kept, controllerRef(owner)];
  return { ...claim, metadata: { ...claim.metadata, ownerReferences } };
}

function isControllerRef(ref: OwnerReference | undefined, owner: { metadata: { uid?: string | undefined } }): boolean {
  return ref?.uid === owner.metadata.uid && ref?.controller === true;
}

/** The claim belongs to a pod of this name that is no more: it is about to be deleted, and must not be used again. */
export function isStale(claim: PersistentVolumeClaim, podName: string, podUid: string | undefined): boolean {
  if (claim.metadata.deletionTimestamp !== undefined) return true;
  return (claim.metadata.ownerReferences ?? []).some(
    ({ kind, name, uid }) => kind === "Pod" && name === podName && uid !== podUid,
  );
}
