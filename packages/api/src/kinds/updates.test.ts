/** What updates may change, what they restore by themselves, and when the generation grows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { created, type Manifest, updated } from "./kind-fixture.ts";

// Each change below knows the shape of the object that it changes.
// biome-ignore lint/suspicious/noExplicitAny: tests edit objects of many kinds
type Loose = any;

const labels = { app: "web" };
const spec = { containers: [{ name: "web", image: "nginx:1" }] };
const podManifest: Manifest = { apiVersion: "v1", kind: "Pod", metadata: { name: "web" }, spec };
const deploymentManifest: Manifest = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web" },
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
};
const serviceManifest: Manifest = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web" },
  spec: {
    type: "NodePort",
    clusterIP: "10.96.0.5",
    clusterIPs: ["10.96.0.5"],
    ipFamilies: ["IPv4"],
    ipFamilyPolicy: "SingleStack",
    ports: [{ port: 80, nodePort: 30080 }],
  },
};

interface Case {
  readonly name: string;
  readonly object: Manifest;
  readonly change: (object: Loose) => void;
  readonly subresource?: string;
  /** Beginnings of the complaints. */
  readonly errors?: readonly string[];
  /** Of the result. */
  readonly want?: (object: Loose) => void;
}

const generationIs = (generation: number) => (object: KubeObject) =>
  assert.equal(object.metadata.generation, generation);

const templateGenerationIs = (generation: string) => (object: KubeObject) =>
  assert.equal(object.metadata.annotations?.["deprecated.daemonset.template.generation"], generation);

