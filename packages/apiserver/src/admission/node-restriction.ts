/**
 * A kubelet changes only its own Node and its own pods.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/noderestriction
 */
import { coordination, core, storage } from "@knarr/api/generated/resources.ts";
import type { TokenRequest } from "@knarr/api/generated/types/authentication-v1.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Eviction } from "@knarr/api/generated/types/policy-v1.ts";
import { NODE_USER_PREFIX, NODES_GROUP, type UserInfo } from "../authn/types.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "./plugin.ts";

const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
const RESTRICTED_LABEL = "node-restriction.kubernetes.io/";
/** Labels below kubernetes.io that a kubelet may set on its own node. Source: k8s.io/kubelet/pkg/apis/well_known_labels.go */
const KUBELET_LABELS = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/arch",
  "kubernetes.io/os",
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/instance-type",
  "node.kubernetes.io/instance-type",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
]);
const KUBELET_LABEL_NAMESPACES = ["kubelet.kubernetes.io", "node.kubernetes.io"];

export const nodeRestriction: AdmissionPlugin = {
  name: "NodeRestriction",
  async admit(attributes, env) {
    const node = nodeOf(attributes.user);
    if (node === undefined) return;
    if (attributes.ref.group === "" && attributes.ref.resource === "pods") return admitPod(attributes, env, node);
    if (isFor(attributes, core.nodes) || isFor(attributes, core.nodes, "status")) return admitNode(attributes, node);
    if (isFor(attributes, core.serviceaccounts, "token")) return admitToken(attributes, env, node);
    if (isFor(attributes, coordination.leases)) return admitLease(attributes, node);
    if (isFor(attributes, storage.csinodes)) return admitOwn(attributes, node, "CSINode");
  },
};

function nodeOf(user: UserInfo): string | undefined {
  if (!user.groups.includes(NODES_GROUP) || !user.name.startsWith(NODE_USER_PREFIX)) return undefined;
  return user.name.slice(NODE_USER_PREFIX.length);
}

async function admitPod(attributes: AdmissionAttributes, env: AdmissionEnvironment, node: string): Promise<void> {
  const { operation, subresource } = attributes;
  const refuse = (why: string) => admissionForbidden(attributes, why);
  if (subresource === "" && operation === "CREATE") return admitMirrorPod(attributes, node);
  if (subresource === "" && operation === "DELETE") {
    const pod = attributes.oldObject as Pod | undefined;
    if (pod?.spec?.nodeName === node) return;
    throw refuse(`node ${JSON.stringify(node)} can only delete pods with spec.nodeName set to itself`);
  }
  if (subresource === "status" && operation === "UPDATE") {
    const old = attributes.oldObject as Pod | undefined;
    const pod = attributes.object as Pod;
    if (old?.spec?.nodeName !== node) {
      throw refuse(`node ${JSON.stringify(node)} can only update pod status for pods with spec.nodeName set to itself`);
    }
    if (JSON.stringify(old.metadata?.labels ?? {}) !== JSON.stringify(pod.metadata?.labels ?? {})) {
      throw refuse(`node ${JSON.stringify(node)} cannot update labels through pod status`);
    }
    return;
  }
  if (subresource === "eviction" && operation === "CREATE") {
    const name = (attributes.object as Eviction | undefined)?.metadata?.name || attributes.name;
    const pod = await env.lookup.get(core.pods, { namespace: attributes.namespace, name });
    if (pod === undefined || pod.spec?.nodeName === node) return;
    throw refuse(`node ${node} can only evict pods with spec.nodeName set to itself`);
  }
  throw refuse(
    `unexpected operation ${JSON.stringify(operation)}, node ${JSON.stringify(node)} can only create and delete mirror pods`,
  );
}

