import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PersistentVolume, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { FakeView } from "./fake-view.ts";
import { NodeAuthorizer } from "./node.ts";
import {
  attachmentOwner,
  NodeGraph,
  type OwnedByNode,
  type PodEdges,
  podEdges,
  sliceOwner,
  type VolumeEdges,
  volumeEdges,
} from "./node-graph.ts";
import type { ResourceAttributes } from "./types.ts";

const n1 = { name: "system:node:n1", uid: "", groups: ["system:nodes"], extra: {} };

const pod: Pod = {
  metadata: { namespace: "ns", name: "web" },
  spec: {
    nodeName: "n1",
    serviceAccountName: "sa",
    imagePullSecrets: [{ name: "pull" }],
    initContainers: [{ name: "i", image: "i", envFrom: [{ secretRef: { name: "init-secret" } }] }],
    containers: [
      {
        name: "c",
        image: "i",
        env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "env-map", key: "k" } } }],
      },
    ],
    volumes: [
      { name: "s", secret: { secretName: "vol-secret" } },
      {
        name: "p",
        projected: { sources: [{ configMap: { name: "kube-root-ca.crt" } }, { secret: { name: "proj-secret" } }] },
      },
      { name: "d", persistentVolumeClaim: { claimName: "data" } },
      { name: "scratch", ephemeral: {} },
    ],
  },
};
const volume: PersistentVolume = {
  metadata: { name: "pv1" },
  spec: {
    claimRef: { namespace: "ns", name: "data" },
    csi: { driver: "d", volumeHandle: "h", nodeStageSecretRef: { namespace: "csi", name: "stage" } },
  },
};

function graph() {
  const views = {
    pods: new FakeView<PodEdges>(
      [
        pod,
        { ...pod, metadata: { namespace: "ns", name: "elsewhere" }, spec: { containers: [], nodeName: "n2" } } as Pod,
      ],
      podEdges,
    ),
    volumes: new FakeView<VolumeEdges>([volume], volumeEdges),
    attachments: new FakeView<OwnedByNode>(
      [{ metadata: { name: "va" }, spec: { nodeName: "n1" } } as never],
      attachmentOwner,
    ),
    slices: new FakeView<OwnedByNode>([{ metadata: { name: "sl" }, spec: { nodeName: "n2" } } as never], sliceOwner),
  };
  return { views, node: new NodeAuthorizer(new NodeGraph(views)) };
}

interface Row {
  readonly ask: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly selector?: readonly [string, string];
  /** "" for allowed, else the reason. */
  readonly why: string;
}
const UNRELATED = "no relationship found between node 'n1' and this object";
const rows: readonly Row[] = [
  { ask: "get secrets", name: "vol-secret", why: "" },
  { ask: "get secrets", name: "pull", why: "" },
  { ask: "get secrets", name: "init-secret", why: "" },
  { ask: "get secrets", name: "proj-secret", why: "" },
  { ask: "get secrets", namespace: "csi", name: "stage", why: "" },
  { ask: "get secrets", namespace: "other", name: "vol-secret", why: UNRELATED },
  { ask: "get secrets", name: "unknown", why: UNRELATED },
  { ask: "watch secrets", name: "vol-secret", why: "" },
  { ask: "list secrets", why: "No Object name found" },
  { ask: "list secrets", namespace: "", why: "can only read namespaced object of this type" },
  { ask: "update secrets", name: "vol-secret", why: "can only read resources of this type" },
  { ask: "get configmaps", name: "env-map", why: "" },
  { ask: "get configmaps", name: "kube-root-ca.crt", why: "" },
  { ask: "get persistentvolumeclaims", name: "data", why: "" },
  { ask: "get persistentvolumeclaims", name: "web-scratch", why: "" },
  { ask: "update persistentvolumeclaims/status", name: "data", why: "" },
  { ask: "list persistentvolumeclaims", why: "can only get individual resources of this type" },
  { ask: "get persistentvolumes", namespace: "", name: "pv1", why: "" },
  { ask: "get persistentvolumes", namespace: "", name: "pv2", why: UNRELATED },
  { ask: "create serviceaccounts/token", name: "sa", why: "" },
  { ask: "create serviceaccounts/token", name: "other", why: UNRELATED },
  { ask: "list serviceaccounts", why: "can only create tokens for individual service accounts" },
  { ask: "get volumeattachments.storage.k8s.io", namespace: "", name: "va", why: "" },
  { ask: "get resourceslices.resource.k8s.io", namespace: "", name: "sl", why: UNRELATED },
  { ask: "update leases.coordination.k8s.io", namespace: "kube-node-lease", name: "n1", why: "" },
  {
    ask: "update leases.coordination.k8s.io",
    namespace: "kube-node-lease",
    name: "n2",
    why: "can only access node lease with the same name as the requesting node",
  },
  {
    ask: "get leases.coordination.k8s.io",
    namespace: "kube-system",
    name: "n1",
    why: 'can only access leases in the "kube-node-lease" system namespace',
  },
  { ask: "get nodes", namespace: "", name: "n1", why: "" },
  { ask: "get nodes", namespace: "", name: "n2", why: "node 'n1' cannot read 'n2', only its own Node object" },
  { ask: "list nodes", namespace: "", why: "node 'n1' cannot read all nodes, only its own Node object" },
  { ask: "patch nodes/status", namespace: "", name: "n1", why: "" },
  { ask: "get pods", name: "web", why: "" },
  { ask: "get pods", name: "elsewhere", why: UNRELATED },
  { ask: "list pods", namespace: "", selector: ["spec.nodeName", "n1"], why: "" },
  {
    ask: "list pods",
    namespace: "",
    selector: ["spec.nodeName", "n2"],
    why: "can only list/watch pods with spec.nodeName field selector",
  },
  { ask: "watch pods", namespace: "", why: "can only list/watch pods with spec.nodeName field selector" },
  { ask: "patch pods/status", name: "web", why: "" },
  { ask: "create pods/eviction", name: "web", why: "" },
  { ask: "list services", namespace: "", why: "" },
  { ask: "create events", why: "" },
  { ask: "create certificatesigningrequests.certificates.k8s.io", namespace: "", why: "" },
  { ask: "watch runtimeclasses.node.k8s.io", namespace: "", why: "" },
];

