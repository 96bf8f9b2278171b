/**
 * What a pod lets its node read: the Secrets, ConfigMaps, claims and the ServiceAccount that it names; and the Secrets that a
 * PersistentVolume lets the kubelet read. Pure.
 * Source: docs reference/access-authn-authz/node; k8s.io/kubernetes/pkg/api/v1/pod VisitPodSecretNames, pkg/api/v1/persistentvolume
 */
import type { Container, PersistentVolume, Pod, Volume } from "@knarr/api/generated/types/core-v1.ts";

export type ReferencedKind = "secret" | "configmap" | "pvc" | "resourceclaim" | "serviceaccount" | "pod";

/** "secret\0default\0db-password" */
export function referenceId(kind: ReferencedKind, namespace: string, name: string): string {
  return `${kind}\0${namespace}\0${name}`;
}

const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";

/** Everything that the node of this pod may read because of it, the pod itself included. */
export function podReferences(pod: Pod): readonly string[] {
  const { namespace = "", name = "", annotations = {} } = pod.metadata;
  const found = new Set([referenceId("pod", namespace, name)]);
  // A mirror pod stands for a static one: nothing on the server is meant for it.
  if (annotations[MIRROR_ANNOTATION] !== undefined) return [...found];
  for (const [kind, target] of podMentions(pod)) found.add(referenceId(kind, namespace, target));
  return [...found];
}

/** The objects of its namespace that a pod names, some perhaps more than once. */
export function podMentions(pod: Pod): readonly (readonly [kind: ReferencedKind, name: string])[] {
  const { name = "" } = pod.metadata;
  const found: [ReferencedKind, string][] = [];
  const add: Add = (kind, target) => {
    if (target !== undefined && target !== "") found.push([kind, target]);
  };
  const spec = pod.spec;
  add("serviceaccount", spec?.serviceAccountName);
  for (const secret of spec?.imagePullSecrets ?? []) add("secret", secret.name);
  const containers: readonly (readonly Container[] | undefined)[] = [
    spec?.initContainers,
    spec?.containers,
    spec?.ephemeralContainers as readonly Container[] | undefined,
  ];
  for (const list of containers) for (const container of list ?? []) addEnvironment(container, add);
  for (const volume of spec?.volumes ?? []) addVolume(volume, name, add);
  for (const claim of spec?.resourceClaims ?? []) add("resourceclaim", claim.resourceClaimName);
  for (const claim of pod.status?.resourceClaimStatuses ?? []) add("resourceclaim", claim.resourceClaimName);
  return found;
}

type Add = (kind: ReferencedKind, name: string | undefined) => void;

function addEnvironment(container: Container, add: Add): void {
  for (const source of container.envFrom ?? []) {
    add("secret", source.secretRef?.name);
    add("configmap", source.configMapRef?.name);
  }
  for (const variable of container.env ?? []) {
    add("secret", variable.valueFrom?.secretKeyRef?.name);
    add("configmap", variable.valueFrom?.configMapKeyRef?.name);
  }
}

function addVolume(volume: Volume, podName: string, add: Add): void {
  add("secret", volume.secret?.secretName);
  add("configmap", volume.configMap?.name);
  for (const source of volume.projected?.sources ?? []) {
    add("secret", source.secret?.name);
    add("configmap", source.configMap?.name);
  }
  add("pvc", volume.persistentVolumeClaim?.claimName);
  if (volume.ephemeral !== undefined) add("pvc", `${podName}-${volume.name}`);
  add("secret", volume.azureFile?.secretName);
  add("secret", volume.csi?.nodePublishSecretRef?.name);
  for (const source of [
    volume.cephfs,
    volume.cinder,
    volume.flexVolume,
    volume.rbd,
    volume.iscsi,
    volume.scaleIO,
    volume.storageos,
  ]) {
    add("secret", source?.secretRef?.name);
  }
}

/** Secrets, as reference ids, that the kubelet needs to mount the volume. */
export function volumeReferences(volume: PersistentVolume): readonly string[] {
  const found = new Set<string>();
  const spec = volume.spec;
  const home = spec?.claimRef?.namespace ?? "";
  const add = (ref: { readonly name?: string | undefined; readonly namespace?: string | undefined } | undefined) => {
    if (ref?.name !== undefined && ref.name !== "") found.add(referenceId("secret", ref.namespace ?? home, ref.name));
  };
  if (spec?.azureFile !== undefined)
    add({ name: spec.azureFile.secretName, namespace: spec.azureFile.secretNamespace });
  for (const source of [
    spec?.cephfs,
    spec?.cinder,
    spec?.flexVolume,
    spec?.rbd,
    spec?.iscsi,
    spec?.scaleIO,
    spec?.storageos,
  ]) {
    add(source?.secretRef);
  }
  add(spec?.csi?.nodePublishSecretRef);
  add(spec?.csi?.nodeStageSecretRef);
  add(spec?.csi?.nodeExpandSecretRef);
  return [...found];
}
