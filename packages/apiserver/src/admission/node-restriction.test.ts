/** What a kubelet may write, rule by rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { certificates, coordination, core, resource, storage } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { admitWith, type FakeRequest } from "./fake-admission.ts";
import { nodeRestriction } from "./node-restriction.ts";

// biome-ignore lint/suspicious/noExplicitAny: objects of every shape
type Any = any;
const KUBELET = { name: "system:node:n1", uid: "", groups: ["system:nodes"], extra: {} };
const OWNER = { apiVersion: "v1", kind: "Node", name: "n1", uid: "u1", controller: true };
const annotations = { "kubernetes.io/config.mirror": "x" };
const mirror = (spec: Any = {}, metadata: Any = {}): KubeObject =>
  ({
    metadata: { name: "p", namespace: "ns", annotations, ownerReferences: [OWNER], ...metadata },
    spec: { nodeName: "n1", containers: [], ...spec },
  }) as KubeObject;
const pod = (nodeName: string, more: Any = {}): KubeObject =>
  ({ metadata: { name: "p", namespace: "ns", uid: "pu" }, spec: { nodeName, containers: [] }, ...more }) as KubeObject;
const node = (name: string, metadata: Any = {}, spec: Any = {}): KubeObject =>
  ({ metadata: { name, uid: "u1", ...metadata }, spec }) as KubeObject;
const named = (name: string, rest: Any = {}) => ({ metadata: { name }, ...rest }) as KubeObject;
const token = (boundObjectRef: Any, audiences: string[] = []): KubeObject =>
  ({ metadata: { name: "sa" }, spec: { boundObjectRef, audiences } }) as KubeObject;
const BOUND = { apiVersion: "v1", kind: "Pod", name: "p", uid: "pu" };
const projecting = (audience?: string) => ({
  spec: {
    nodeName: "n1",
    containers: [],
    volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "t", audience } }] } }],
  },
});
const csr = (request: string): KubeObject =>
  named("c", {
    spec: { signerName: "kubernetes.io/kubelet-serving", request: Buffer.from(request).toString("base64") },
  });

interface Row {
  readonly name: string;
  readonly request: Partial<FakeRequest> & { readonly ref: ResourceRef<unknown> };
  readonly existing?: readonly (readonly [ResourceRef<unknown>, KubeObject])[];
  /** undefined: admitted. */
  readonly want?: RegExp;
}
const create = (object: KubeObject) => ({ operation: "CREATE", object }) as const;
const update = (object: KubeObject, oldObject: KubeObject) => ({ operation: "UPDATE", object, oldObject }) as const;
const OWN_NODE = [[core.nodes, node("n1")]] as const;
const pods = (request: Partial<FakeRequest>) => ({ ref: core.pods, ...request });
const nodes = (request: Partial<FakeRequest>) => ({ ref: core.nodes, namespace: "", ...request });