const cases: readonly Case[] = [
  {
    name: "a DaemonSet's template generation grows with its template",
    object: { ...deploymentManifest, kind: "DaemonSet" },
    change: (set) => {
      set.spec.template.spec.containers[0].image = "nginx:2";
      set.metadata.annotations = {};
    },
    want: templateGenerationIs("2"),
  },
  {
    name: "a DaemonSet's template generation is the server's",
    object: { ...deploymentManifest, kind: "DaemonSet" },
    change: (set) => {
      set.spec.minReadySeconds = 5;
      set.metadata.annotations["deprecated.daemonset.template.generation"] = "9";
    },
    want: templateGenerationIs("1"),
  },
  {
    name: "a Pod's image may change, and the generation grows",
    object: podManifest,
    change: (pod) => {
      pod.spec.containers[0].image = "nginx:2";
    },
    want: generationIs(2),
  },
  {
    name: "a Pod's node selector may not change",
    object: podManifest,
    change: (pod) => {
      pod.spec.nodeSelector = { a: "b" };
    },
    errors: ["spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"],
  },
  {
    name: "a Pod may not get a container",
    object: podManifest,
    change: (pod) => {
      pod.spec.containers.push({ name: "more", image: "x" });
    },
    errors: ["spec.containers: Forbidden: pod updates may not add or remove containers"],
  },
  {
    name: "a Pod's tolerations may only be added to",
    object: { ...podManifest, spec: { ...spec, tolerations: [{ key: "a", operator: "Exists" }] } },
    change: (pod) => {
      pod.spec.tolerations = [{ key: "b", operator: "Exists" }];
    },
    errors: ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
  },
  {
    name: "a Pod's status is ignored on the main resource",
    object: podManifest,
    change: (pod) => {
      pod.status = { phase: "Running" };
    },
    want: (pod) => assert.equal(pod.status.phase, "Pending"),
  },
  {
    name: "a Pod's spec and owners are ignored on /status",
    object: podManifest,
    subresource: "status",
    change: (pod) => {
      pod.status = { phase: "Running" };
      pod.spec.nodeName = "elsewhere";
      pod.metadata.ownerReferences = [{ apiVersion: "v1", kind: "X", name: "x", uid: "x" }];
    },
    want: (pod) => {
      assert.deepEqual(pod.status, { phase: "Running", qosClass: "BestEffort" });
      assert.equal(pod.spec.nodeName, undefined);
      assert.equal(pod.metadata.ownerReferences, undefined);
      assert.equal(pod.metadata.generation, 1);
    },
  },
  {
    name: "a Pod's resources change through /resize only",
    object: {
      ...podManifest,
      spec: { containers: [{ name: "web", image: "x", resources: { requests: { cpu: "1" } } }] },
    },
    subresource: "resize",
    change: (pod) => {
      pod.spec.containers[0].resources.requests.cpu = "2";
      pod.spec.containers[0].image = "other";
    },
    want: (pod) => {
      assert.equal(pod.spec.containers[0].resources.requests.cpu, "2");
      assert.equal(pod.spec.containers[0].image, "x");
      assert.equal(pod.metadata.generation, 2);
    },
  },
  {
    name: "a Pod gets ephemeral containers through their subresource",
    object: podManifest,
    subresource: "ephemeralcontainers",
    change: (pod) => {
      pod.spec.ephemeralContainers = [{ name: "debug", image: "busybox" }];
      pod.spec.nodeName = "elsewhere";
    },
    want: (pod) => {
      assert.equal(pod.spec.ephemeralContainers[0].name, "debug");
      assert.equal(pod.spec.nodeName, undefined);
      assert.equal(pod.metadata.generation, 2);
    },
  },
  {
    name: "a Deployment's selector is immutable",
    object: deploymentManifest,
    change: (deployment) => {
      deployment.spec.selector.matchLabels = { app: "x" };
      deployment.spec.template.metadata.labels = { app: "x" };
    },
    errors: ['spec.selector: Invalid value: {"matchLabels":{"app":"x"}}: field is immutable'],
  },
  {
    name: "a Deployment's generation grows with its annotations",
    object: deploymentManifest,
    change: (deployment) => {
      deployment.metadata.annotations = { note: "x" };
    },
    want: generationIs(2),
  },
  {
    name: "a Deployment's generation stays when nothing changes",
    object: deploymentManifest,
    change: () => {},
    want: generationIs(1),
  },
  {
    name: "a Deployment's generation stays on /status",
    object: deploymentManifest,
    subresource: "status",
    change: (deployment) => {
      deployment.status = { replicas: 1 };
      deployment.spec.replicas = 7;
    },
    want: (deployment) => {
      assert.equal(deployment.spec.replicas, 1);
      assert.equal(deployment.status.replicas, 1);
      assert.equal(deployment.metadata.generation, 1);
    },
  },
  {
    name: "a Service keeps what was allocated when a manifest leaves it out",
    object: serviceManifest,
    change: (service) => {
      service.spec = { type: "NodePort", ports: [{ port: 80 }] };
    },
    want: (service) => {
      assert.equal(service.spec.clusterIP, "10.96.0.5");
      assert.deepEqual(service.spec.clusterIPs, ["10.96.0.5"]);
      assert.equal(service.spec.ports[0].nodePort, 30080);
    },
  },
  {
    name: "a Service loses its node ports with its type",
    object: serviceManifest,
    change: (service) => {
      service.spec.type = "ClusterIP";
    },
    want: (service) => {
      assert.equal(service.spec.ports[0].nodePort, undefined);
      assert.equal(service.spec.externalTrafficPolicy, undefined);
      assert.equal(service.spec.clusterIP, "10.96.0.5");
    },
  },
  {
    name: "a Service that becomes an external name gives its address back",
    object: serviceManifest,
    change: (service) => {
      service.spec.type = "ExternalName";
      service.spec.externalName = "example.com";
    },
    want: (service) => {
      for (const field of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]) {
        assert.equal(service.spec[field], undefined, field);
      }
    },
  },
  {
    name: "a Service's cluster IP may not change",
    object: serviceManifest,
    change: (service) => {
      service.spec.clusterIP = "10.96.0.6";
    },
    errors: ['spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'],
  },
  {
    name: "an immutable ConfigMap stays",
    object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, immutable: true, data: { a: "1" } },
    change: (map) => {
      map.data.a = "2";
      map.immutable = false;
    },
    errors: [
      "immutable: Forbidden: field is immutable when `immutable` is set",
      "data: Forbidden: field is immutable when `immutable` is set",
    ],
  },
  {
    name: "a role reference may not change",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "b" },
      roleRef: { kind: "Role", name: "a" },
    },
    change: (binding) => {
      binding.roleRef.name = "b";
    },
    errors: [
      'roleRef: Invalid value: {"kind":"Role","name":"b","apiGroup":"rbac.authorization.k8s.io"}: cannot change roleRef',
    ],
  },
  {
    name: "names and uids may not change",
    object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", uid: "1" } },
    change: (map) => {
      map.metadata.uid = "2";
    },
    errors: ['metadata.uid: Invalid value: "2": field is immutable'],
  },
  {
    name: "a StatefulSet's service name may not change",
    object: {
      ...deploymentManifest,
      kind: "StatefulSet",
      spec: { ...(deploymentManifest.spec as object), serviceName: "a" },
    },
    change: (set) => {
      set.spec.serviceName = "b";
    },
    errors: [
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ],
  },
  {
    name: "an approval adds conditions and nothing else",
    object: {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name: "c" },
      spec: { request: "", signerName: "a.b/c", usages: ["any"] },
    },
    subresource: "approval",
    change: (request) => {
      request.spec.signerName = "x.y/z";
      request.status = { certificate: "AA==", conditions: [{ type: "Approved", status: "True" }] };
    },
    want: (request) => {
      assert.equal(request.spec.signerName, "a.b/c");
      assert.deepEqual(request.status, { conditions: [{ type: "Approved", status: "True" }] });
    },
  },
];

for (const { name, object, change, subresource, errors, want } of cases) {
  test(`update: ${name}`, () => {
    const result = updated(created(object).object, change, subresource);
    const wanted = errors ?? [];
    assert.equal(result.errors.length, wanted.length, result.errors.join("\n"));
    for (const [i, text] of wanted.entries())
      assert.ok(result.errors[i]?.startsWith(text) === true, String(result.errors[i]));
    want?.(result.object);
  });
}

test("update: a finalizer may not be added to an object that is being deleted", () => {
  const map = created({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" } }).object;
  map.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  const { errors } = updated(map, (object) => {
    object.metadata.finalizers = ["example.com/x"];
  });
  assert.deepEqual(errors, [
    'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/x"}',
  ]);
});
