/**
 * A kubelet changes only its own Node, its own pods and what belongs to them.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/noderestriction/admission.go
 */
import { deepEqual } from "@knarr/api/deep-equal.ts";
import { certificates, coordination, core, resource, storage } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import type { Node, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceSlice } from "@knarr/api/generated/types/resource-v1.ts";
import { NODE_USER_PREFIX, NODES_GROUP, type UserInfo } from "../authn/types.ts";
import { requestSubject } from "./certificate-request-subject.ts";
import { admitNodePod, admitNodeToken } from "./node-restriction-pods.ts";
import { type AdmissionAttributes, type AdmissionPlugin, admissionForbidden, isFor } from "./plugin.ts";

const RESTRICTED_DOMAIN = "node-restriction.kubernetes.io";
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
const KUBELET_LABEL_DOMAINS = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const KUBELET_SIGNERS = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
const NODE_LEASES = "kube-node-lease";

export const nodeRestriction: AdmissionPlugin = {
  name: "NodeRestriction",
  async admit(attributes, env) {
    const node = nodeOf(attributes.user);
    if (node === undefined) return;
    if (node === "") {
      throw admissionForbidden(
        attributes,
        `could not determine node from user ${JSON.stringify(attributes.user.name)}`,
      );
    }
    const { ref } = attributes;
    switch (ref.group === "" ? ref.resource : `${ref.resource}.${ref.group}`) {
      case core.pods.resource:
        return admitNodePod(attributes, env, node);
      case core.nodes.resource:
        return admitNode(attributes, node);
      case core.persistentvolumeclaims.resource:
        return admitClaim(attributes, node);
      case core.serviceaccounts.resource:
        return admitNodeToken(attributes, env, node);
      case `${coordination.leases.resource}.${coordination.leases.group}`:
        return admitLease(attributes, node);
      case `${storage.csinodes.resource}.${storage.csinodes.group}`:
        return admitOwn(attributes, node, "CSINode");
      case `${resource.resourceslices.resource}.${resource.resourceslices.group}`:
        return admitSlice(attributes, node);
      case `${certificates.certificatesigningrequests.resource}.${certificates.certificatesigningrequests.group}`:
        return admitRequest(attributes);
      default:
    }
  },
};

function nodeOf(user: UserInfo): string | undefined {
  if (!user.groups.includes(NODES_GROUP) || !user.name.startsWith(NODE_USER_PREFIX)) return undefined;
  return user.name.slice(NODE_USER_PREFIX.length);
}

function admitNode(attributes: AdmissionAttributes, node: string): void {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  const object = attributes.object as Node | undefined;
  const old = attributes.oldObject as Node | undefined;
  const quoted = JSON.stringify(node);
  if (attributes.operation === "CREATE" && object !== undefined) {
    if (object.spec?.configSource !== undefined) {
      throw refuse(`node ${quoted} is not allowed to create pods with a non-nil configSource`);
    }
    const labels = forbiddenLabels(object, undefined);
    if (labels.length > 0) throw refuse(`is not allowed to set the following labels: ${labels.join(", ")}`);
  }
  const name = attributes.name || object?.metadata.name;
  if (name !== node) throw refuse(`node ${quoted} is not allowed to modify node ${JSON.stringify(name)}`);
  if (attributes.operation !== "UPDATE" || object === undefined || old === undefined) return;
  const source = object.spec?.configSource;
  if (source !== undefined && !deepEqual(source, old.spec?.configSource)) {
    throw refuse(`node ${quoted} is not allowed to update configSource to a new non-nil configSource`);
  }
  // A kubelet could otherwise make itself the place for everybody's pods.
  if (!deepEqual(object.spec?.taints ?? [], old.spec?.taints ?? [])) {
    throw refuse(`node ${quoted} is not allowed to modify taints`);
  }
  const labels = forbiddenLabels(object, old);
  if (labels.length > 0) throw refuse(`is not allowed to modify labels: ${labels.join(", ")}`);
  // With an owner of its choice a node could have itself removed and registered again, with other labels.
  if (!deepEqual(object.metadata.ownerReferences ?? [], old.metadata.ownerReferences ?? [])) {
    throw refuse(`node ${quoted} is not allowed to modify ownerReferences`);
  }
}

