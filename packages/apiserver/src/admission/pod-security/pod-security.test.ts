import assert from "node:assert/strict";
import { test } from "node:test";
import { apps, batch, core } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { AdmissionConfigurationError } from "../admission-configuration.ts";
import { admitWith, type FakeRequest } from "../fake-admission.ts";
import { createPodSecurity } from "./pod-security.ts";

// biome-ignore lint/suspicious/noExplicitAny: objects of every shape
type Any = any;
const LABEL = "pod-security.kubernetes.io/";
const labels = (values: Record<string, string>) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [`${LABEL}${key}`, value]));
const space = (values: Record<string, string>, name = "ns") =>
  ({ metadata: { name, labels: labels(values) } }) as KubeObject;
const pod = (more: Any = {}, name = "p"): Any =>
  ({ metadata: { name, namespace: "ns" }, spec: { containers: [{ name: "c", image: "i" }], ...more } }) as KubeObject;
const HOST = { hostNetwork: true };
const VIOLATED = "host namespaces (hostNetwork=true)";
const EXEMPT = createPodSecurity({
  apiVersion: "pod-security.admission.config.k8s.io/v1",
  kind: "PodSecurityConfiguration",
  defaults: { enforce: "baseline" },
  exemptions: { usernames: ["root"], namespaces: ["free"], runtimeClasses: ["vm"] },
});
const plain = createPodSecurity(undefined);

function admit(namespace: KubeObject, request: Partial<FakeRequest> & { object: KubeObject }, plugin = plain) {
  const existing: [ResourceRef<unknown>, KubeObject][] = [[core.namespaces, namespace]];
  return admitWith(plugin, { ref: core.pods, ...request }, existing);
}

test("podSecurity refuses what violates the enforced level", async () => {
  const result = await admit(space({ enforce: "baseline" }), { object: pod(HOST) });
  assert.equal(result.refusal, `pods "p" is forbidden: violates PodSecurity "baseline:latest": ${VIOLATED}`);
  assert.equal(result.code, 403);
  assert.deepEqual(result.warnings, []);
  assert.equal(result.annotations[`${LABEL}enforce-policy`], "baseline:latest");
});

test("podSecurity warns and notes for the other modes", async () => {
  const namespace = space({ enforce: "privileged", warn: "baseline", "warn-version": "v1.20", audit: "baseline" });
  const result = await admit(namespace, { object: pod(HOST) });
  assert.equal(result.refusal, undefined);
  assert.deepEqual(result.warnings, [`would violate PodSecurity "baseline:v1.20": ${VIOLATED}`]);
  assert.equal(
    result.annotations[`${LABEL}audit-violations`],
    `would violate PodSecurity "baseline:latest": ${VIOLATED}`,
  );
});

for (const [ref, wrap] of [
  [apps.deployments, (template: Any) => ({ spec: { template } })],
  [core.replicationcontrollers, (template: Any) => ({ spec: { template } })],
  [core.podtemplates, (template: Any) => ({ template })],
  [batch.cronjobs, (template: Any) => ({ spec: { jobTemplate: { spec: { template } } } })],
] as const) {
  test(`podSecurity warns about ${ref.resource} by the enforced level`, async () => {
    const object = { metadata: { name: "w" }, ...wrap({ spec: pod(HOST).spec }) } as KubeObject;
    const result = await admit(space({ enforce: "baseline" }), { ref, object });
    assert.equal(result.refusal, undefined);
    assert.deepEqual(result.warnings, [`would violate PodSecurity "baseline:latest": ${VIOLATED}`]);
  });
}

test("podSecurity fails closed when the label is nonsense", async () => {
  const result = await admit(space({ enforce: "strict" }), { object: pod(HOST) });
  assert.match(result.refusal ?? "", /violates PodSecurity "restricted:latest"/);
  assert.match(result.annotations[`${LABEL}error`] ?? "", /must be one of privileged, baseline, restricted/);
});

test("podSecurity looks at updates only when images change", async () => {
  const namespace = space({ enforce: "baseline" });
  const update = (object: KubeObject) => admit(namespace, { operation: "UPDATE", object, oldObject: pod(HOST) } as Any);
  assert.equal((await update(pod(HOST))).refusal, undefined);
  const other = pod({ ...HOST, containers: [{ name: "c", image: "j" }] });
  assert.match((await update(other)).refusal ?? "", /violates PodSecurity/);
});

test("podSecurity lets the exempt pass, by namespace, user and runtime class", async () => {
  const enforced = space({ enforce: "restricted" });
  assert.match(
    (await admit(space({}), { object: pod(HOST) }, EXEMPT)).refusal ?? "",
    /"baseline:latest"/,
    "the default",
  );
  const user = { name: "root", uid: "", groups: [], extra: {} };
  for (const [why, request] of [
    ["user", { object: pod(HOST), user }],
    ["runtimeClass", { object: pod({ ...HOST, runtimeClassName: "vm" }) }],
    ["namespace", { object: pod(HOST), namespace: "free" }],
  ] as const) {
    const result = await admit(enforced, request, EXEMPT);
    assert.equal(result.refusal, undefined);
    assert.equal(result.annotations[`${LABEL}exempt`], why);
  }
});

test("podSecurity ignores subresources that carry no pod", async () => {
  const result = await admit(space({ enforce: "restricted" }), { subresource: "binding", object: pod(HOST) });
  assert.equal(result.refusal, undefined);
});

test("podSecurity refuses namespaces with labels that it can't read", async () => {
  const request = { ref: core.namespaces, namespace: "", object: space({ enforce: "strict", "warn-version": "1.2" }) };
  const { refusal, code } = await admitWith(plain, request);
  assert.equal(code, 422);
  assert.match(refusal ?? "", /pod-security.kubernetes.io\/enforce\]: Invalid value: "strict": must be one of/);
  assert.match(refusal ?? "", /warn-version\]: Invalid value: "1.2": must be "latest" or "v1.x"/);
  const kept = await admitWith(plain, { ...request, operation: "UPDATE", oldObject: request.object });
  assert.equal(kept.refusal, undefined);
});

test("podSecurity names the pods that a stricter policy would refuse", async () => {
  const request = {
    operation: "UPDATE",
    ref: core.namespaces,
    object: space({ enforce: "baseline", "enforce-version": "v1.30" }),
    oldObject: space({}),
  } as const;
  const pods = [pod(HOST, "b"), pod(HOST, "a"), pod({ hostPID: true, hostIPC: true }, "c"), pod({}, "fine")];
  const { warnings } = await admitWith(
    plain,
    request,
    pods.map((p) => [core.pods, p] as const),
  );
  assert.deepEqual(warnings, [
    'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:v1.30"',
    "a (and 2 other pods): host namespaces",
  ]);
});

test("podSecurity refuses a configuration that it can't read", () => {
  const document = { apiVersion: "pod-security.admission.config.k8s.io/v1", kind: "PodSecurityConfiguration" };
  assert.throws(() => createPodSecurity({ ...document, defaults: { enforce: "strict" } }), AdmissionConfigurationError);
  assert.throws(() => createPodSecurity({ ...document, kind: "Other" }), AdmissionConfigurationError);
  assert.throws(() => createPodSecurity({ ...document, exemption: {} }), /unknown field "exemption"/);
});