const rows: Row[] = [
  { name: "a mirror pod of its own", request: pods(create(mirror())), existing: OWN_NODE },
  {
    name: "a pod that is no mirror",
    request: pods(create(mirror({}, { annotations: {} }))),
    want: /can only create mirror pods$/,
  },
  {
    name: "a mirror pod elsewhere",
    request: pods(create(mirror({ nodeName: "n2" }))),
    want: /spec.nodeName set to itself$/,
  },
  {
    name: "a mirror pod without an owner",
    request: pods(create(mirror({}, { ownerReferences: [] }))),
    want: /can only create pods with an owner reference set to itself$/,
  },
  {
    name: "a mirror pod of another node's uid",
    request: pods(create(mirror({}, { ownerReferences: [{ ...OWNER, uid: "u2" }] }))),
    existing: OWN_NODE,
    want: /node n1 UID mismatch: expected u1 got u2$/,
  },
  {
    name: "a mirror pod that blocks its node's deletion",
    request: pods(create(mirror({}, { ownerReferences: [{ ...OWNER, blockOwnerDeletion: true }] }))),
    want: /must not set blockOwnerDeletion/,
  },
  ...(
    [
      ["a service account", { serviceAccountName: "a" }],
      ["secrets", { imagePullSecrets: [{ name: "s" }] }],
      ["secrets", { containers: [{ name: "c", env: [{ name: "E", valueFrom: { secretKeyRef: { name: "s" } } }] }] }],
      ["configmaps", { volumes: [{ name: "v", projected: { sources: [{ configMap: { name: "m" } }] } }] }],
      ["persistentvolumeclaims", { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "d" } }] }],
      ["resourceclaims", { resourceClaims: [{ name: "r", resourceClaimTemplateName: "t" }] }],
    ] as const
  ).map(([what, spec]) => ({
    name: `a mirror pod with ${what} (${Object.keys(spec)[0]})`,
    request: pods(create(mirror(spec))),
    existing: OWN_NODE,
    want: new RegExp(`can not create pods that reference ${what}$`),
  })),
  { name: "the deletion of its own pod", request: pods({ operation: "DELETE", oldObject: pod("n1") }) },
  {
    name: "the deletion of another's pod",
    request: pods({ operation: "DELETE", oldObject: pod("n2") }),
    want: /can only delete pods with spec.nodeName set to itself$/,
  },
  { name: "an update of a pod", request: pods(update(pod("n1"), pod("n1"))), want: /unexpected operation "UPDATE"/ },
  { name: "the status of its own pod", request: pods({ subresource: "status", ...update(pod("n1"), pod("n1")) }) },
  {
    name: "the status of another's pod",
    request: pods({ subresource: "status", ...update(pod("n2"), pod("n2")) }),
    want: /can only update pod status for pods with spec.nodeName set to itself$/,
  },
  {
    name: "labels through the status",
    request: pods({ subresource: "status", ...update(pod("n1", { metadata: { labels: { a: "b" } } }), pod("n1")) }),
    want: /cannot update labels through pod status$/,
  },
  {
    name: "claims through the status",
    request: pods({
      subresource: "status",
      ...update(pod("n1", { status: { resourceClaimStatuses: [{ name: "r", resourceClaimName: "x" }] } }), pod("n1")),
    }),
    want: /cannot update resource claim statuses$/,
  },
  {
    name: "the eviction of another's pod",
    request: pods({ subresource: "eviction", name: "p", ...create(named("p")) }),
    existing: [[core.pods, pod("n2")]],
    want: /node n1 can only evict pods with spec.nodeName set to itself$/,
  },
  {
    name: "another subresource",
    request: pods({ subresource: "ephemeralcontainers", ...update(pod("n1"), pod("n1")) }),
    want: /unexpected pod subresource "ephemeralcontainers"/,
  },
  { name: "its own node", request: nodes(create(node("n1", { labels: { "kubernetes.io/os": "linux", team: "a" } }))) },
  { name: "another node", request: nodes(create(node("n2"))), want: /node "n1" is not allowed to modify node "n2"$/ },
  {
    name: "restricted labels of its own",
    request: nodes(create(node("n1", { labels: { "node-restriction.kubernetes.io/a": "b", "kubernetes.io/x": "y" } }))),
    want: /is not allowed to set the following labels: kubernetes.io\/x, node-restriction.kubernetes.io\/a$/,
  },
  {
    name: "a change of restricted labels",
    request: nodes(update(node("n1", { labels: { "x.k8s.io/a": "b" } }), node("n1"))),
    want: /is not allowed to modify labels: x.k8s.io\/a$/,
  },
  {
    name: "labels for kubelets",
    request: nodes(update(node("n1", { labels: { "a.kubelet.kubernetes.io/b": "c" } }), node("n1"))),
  },
  {
    name: "its taints",
    request: nodes(update(node("n1"), node("n1", {}, { taints: [{ key: "a", effect: "NoSchedule" }] }))),
    want: /is not allowed to modify taints$/,
  },
  {
    name: "its owners",
    request: nodes(update(node("n1", { ownerReferences: [OWNER] }), node("n1"))),
    want: /is not allowed to modify ownerReferences$/,
  },
  {
    name: "a token for its own pod",
    request: { ref: core.serviceaccounts, subresource: "token", ...create(token(BOUND)) },
    existing: [[core.pods, pod("n1", projecting())]],
  },
  {
    name: "a token for an audience that the pod names",
    request: { ref: core.serviceaccounts, subresource: "token", ...create(token(BOUND, ["vault"])) },
    existing: [[core.pods, pod("n1", projecting("vault"))]],
  },
  {
    name: "a token for an audience that a CSI driver names",
    request: { ref: core.serviceaccounts, subresource: "token", ...create(token(BOUND, ["vault"])) },
    existing: [
      [
        core.pods,
        pod("n1", { spec: { nodeName: "n1", containers: [], volumes: [{ name: "v", csi: { driver: "d" } }] } }),
      ],
      [storage.csidrivers, named("d", { spec: { tokenRequests: [{ audience: "vault" }] } })],
    ],
  },
  {
    name: "a token for another audience",
    request: { ref: core.serviceaccounts, subresource: "token", ...create(token(BOUND, ["vault"])) },
    existing: [[core.pods, pod("n1", projecting())]],
    want: /audience "vault" not found in pod spec volume/,
  },
  {
    name: "a token bound to nothing",
    request: { ref: core.serviceaccounts, subresource: "token", ...create(token(undefined)) },
    want: /node requested token not bound to a pod$/,
  },
  {
    name: "a token of another's pod",
    request: { ref: core.serviceaccounts, subresource: "token", ...create(token(BOUND)) },
    existing: [[core.pods, pod("n2", { spec: { nodeName: "n2", containers: [] } })]],
    want: /bound to a pod scheduled on a different node$/,
  },
  { name: "its lease", request: { ref: coordination.leases, namespace: "kube-node-lease", ...create(named("n1")) } },
  {
    name: "another's lease",
    request: { ref: coordination.leases, namespace: "kube-node-lease", ...create(named("n2")) },
    want: /can only access node lease with the same name as the requesting node$/,
  },
  {
    name: "a lease elsewhere",
    request: { ref: coordination.leases, ...create(named("n1")) },
    want: /can only access leases in the "kube-node-lease" system namespace$/,
  },
  {
    name: "another's CSINode",
    request: { ref: storage.csinodes, namespace: "", ...update(named("n2"), named("n2")) },
    want: /can only access CSINode with the same name/,
  },
  {
    name: "another's ResourceSlice",
    request: { ref: resource.resourceslices, namespace: "", ...create(named("s", { spec: { nodeName: "n2" } })) },
    want: /can only create ResourceSlice with the same NodeName as the requesting node$/,
  },
  {
    name: "a claim's size",
    request: {
      ref: core.persistentvolumeclaims,
      subresource: "status",
      ...update(named("d", { status: { capacity: { storage: "2Gi" } } }), named("d", { status: {} })),
    },
  },
  {
    name: "a claim's phase",
    request: {
      ref: core.persistentvolumeclaims,
      subresource: "status",
      ...update(named("d", { status: { phase: "Lost" } }), named("d", { status: { phase: "Bound" } })),
    },
    want: /not allowed to update fields other than status.quantity and status.conditions/,
  },
  {
    name: "a request that can't be read",
    request: { ref: certificates.certificatesigningrequests, namespace: "", ...create(csr("x")) },
    want: /unable to parse csr$/,
  },
  {
    name: "a kubelet without a name",
    request: { ...pods(create(mirror())), user: { ...KUBELET, name: "system:node:" } },
    want: /could not determine node from user "system:node:"$/,
  },
  { name: "anything of somebody else", request: { ...nodes(create(node("n9"))), user: { ...KUBELET, groups: [] } } },
];
for (const { name, request, existing = [], want } of rows) {
  test(`nodeRestriction ${want === undefined ? "admits" : "refuses"} ${name}`, async () => {
    const { refusal } = await admitWith(nodeRestriction, { user: KUBELET, ...request }, existing);
    if (want === undefined) assert.equal(refusal, undefined);
    else assert.match(refusal ?? "admitted", want);
  });
}
