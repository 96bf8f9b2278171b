/**
 * NodeRestriction's rules for pods and for the tokens of pods.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/noderestriction/admission.go
 */
import { deepEqual } from "@knarr/api/deep-equal.ts";
import { core, storage } from "@knarr/api/generated/resources.ts";
import type { TokenRequest } from "@knarr/api/generated/types/authentication-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Eviction } from "@knarr/api/generated/types/policy-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { podMentions, type ReferencedKind } from "../authz/pod-references.ts";
import { type AdmissionAttributes, type AdmissionEnvironment, admissionForbidden } from "./plugin.ts";

const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
/** What a mirror pod may not refer to, in the order in which it is looked for. */
const FORBIDDEN_REFERENCES: readonly (readonly [ReferencedKind, string])[] = [
  ["serviceaccount", "a service account"],
  ["secret", "secrets"],
  ["configmap", "configmaps"],
  ["pvc", "persistentvolumeclaims"],
  ["resourceclaim", "resourceclaims"],
];

export async function admitNodePod(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  node: string,
): Promise<void> {
  const { operation, subresource } = attributes;
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const quoted = JSON.stringify(node);
  switch (subresource) {
    case "":
      if (operation === "CREATE") return admitMirrorPod(attributes, env, node);
      if (operation === "DELETE") {
        if ((attributes.oldObject as Pod | undefined)?.spec?.nodeName === node) return;
        throw refuse(`node ${quoted} can only delete pods with spec.nodeName set to itself`);
      }
      throw refuse(
        `unexpected operation ${JSON.stringify(operation)}, node ${quoted} can only create and delete mirror pods`,
      );
    case "status":
      return admitStatus(attributes, node);
    case "eviction": {
      if (operation !== "CREATE") throw refuse(`unexpected operation ${operation}`);
      const name = attributes.name || (attributes.object as Eviction | undefined)?.metadata?.name || "";
      if (name === "") throw refuse("could not determine pod from request data");
      const pod = await existingPod(attributes, env, name);
      if (pod.spec?.nodeName === node) return;
      throw refuse(`node ${node} can only evict pods with spec.nodeName set to itself`);
    }
    default:
      throw refuse(
        `unexpected pod subresource ${JSON.stringify(subresource)}, only 'status' and 'eviction' are allowed`,
      );
  }
}

async function existingPod(attributes: AdmissionAttributes, env: AdmissionEnvironment, name: string): Promise<Pod> {
  const key = { namespace: attributes.namespace, name };
  const pod = (await env.lookup.get(core.pods, key)) ?? (await env.lookup.get(core.pods, key, { live: true }));
  if (pod === undefined) throw statusErrors.notFound({ group: "", resource: "pods" }, name);
  return pod;
}

async function admitMirrorPod(attributes: AdmissionAttributes, env: AdmissionEnvironment, node: string): Promise<void> {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const quoted = JSON.stringify(node);
  const pod = attributes.object as Pod;
  if (pod.metadata.annotations?.[MIRROR_ANNOTATION] === undefined) {
    throw refuse(
      `pod does not have ${JSON.stringify(MIRROR_ANNOTATION)} annotation, node ${quoted} can only create mirror pods`,
    );
  }
  if (pod.spec?.nodeName !== node) throw refuse(`node ${quoted} can only create pods with spec.nodeName set to itself`);
  await checkOwner(attributes, env, node);
  const mentions = podMentions(pod);
  for (const [kind, what] of FORBIDDEN_REFERENCES) {
    if (mentions.some(([mentioned]) => mentioned === kind)) {
      throw refuse(`node ${quoted} can not create pods that reference ${what}`);
    }
  }
  const bundles = pod.spec.volumes?.some((volume) =>
    volume.projected?.sources?.some((source) => source.clusterTrustBundle !== undefined),
  );
  if (bundles === true) throw refuse(`node ${quoted} can not create pods that reference clustertrustbundles`);
  if ((pod.spec.resourceClaims ?? []).length > 0) {
    throw refuse(`node ${quoted} can not create pods that reference resourceclaims`);
  }
}

/** A mirror pod belongs to its node, by name and uid, and goes with it. */
async function checkOwner(attributes: AdmissionAttributes, env: AdmissionEnvironment, node: string): Promise<void> {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const quoted = JSON.stringify(node);
  const owners = attributes.object?.metadata.ownerReferences ?? [];
  const [owner] = owners;
  if (owners.length > 1) {
    throw refuse(`node ${quoted} can only create pods with a single owner reference set to itself`);
  }
  if (owner === undefined || owner.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== node) {
    throw refuse(`node ${quoted} can only create pods with an owner reference set to itself`);
  }
  if (owner.controller !== true) {
    throw refuse(`node ${quoted} can only create pods with a controller owner reference set to itself`);
  }
  if (owner.blockOwnerDeletion === true) {
    throw refuse(`node ${quoted} must not set blockOwnerDeletion on an owner reference`);
  }
  const key = { namespace: "", name: node };
  const found = (await env.lookup.get(core.nodes, key)) ?? (await env.lookup.get(core.nodes, key, { live: true }));
  if (found === undefined) throw statusErrors.notFound({ group: "", resource: "nodes" }, node);
  if (found.metadata.uid !== owner.uid) {
    throw refuse(`node ${node} UID mismatch: expected ${found.metadata.uid} got ${owner.uid}`);
  }
}

