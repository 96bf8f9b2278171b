/** The smaller plugins, each by a table. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { certificates, core, networking, node, storage } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Authorizer } from "../authz/types.ts";
import { AdmissionConfigurationError } from "./admission-configuration.ts";
import { alwaysPullImages } from "./always-pull-images.ts";
import { checkPluginNames, createPlugins } from "./build.ts";
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from "./certificates.ts";
import { defaultIngressClass } from "./default-ingress-class.ts";
import { defaultStorageClass } from "./default-storage-class.ts";
import { createEventRateLimit } from "./event-rate-limit.ts";
import { admitWith } from "./fake-admission.ts";
import { createOwnerReferencesPermissionEnforcement } from "./owner-references-permission-enforcement.ts";
import { persistentVolumeClaimResize } from "./persistent-volume-claim-resize.ts";
import { createPodNodeSelector } from "./pod-node-selector.ts";
import { podTopologyLabels } from "./pod-topology-labels.ts";
import { alwaysDeny, denyServiceExternalIps, extendedResourceToleration } from "./rare.ts";
import { runtimeClass } from "./runtime-class.ts";
import { storageObjectInUseProtection } from "./storage-object-in-use-protection.ts";

// biome-ignore lint/suspicious/noExplicitAny: looks into objects of every shape
type Any = any;
const object = (value: Any): KubeObject => ({ metadata: { name: "x" }, ...value });
const pod = (spec: Any): KubeObject => object({ spec: { containers: [{ name: "c", image: "i" }], ...spec } });
const existing = (ref: ResourceRef<unknown>, value: Any) => [ref, object(value)] as const;

describe("runtimeClass", () => {
  const kata = existing(node.runtimeclasses, {
    metadata: { name: "kata" },
    handler: "kata",
    overhead: { podFixed: { cpu: "250m" } },
    scheduling: { nodeSelector: { kata: "yes" }, tolerations: [{ key: "kata", operator: "Exists" }] },
  });
  const admit = (spec: Any) => admitWith(runtimeClass, { ref: core.pods, object: pod(spec) }, [kata]);

  test("gives the pod overhead, node selector and tolerations", async () => {
    const { object: admitted } = await admit({ runtimeClassName: "kata", nodeSelector: { a: "b" } });
    const { spec } = admitted as Any;
    assert.deepEqual(spec.overhead, { cpu: "250m" });
    assert.deepEqual(spec.nodeSelector, { a: "b", kata: "yes" });
    assert.deepEqual(spec.tolerations, [{ key: "kata", operator: "Exists" }]);
  });
  for (const [name, spec, want] of [
    ["an unknown class", { runtimeClassName: "gone" }, 'pod rejected: RuntimeClass "gone" not found'],
    [
      "another overhead",
      { runtimeClassName: "kata", overhead: { cpu: "1" } },
      "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
    ],
    [
      "overhead without a class",
      { overhead: { cpu: "1" } },
      "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    ],
    [
      "a node selector that contradicts",
      { runtimeClassName: "kata", nodeSelector: { kata: "no" } },
      "conflict: runtimeClass.scheduling.nodeSelector[kata] = yes; pod.spec.nodeSelector[kata] = no",
    ],
  ] as const) {
    test(`refuses ${name}`, async () => {
      const { refusal, code } = await admit(spec);
      assert.equal(refusal, `pods "x" is forbidden: ${want}`);
      assert.equal(code, 403);
    });
  }
});

describe("default classes", () => {
  const marked = (mark: string, name: string, created: string) => ({
    metadata: { name, creationTimestamp: created, annotations: { [mark]: "true" } },
  });
  const mark = "storageclass.kubernetes.io/is-default-class";
  const classes = [
    existing(storage.storageclasses, marked(mark, "old", "2026-01-01T00:00:00Z")),
    existing(storage.storageclasses, marked(mark, "new", "2026-02-01T00:00:00Z")),
    existing(storage.storageclasses, { metadata: { name: "other" } }),
  ];
  const claimed = async (spec: Any) => {
    const request = { ref: core.persistentvolumeclaims, object: object({ spec }) };
    return ((await admitWith(defaultStorageClass, request, classes)).object as Any).spec.storageClassName;
  };
  test("claims without a class get the newest default", async () => assert.equal(await claimed({}), "new"));
  test("an empty class stays", async () => assert.equal(await claimed({ storageClassName: "" }), ""));
  test("ingresses without a class get the default", async () => {
    const ingressMark = "ingressclass.kubernetes.io/is-default-class";
    const found = [existing(networking.ingressclasses, marked(ingressMark, "nginx", "2026-01-01T00:00:00Z"))];
    const admit = async (value: Any) =>
      (
        (await admitWith(defaultIngressClass, { ref: networking.ingresses, object: object(value) }, found))
          .object as Any
      ).spec.ingressClassName;
    assert.equal(await admit({ spec: {} }), "nginx");
    const annotated = { metadata: { name: "x", annotations: { "kubernetes.io/ingress.class": "old" } }, spec: {} };
    assert.equal(await admit(annotated), undefined);
  });
});

test("storageObjectInUseProtection adds its finalizer once", async () => {
  const finalizers = async (ref: ResourceRef<unknown>, metadata: Any) =>
    (await admitWith(storageObjectInUseProtection, { ref, object: object({ metadata }) })).object?.metadata.finalizers;
  const claim = "kubernetes.io/pvc-protection";
  assert.deepEqual(await finalizers(core.persistentvolumeclaims, { finalizers: ["a"] }), ["a", claim]);
  assert.deepEqual(await finalizers(core.persistentvolumeclaims, { finalizers: [claim] }), [claim]);
  assert.deepEqual(await finalizers(core.persistentvolumes, {}), ["kubernetes.io/pv-protection"]);
  assert.equal(await finalizers(core.configmaps, {}), undefined);
});

describe("persistentVolumeClaimResize", () => {
  const claim = (storageSize: string, phase: string, storageClassName = "grows") =>
    object({ spec: { storageClassName, resources: { requests: { storage: storageSize } } }, status: { phase } });
  const classes = [
    existing(storage.storageclasses, { metadata: { name: "grows" }, allowVolumeExpansion: true }),
    existing(storage.storageclasses, { metadata: { name: "stays" } }),
  ];
  for (const [name, before, after, want] of [
    ["growing", claim("1Gi", "Bound"), claim("2Gi", "Bound"), undefined],
    ["shrinking (validation's affair)", claim("2Gi", "Bound"), claim("1Gi", "Bound"), undefined],
    [
      "growing unbound",
      claim("1Gi", "Pending"),
      claim("2Gi", "Pending"),
      "Only bound persistent volume claims can be expanded",
    ],
    [
      "growing where the class forbids it",
      claim("1Gi", "Bound", "stays"),
      claim("2Gi", "Bound", "stays"),
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    ],
  ] as const) {
    test(`${want === undefined ? "admits" : "refuses"} ${name}`, async () => {
      const request = {
        operation: "UPDATE",
        ref: core.persistentvolumeclaims,
        object: after,
        oldObject: before,
      } as const;
      const { refusal } = await admitWith(persistentVolumeClaimResize, request, classes);
      assert.equal(refusal, want === undefined ? undefined : `persistentvolumeclaims "x" is forbidden: ${want}`);
    });
  }
});

test("alwaysPullImages sets the policy of every container and image volume", async () => {
  const given = pod({
    initContainers: [{ name: "i", imagePullPolicy: "Never" }],
    volumes: [{ name: "v", image: { reference: "r", pullPolicy: "IfNotPresent" } }],
  });
  const { spec } = (await admitWith(alwaysPullImages, { ref: core.pods, object: given })).object as Any;
  assert.equal(spec.containers[0].imagePullPolicy, "Always");
  assert.equal(spec.initContainers[0].imagePullPolicy, "Always");
  assert.equal(spec.volumes[0].image.pullPolicy, "Always");
  const update = { operation: "UPDATE", ref: core.pods, object: given, oldObject: given } as const;
  assert.equal(
    ((await admitWith(alwaysPullImages, update)).object as Any).spec.initContainers[0].imagePullPolicy,
    "Never",
  );
});

describe("podNodeSelector", () => {
  const key = "scheduler.alpha.kubernetes.io/node-selector";
  const space = (annotations?: Any) => [existing(core.namespaces, { metadata: { name: "ns", annotations } })];
  const configured = createPodNodeSelector({
    podNodeSelectorPluginConfig: { clusterDefaultNodeSelector: "zone=a", ns: "zone=a,disk=ssd" },
  });
  const admit = (spec: Any, annotations?: Any, plugin = configured) =>
    admitWith(plugin, { ref: core.pods, object: pod(spec) }, space(annotations));

  test("gives pods the namespace's selector, or the cluster's", async () => {
    assert.deepEqual(((await admit({}, { [key]: "disk=ssd" })).object as Any).spec.nodeSelector, { disk: "ssd" });
    assert.deepEqual(((await admit({})).object as Any).spec.nodeSelector, { zone: "a" });
  });
  test("refuses a conflict and what the whitelist does not name", async () => {
    const conflict = "pod node label selector conflicts with its namespace node label selector";
    assert.match((await admit({ nodeSelector: { zone: "b" } })).refusal ?? "", new RegExp(`${conflict}$`));
    const outside = "pod node label selector labels conflict with its namespace whitelist";
    assert.match((await admit({ nodeSelector: { gpu: "1" } })).refusal ?? "", new RegExp(`${outside}$`));
  });
  test("refuses a configuration that is no selector", () => {
    const wrong = { podNodeSelectorPluginConfig: { ns: "a in (b)" } };
    assert.throws(() => createPodNodeSelector(wrong), AdmissionConfigurationError);
  });
});

describe("eventRateLimit", () => {
  const configuration = (...limits: Any[]) => ({
    apiVersion: "eventratelimit.admission.k8s.io/v1alpha1",
    kind: "Configuration",
    limits,
  });
  test("counts per key and lets events in again with time", async () => {
    let now = 0;
    const clock = { ...systemClock, monotonicMs: () => now };
    const plugin = createEventRateLimit(configuration({ type: "Namespace", qps: 1, burst: 2 }), clock);
    const write = async (namespace: string) =>
      (await admitWith(plugin, { ref: core.events, namespace, object: object({}) })).refusal;
    assert.equal(await write("a"), undefined);
    assert.equal(await write("a"), undefined);
    assert.equal(await write("a"), "limit reached on type Namespace for key a");
    assert.equal(await write("b"), undefined);
    now = 1000;
    assert.equal(await write("a"), undefined);
  });
  for (const [name, document] of [
    ["there is none", undefined],
    ["it is empty", configuration()],
    ["a type is unknown", configuration({ type: "Planet", qps: 1, burst: 1 })],
    ["qps is missing", configuration({ type: "Server", burst: 1 })],
  ] as const) {
    test(`refuses its configuration when ${name}`, () =>
      assert.throws(() => createEventRateLimit(document, systemClock), AdmissionConfigurationError));
  }
});

describe("certificates", () => {
  /** CN=zoe, O=system:masters, P-256. */
  const MASTERS = `-----BEGIN CERTIFICATE REQUEST-----
MIHjMIGLAgEAMCkxFzAVBgNVBAoMDnN5c3RlbTptYXN0ZXJzMQ4wDAYDVQQDDAV6
-----END CERTIFICATE REQUEST-----`;
  const csr = (more: Any = {}) => object({ spec: { signerName: "example.com/a", request: "" }, ...more });
  const granting = (...names: string[]): Authorizer => ({
    authorize: (asked) =>
      asked.kind === "resource" && names.includes(`${asked.verb} ${asked.name}`)
        ? { verdict: "allowed", reason: "" }
        : { verdict: "no-opinion", reason: "" },
  });
  const update = (subresource: string, now: Any) =>
    ({
      operation: "UPDATE",
      ref: certificates.certificatesigningrequests,
      subresource,
      object: csr(now),
      oldObject: csr(),
    }) as const;

  test("approval takes the verb approve on the signer or its domain", async () => {
    const approve = async (authorizer: Authorizer) =>
      (await admitWith(certificateApproval, update("approval", {}), [], authorizer)).refusal;
    assert.equal(await approve(granting("approve example.com/a")), undefined);
    assert.equal(await approve(granting("approve example.com/*")), undefined);
    assert.match(
      (await approve(granting("sign example.com/a"))) ?? "",
      /user not permitted to approve requests with signerName "example.com\/a"$/,
    );
  });
  test("signing takes the verb sign, when a certificate is set", async () => {
    const sign = async (status: Any) =>
      (await admitWith(certificateSigning, update("status", { status }), [], granting())).refusal;
    assert.equal(await sign({ conditions: [{ type: "Approved" }] }), undefined);
    assert.match((await sign({ certificate: "x" })) ?? "", /user not permitted to sign requests/);
    assert.match((await sign({ conditions: [{ type: "Failed" }] })) ?? "", /user not permitted to sign requests/);
  });
  test("nobody asks for system:masters, nor for what can't be read", async () => {
    const ask = async (pem: string) => {
      const spec = { signerName: "kubernetes.io/kube-apiserver-client", request: Buffer.from(pem).toString("base64") };
      const request = { ref: certificates.certificatesigningrequests, object: object({ spec }) };
      return (await admitWith(certificateSubjectRestriction, request)).refusal ?? "";
    };
    assert.match(await ask("nonsense"), /failed to parse CSR$/);
    assert.match(await ask(MASTERS), /failed to parse CSR$/, "truncated");
  });
});