function forbiddenLabels(object: Node, old: Node | undefined): string[] {
  const [now, before] = [object.metadata.labels ?? {}, old?.metadata.labels ?? {}];
  return Object.keys({ ...now, ...before })
    .filter((label) => now[label] !== before[label] && !mayKubeletSet(label))
    .sort();
}

/** Labels outside kubernetes.io are the cluster's own affair; within it only those on the list. */
function mayKubeletSet(label: string): boolean {
  const domain = label.includes("/") ? (label.split("/")[0] ?? "") : "";
  const isIn = (parent: string) => domain === parent || domain.endsWith(`.${parent}`);
  if (isIn(RESTRICTED_DOMAIN)) return false;
  if (!isIn("kubernetes.io") && !isIn("k8s.io")) return true;
  return KUBELET_LABELS.has(label) || KUBELET_LABEL_DOMAINS.some(isIn);
}

/** Of a claim, a kubelet reports how large its volume has become, and nothing else. */
function admitClaim(attributes: AdmissionAttributes, node: string): void {
  const refuse = (why: string) => admissionForbidden(attributes, why);
  if (attributes.subresource !== "status") throw refuse("may only update PVC status");
  if (attributes.operation !== "UPDATE") throw refuse(`unexpected operation ${JSON.stringify(attributes.operation)}`);
  const bare = (claim: PersistentVolumeClaim) => {
    const { managedFields: _fields, resourceVersion: _version, ...metadata } = claim.metadata;
    const {
      capacity: _c,
      conditions: _d,
      allocatedResources: _a,
      allocatedResourceStatuses: _s,
      ...status
    } = claim.status ?? {};
    return { ...claim, metadata, status };
  };
  const [now, before] = [attributes.object, attributes.oldObject] as PersistentVolumeClaim[];
  if (now !== undefined && before !== undefined && deepEqual(bare(now), bare(before))) return;
  throw refuse(
    `node ${JSON.stringify(node)} is not allowed to update fields other than status.quantity and status.conditions`,
  );
}

function admitLease(attributes: AdmissionAttributes, node: string): void {
  if (attributes.namespace !== NODE_LEASES) {
    throw admissionForbidden(
      attributes,
      `can only access leases in the ${JSON.stringify(NODE_LEASES)} system namespace`,
    );
  }
  admitOwn(attributes, node, "node lease");
}

function admitOwn(attributes: AdmissionAttributes, node: string, what: string): void {
  // The name of a new object is the body's: the URL has none.
  const name = attributes.operation === "CREATE" ? attributes.object?.metadata.name : attributes.name;
  if (name === node) return;
  throw admissionForbidden(attributes, `can only access ${what} with the same name as the requesting node`);
}

function admitSlice(attributes: AdmissionAttributes, node: string): void {
  const { operation } = attributes;
  const slice = (operation === "CREATE" ? attributes.object : attributes.oldObject) as ResourceSlice | undefined;
  if (slice === undefined || slice.spec.nodeName === node) return;
  const verb = operation === "CREATE" ? "create" : operation === "DELETE" ? "delete" : "access";
  throw admissionForbidden(attributes, `can only ${verb} ResourceSlice with the same NodeName as the requesting node`);
}

/** A node asks for certificates of itself only. */
function admitRequest(attributes: AdmissionAttributes): void {
  if (attributes.operation !== "CREATE" || !isFor(attributes, certificates.certificatesigningrequests)) return;
  const { spec } = attributes.object as CertificateSigningRequest;
  if (!KUBELET_SIGNERS.includes(spec.signerName)) return;
  const subject = requestSubject(spec.request);
  if (subject === undefined) throw admissionForbidden(attributes, "unable to parse csr");
  const { name } = attributes.user;
  const others = subject.commonNames.some((other) => other.startsWith(NODE_USER_PREFIX) && other !== name);
  if (others) throw admissionForbidden(attributes, `can only create a node CSR with CN=${name}`);
}