function admitStatus(attributes: AdmissionAttributes, node: string): void {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const quoted = JSON.stringify(node);
  if (attributes.operation !== "UPDATE") throw refuse(`unexpected operation ${JSON.stringify(attributes.operation)}`);
  const [pod, old] = [attributes.object, attributes.oldObject] as Pod[];
  if (old?.spec?.nodeName !== node) {
    throw refuse(`node ${quoted} can only update pod status for pods with spec.nodeName set to itself`);
  }
  if (!deepEqual(old.metadata.labels ?? {}, pod?.metadata.labels ?? {})) {
    throw refuse(`node ${quoted} cannot update labels through pod status`);
  }
  // They say which claims the node may read: they are for the controller and the scheduler to write.
  if (!deepEqual(old.status?.resourceClaimStatuses ?? [], pod?.status?.resourceClaimStatuses ?? [])) {
    throw refuse(`node ${quoted} cannot update resource claim statuses`);
  }
  if (!deepEqual(old.status?.extendedResourceClaimStatus, pod?.status?.extendedResourceClaimStatus)) {
    throw refuse(`node ${quoted} cannot update extended resource claim status`);
  }
}

/** Tokens only for pods that run here, and only for audiences that the pod asks for. */
export async function admitNodeToken(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  node: string,
): Promise<void> {
  if (attributes.operation !== "CREATE" || attributes.subresource !== "token") return;
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const { spec } = attributes.object as unknown as TokenRequest;
  const ref = spec?.boundObjectRef;
  const name = ref?.name ?? "";
  if (ref === undefined || ref.apiVersion !== "v1" || ref.kind !== "Pod" || name === "") {
    throw refuse("node requested token not bound to a pod");
  }
  if ((ref.uid ?? "") === "") throw refuse("node requested token with a pod binding without a uid");
  const pod = await existingPod(attributes, env, name);
  if (pod.metadata.uid !== ref.uid) {
    throw refuse(
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  if (pod.spec?.nodeName !== node) throw refuse("node requested token bound to a pod scheduled on a different node");
  const audiences = spec?.audiences ?? [];
  if (audiences.length > 1) throw refuse("node may only request 0 or 1 audiences");
  const [audience = ""] = audiences;
  if ((await asksForAudience(pod, audience, env)) || (await mayRequest(attributes, audience, env))) return;
  throw refuse(
    `audience ${JSON.stringify(audience)} not found in pod spec volume, ${attributes.user.name} is not authorized to request tokens for this audience`,
  );
}

/** In a projected volume, or through a CSI driver that wants tokens. */
async function asksForAudience(pod: Pod, audience: string, env: AdmissionEnvironment): Promise<boolean> {
  for (const volume of pod.spec?.volumes ?? []) {
    const sources = volume.projected?.sources ?? [];
    const isProjected = sources.some(
      ({ serviceAccountToken }) =>
        serviceAccountToken !== undefined && (serviceAccountToken.audience ?? "") === audience,
    );
    if (isProjected) return true;
    const claim =
      volume.persistentVolumeClaim?.claimName ??
      (volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`);
    const driver = volume.csi?.driver ?? (await driverOf(pod.metadata.namespace ?? "", claim, env));
    if (driver === undefined) continue;
    const found = await env.lookup.get(storage.csidrivers, { namespace: "", name: driver });
    if (found?.spec?.tokenRequests?.some((request) => request.audience === audience) === true) return true;
  }
  return false;
}

async function driverOf(
  namespace: string,
  claim: string | undefined,
  env: AdmissionEnvironment,
): Promise<string | undefined> {
  if (claim === undefined) return undefined;
  const name = (await env.lookup.get(core.persistentvolumeclaims, { namespace, name: claim }))?.spec?.volumeName;
  if (name === undefined || name === "") return undefined;
  return (await env.lookup.get(core.persistentvolumes, { namespace: "", name }))?.spec?.csi?.driver;
}

/** Image credential providers need tokens that no volume asks for: a verb of its own allows them. Source: KEP-4412 */
async function mayRequest(
  attributes: AdmissionAttributes,
  audience: string,
  env: AdmissionEnvironment,
): Promise<boolean> {
  const decision = await env.authorizer.authorize({
    kind: "resource",
    user: attributes.user,
    verb: "request-serviceaccounts-token-audience",
    apiGroup: "",
    apiVersion: "v1",
    resource: audience,
    subresource: "",
    namespace: attributes.namespace,
    name: attributes.name,
  });
  return decision.verdict === "allowed";
}