test("rare plugins refuse and add what they are for", async () => {
  const service = (externalIPs: string[]) => object({ spec: { externalIPs } });
  const { refusal } = await admitWith(denyServiceExternalIps, { ref: core.services, object: service(["192.0.2.1"]) });
  assert.match(refusal ?? "", /Use of external IPs is denied by admission control$/);
  const gpu = pod({ containers: [{ name: "c", resources: { requests: { "example.com/gpu": "1", cpu: "1" } } }] });
  const { object: admitted } = await admitWith(extendedResourceToleration, { ref: core.pods, object: gpu });
  assert.deepEqual((admitted as Any).spec.tolerations, [{ key: "example.com/gpu", operator: "Exists" }]);
  assert.equal((await admitWith(alwaysDeny, { ref: core.pods, object: gpu })).code, 403);
});

test("podTopologyLabels copies zone and region to pods and bindings, and overwrites nothing", async () => {
  const labels = { "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r", other: "x" };
  const found = [existing(core.nodes, { metadata: { name: "n1", labels } })];
  const admit = async (subresource: string, given: KubeObject) =>
    (await admitWith(podTopologyLabels, { ref: core.pods, subresource, object: given }, found)).object?.metadata.labels;
  const binding = object({ target: { kind: "Node", name: "n1" } });
  const copied = { "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r" };
  assert.deepEqual(await admit("binding", binding), copied);
  const own = object({ metadata: { labels: { "topology.kubernetes.io/zone": "b" } }, spec: { nodeName: "n1" } });
  assert.deepEqual(await admit("", own), { ...copied, "topology.kubernetes.io/zone": "b" });
  assert.equal(await admit("", pod({})), undefined);
});