function question(row: Row): ResourceAttributes {
  const [verb = "", what = ""] = row.ask.split(" ");
  const [full = "", subresource = ""] = what.split("/");
  const [resource = "", ...group] = full.split(".");
  return {
    kind: "resource",
    user: n1,
    verb,
    apiGroup: group.join("."),
    apiVersion: "v1",
    resource,
    subresource,
    namespace: row.namespace ?? "ns",
    name: row.name ?? "",
    ...(row.selector === undefined
      ? {}
      : { fieldSelector: [{ key: row.selector[0], operator: "=", values: [row.selector[1]] }] }),
  };
}

describe("NodeAuthorizer.authorize()", () => {
  for (const row of rows) {
    test(`${row.why === "" ? "allows" : "refuses"} ${row.ask} ${row.namespace ?? "ns"}/${row.name ?? ""}`, () => {
      const want = row.why === "" ? { verdict: "allowed", reason: "" } : { verdict: "no-opinion", reason: row.why };
      assert.deepEqual(graph().node.authorize(question(row)), want);
    });
  }

  test("has no opinion on anybody but nodes", () => {
    const { node } = graph();
    const ask = question({ ask: "get secrets", name: "vol-secret", why: "" });
    for (const user of [
      { ...n1, groups: [] },
      { ...n1, name: "bob" },
    ]) {
      assert.deepEqual(node.authorize({ ...ask, user }), { verdict: "no-opinion", reason: "" });
    }
    assert.deepEqual(node.authorize({ ...ask, user: { ...n1, name: "system:node:" } }), {
      verdict: "no-opinion",
      reason: 'unknown node for user "system:node:"',
    });
  });

  test("takes the right away with the last pod that gave it", () => {
    const { views, node } = graph();
    const can = () => node.authorize(question({ ask: "get secrets", name: "vol-secret", why: "" })).verdict;
    views.pods.set({ ...pod, metadata: { namespace: "ns", name: "second" } });
    views.pods.delete({ namespace: "ns", name: "web" });
    assert.equal(can(), "allowed");
    views.pods.set({ metadata: { namespace: "ns", name: "second" }, spec: { containers: [], nodeName: "n1" } } as Pod);
    assert.equal(can(), "no-opinion");
  });

  test("gives a mirror pod's node nothing but the pod", () => {
    const { views, node } = graph();
    views.pods.replace([
      { ...pod, metadata: { ...pod.metadata, annotations: { "kubernetes.io/config.mirror": "h" } } },
    ]);
    assert.equal(node.authorize(question({ ask: "get secrets", name: "vol-secret", why: "" })).verdict, "no-opinion");
    assert.equal(node.authorize(question({ ask: "get pods", name: "web", why: "" })).verdict, "allowed");
  });
});