function admitMirrorPod(attributes: AdmissionAttributes, node: string): void {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const pod = attributes.object as Pod;
  if (pod.metadata?.annotations?.[MIRROR_ANNOTATION] === undefined) {
    throw refuse(
      `pod does not have ${JSON.stringify(MIRROR_ANNOTATION)} annotation, node ${JSON.stringify(node)} can only create mirror pods`,
    );
  }
  if (pod.spec?.nodeName !== node) {
    throw refuse(`node ${JSON.stringify(node)} can only create pods with spec.nodeName set to itself`);
  }
  const owners = pod.metadata.ownerReferences ?? [];
  const [owner] = owners;
  if (owners.length > 1 || (owner !== undefined && (owner.kind !== "Node" || owner.name !== node))) {
    throw refuse(`node ${JSON.stringify(node)} can only create pods with an owner reference set to itself`);
  }
  if (pod.spec.serviceAccountName !== undefined && pod.spec.serviceAccountName !== "") {
    throw refuse(`node ${JSON.stringify(node)} can not create pods that reference a service account`);
  }
  for (const volume of pod.spec.volumes ?? []) {
    if (volume.secret !== undefined)
      throw refuse(`node ${JSON.stringify(node)} can not create pods that reference secrets`);
    if (volume.configMap !== undefined)
      throw refuse(`node ${JSON.stringify(node)} can not create pods that reference configmaps`);
    if (volume.persistentVolumeClaim !== undefined) {
      throw refuse(`node ${JSON.stringify(node)} can not create pods that reference persistentvolumeclaims`);
    }
  }
}

function admitNode(attributes: AdmissionAttributes, node: string): void {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const object = attributes.object as Node | undefined;
  const name = attributes.name || object?.metadata?.name;
  if (name !== node) throw refuse(`node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(name)}`);
  if (attributes.operation === "DELETE" || object === undefined) return;
  const old = attributes.oldObject as Node | undefined;
  const changed = changedLabels(object.metadata?.labels ?? {}, old?.metadata?.labels ?? {});
  const forbidden = changed.filter((label) => !mayKubeletSet(label));
  if (forbidden.length > 0) {
    throw refuse(`is not allowed to modify labels: ${forbidden.sort().join(", ")}`);
  }
  if (attributes.operation === "CREATE") {
    if (object.spec?.configSource !== undefined) {
      throw refuse(`node ${JSON.stringify(node)} is not allowed to create pods with a non-nil configSource`);
    }
    return;
  }
  if (JSON.stringify(object.spec?.taints ?? []) !== JSON.stringify(old?.spec?.taints ?? [])) {
    throw refuse(`node ${JSON.stringify(node)} is not allowed to modify taints`);
  }
}

function changedLabels(now: Readonly<Record<string, string>>, before: Readonly<Record<string, string>>): string[] {
  return Object.keys({ ...now, ...before }).filter((label) => now[label] !== before[label]);
}

/** Labels outside kubernetes.io are the cluster's own affair; within it only those on the list. */
function mayKubeletSet(label: string): boolean {
  if (label.startsWith(RESTRICTED_LABEL) || label.split("/")[0]?.endsWith(`.${RESTRICTED_LABEL.slice(0, -1)}`) === true)
    return false;
  const domain = label.includes("/") ? (label.split("/")[0] ?? "") : "";
  const own =
    domain === "kubernetes.io" ||
    domain === "k8s.io" ||
    domain.endsWith(".kubernetes.io") ||
    domain.endsWith(".k8s.io");
  if (!own || KUBELET_LABELS.has(label)) return true;
  return KUBELET_LABEL_NAMESPACES.some((space) => domain === space || domain.endsWith(`.${space}`));
}

/** Tokens only for pods that run here. */
async function admitToken(attributes: AdmissionAttributes, env: AdmissionEnvironment, node: string): Promise<void> {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const ref = (attributes.object as TokenRequest | undefined)?.spec?.boundObjectRef;
  if (ref === undefined || ref.kind !== "Pod" || (ref.name ?? "") === "") {
    throw refuse(`node requested token not bound to a pod`);
  }
  if ((ref.uid ?? "") === "") throw refuse(`node requested token with a pod binding without a uid`);
  const pod = await env.lookup.get(core.pods, { namespace: attributes.namespace, name: ref.name ?? "" });
  if (pod === undefined) return;
  if (pod.metadata?.uid !== ref.uid) {
    throw refuse(
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  if (pod.spec?.nodeName !== node) throw refuse(`node requested token bound to a pod scheduled on a different node`);
}

function admitLease(attributes: AdmissionAttributes, node: string): void {
  if (attributes.namespace !== "kube-node-lease") {
    throw admissionForbidden(attributes, `can only access leases in the "kube-node-lease" system namespace`);
  }
  admitOwn(attributes, node, "lease");
}

function admitOwn(attributes: AdmissionAttributes, node: string, what: string): void {
  const name = attributes.operation === "CREATE" ? attributes.object?.metadata.name : attributes.name;
  if (name === node) return;
  throw admissionForbidden(attributes, `can only access ${what} with the same name as the requesting node`);
}