describe("ownerReferencesPermissionEnforcement", () => {
  const plugin = createOwnerReferencesPermissionEnforcement((_apiVersion, kind) =>
    kind === "Node" ? core.nodes : undefined,
  );
  const granting = (...verbs: string[]): Authorizer => ({
    authorize: (asked) => {
      const what = asked.kind === "resource" ? `${asked.verb} ${asked.resource}/${asked.subresource}` : "";
      return { verdict: verbs.includes(what) ? "allowed" : "no-opinion", reason: "" };
    },
  });
  const owned = (...ownerReferences: Any[]) => object({ metadata: { name: "x", ownerReferences } });
  const owner = (more: Any = {}) => ({ apiVersion: "v1", kind: "Node", name: "n", uid: "u", ...more });
  const write = async (now: KubeObject, before: KubeObject | undefined, authorizer: Authorizer) => {
    const request =
      before === undefined
        ? ({ ref: core.configmaps, object: now } as const)
        : ({ operation: "UPDATE", ref: core.configmaps, object: now, oldObject: before } as const);
    return (await admitWith(plugin, request, [], authorizer)).refusal;
  };
  test("wants delete on what gets another owner", async () => {
    assert.match(
      (await write(owned(owner()), owned(), granting())) ?? "",
      /cannot set an ownerRef on a resource you can't delete/,
    );
    assert.equal(await write(owned(owner()), owned(), granting("delete configmaps/")), undefined);
    assert.equal(await write(owned(owner()), undefined, granting()), undefined);
    assert.equal(await write(owned(owner()), owned(owner()), granting()), undefined);
  });
  test("wants finalizers of an owner that is blocked", async () => {
    const blocking = owned(owner({ blockOwnerDeletion: true }));
    assert.match(
      (await write(blocking, undefined, granting())) ?? "",
      /cannot set blockOwnerDeletion if an ownerReference/,
    );
    assert.equal(await write(blocking, undefined, granting("update nodes/finalizers")), undefined);
    const unknown = owned(owner({ kind: "Ghost", blockOwnerDeletion: true }));
    assert.match(
      (await write(unknown, undefined, granting())) ?? "",
      /cannot find RESTMapping for APIVersion v1 Kind Ghost/,
    );
  });
});

test("createPlugins() follows the flags, in upstream's order", () => {
  const tools = { clock: systemClock, findKind: () => undefined, storageOf: () => ({}) as never };
  const names = (enabled: string[], disabled: string[]) =>
    createPlugins({ enabled, disabled }, new Map(), tools).map((plugin) => plugin.name);
  const defaults = names([], []);
  assert.equal(defaults[0], "NamespaceLifecycle");
  assert.equal(defaults.at(-1), "ResourceQuota");
  assert.equal(defaults.includes("NodeRestriction"), false);
  assert.deepEqual(names(["NodeRestriction"], ["PodSecurity"]).slice(1, 5), [
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
  ]);
  assert.throws(() => checkPluginNames({ enabled: ["Nobody"], disabled: [] }), /plugin "Nobody" is unknown/);
  assert.throws(() => checkPluginNames({ enabled: ["ImagePolicyWebhook"], disabled: [] }), /is not offered/);
  checkPluginNames({ enabled: [], disabled: ["ImagePolicyWebhook"] });
  assert.throws(() => checkPluginNames({ enabled: ["Priority"], disabled: ["Priority"] }), /overlapped/);
});
