/** Admission as users meet it: over HTTP, against a real store. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { configMap, type Json, pod, useApiserver } from "./api-harness.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-admission-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const configuration = join(dir, "admission.yaml");
writeFileSync(
  configuration,
  `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    exemptions: {namespaces: [exempt]}
- name: EventRateLimit
  path: events.yaml
`,
);
writeFileSync(
  join(dir, "events.yaml"),
  `apiVersion: eventratelimit.admission.k8s.io/v1alpha1
kind: Configuration
limits: [{type: Namespace, qps: 1, burst: 3}]
`,
);

const h = useApiserver({
  args: [
    `--admission-control-config-file=${configuration}`,
    "--enable-admission-plugins=NodeRestriction,EventRateLimit",
  ],
});

async function newNamespace(name: string, labels: Record<string, string> = {}): Promise<string> {
  await h.create("/api/v1/namespaces", { metadata: { name, labels } });
  await h.create(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: "default" } });
  return `/api/v1/namespaces/${name}`;
}

/** A quota that somebody has counted: without the controller, the test does. */
async function newQuota(base: string, name: string, hard: Record<string, string>, spec: Json = {}): Promise<string> {
  const quota = await h.create(`${base}/resourcequotas`, { metadata: { name }, spec: { hard, ...spec } });
  const used = Object.fromEntries(Object.keys(hard).map((key) => [key, "0"]));
  const body = { ...quota, status: { hard, used } };
  assert.equal((await h.call("PUT", `${base}/resourcequotas/${name}/status`, { body })).status, 200);
  return `${base}/resourcequotas/${name}`;
}

test("a quota is never exceeded by concurrent creates", async () => {
  const base = await newNamespace("crowd");
  const path = await newQuota(base, "few", { configmaps: "7", "count/configmaps": "9" });
  await newQuota(base, "many", { configmaps: "100" });
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => h.call("POST", `${base}/configmaps`, { body: configMap(`c${i}`) })),
  );
  assert.equal(answers.filter(({ status }) => status === 201).length, 7);
  const refused = answers.find(({ status }) => status === 403);
  assert.match(
    refused?.body.message,
    /^configmaps "c\d+" is forbidden: exceeded quota: few, requested: configmaps=1, used: configmaps=7, limited: configmaps=7$/,
  );
  const { body } = await h.call("GET", path);
  assert.deepEqual(body.status.used, { configmaps: "7", "count/configmaps": "7" });
  assert.equal((await h.call("GET", `${base}/configmaps`)).body.items.length, 7);
});

test("a quota on cpu obliges pods to name it, and charges what they ask for", async () => {
  const base = await newNamespace("measured");
  const path = await newQuota(base, "q", { pods: "2", "requests.cpu": "1" });
  const create = (name: string, requests?: Json) =>
    h.call("POST", `${base}/pods`, {
      body: pod(name, { containers: [{ name: "c", image: "i", resources: { requests } }] }),
    });
  assert.match((await create("a")).body.message, /failed quota: q: must specify requests.cpu for: c$/);
  assert.equal((await create("b", { cpu: "600m" })).status, 201);
  const refused = await create("c", { cpu: "600m" });
  assert.equal(
    refused.body.message,
    'pods "c" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1',
  );
  assert.equal(
    (
      await h.call("POST", `${base}/pods?dryRun=All`, {
        body: pod("d", { containers: [{ name: "c", image: "i", resources: { requests: { cpu: "1m" } } }] }),
      })
    ).status,
    201,
  );
  assert.deepEqual((await h.call("GET", path)).body.status.used, { pods: "1", "requests.cpu": "600m" });
});

test("LimitRanges give defaults that quotas then count", async () => {
  const base = await newNamespace("ranged");
  await h.create(`${base}/limitranges`, {
    metadata: { name: "defaults" },
    spec: { limits: [{ type: "Container", default: { cpu: "200m" }, max: { cpu: "1" } }] },
  });
  const path = await newQuota(base, "q", { "limits.cpu": "1" });
  const created = await h.create(`${base}/pods`, pod("a"));
  assert.deepEqual(created.spec.containers[0].resources, { limits: { cpu: "200m" }, requests: { cpu: "200m" } });
  assert.match(
    created.metadata.annotations["kubernetes.io/limit-ranger"],
    /^LimitRanger plugin set: cpu request for container c/,
  );
  assert.deepEqual((await h.call("GET", path)).body.status.used, { "limits.cpu": "200m" });
  const large = pod("b", { containers: [{ name: "c", image: "i", resources: { limits: { cpu: "2" } } }] });
  const refused = await h.call("POST", `${base}/pods`, { body: large });
  assert.equal(refused.body.message, 'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2');
});

test("Pod Security refuses, warns and exempts as the labels and the configuration say", async () => {
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  const base = await newNamespace("guarded", labels);
  const refused = await h.call("POST", `${base}/pods`, { body: pod("p") });
  assert.equal(refused.status, 403);
  assert.equal(
    refused.body.message,
    'pods "p" is forbidden: violates PodSecurity "restricted:latest": ' +
      'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), ' +
      'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), ' +
      'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), ' +
      'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  );
  const template = { metadata: { labels: { a: "b" } }, spec: { hostNetwork: true, ...pod("x").spec } };
  const deployment = { metadata: { name: "d" }, spec: { selector: { matchLabels: { a: "b" } }, template } };
  const warned = await h.call("POST", "/apis/apps/v1/namespaces/guarded/deployments", { body: deployment });
  assert.equal(warned.status, 201);
  assert.match(
    String(warned.headers.warning),
    /^299 - "would violate PodSecurity \\"restricted:latest\\": host namespaces/,
  );
  const exempt = await newNamespace("exempt", labels);
  assert.equal((await h.call("POST", `${exempt}/pods`, { body: pod("p") })).status, 201);
});

test("a stricter label warns about the pods that are there", async () => {
  const base = await newNamespace("tightened");
  await h.create(`${base}/pods`, pod("p", { hostNetwork: true }));
  const body = { metadata: { labels: { "pod-security.kubernetes.io/enforce": "baseline" } } };
  const headers = { "content-type": "application/merge-patch+json" };
  const answer = await h.call("PATCH", base, { body, headers });
  assert.equal(answer.status, 200);
  const warning = String(answer.headers.warning);
  assert.match(
    warning,
    /existing pods in namespace \\"tightened\\" violate the new PodSecurity enforce level \\"baseline:latest\\"/,
  );
  assert.match(warning, /299 - "p: host namespaces"/);
  const nonsense = { metadata: { labels: { "pod-security.kubernetes.io/enforce": "strict" } } };
  assert.equal((await h.call("PATCH", base, { body: nonsense, headers })).status, 422);
});

test("RuntimeClasses, default classes and finalizers of storage are filled in", async () => {
  const base = await newNamespace("filled");
  const mark = { "storageclass.kubernetes.io/is-default-class": "true" };
  const classes = "/apis/storage.k8s.io/v1/storageclasses";
  await h.create(classes, { metadata: { name: "standard", annotations: mark }, provisioner: "example.com/p" });
  const resources = { requests: { storage: "1Gi" } };
  const claim = await h.create(`${base}/persistentvolumeclaims`, {
    metadata: { name: "data" },
    spec: { accessModes: ["ReadWriteOnce"], resources },
  });
  assert.equal(claim.spec.storageClassName, "standard");
  assert.deepEqual(claim.metadata.finalizers, ["kubernetes.io/pvc-protection"]);
  const unknown = await h.call("POST", `${base}/pods`, { body: pod("p", { runtimeClassName: "gone" }) });
  assert.equal(unknown.status, 403);
  assert.equal(unknown.body.message, 'pods "p" is forbidden: pod rejected: RuntimeClass "gone" not found');
  await h.create("/apis/node.k8s.io/v1/runtimeclasses", {
    metadata: { name: "kata" },
    handler: "kata",
    overhead: { podFixed: { cpu: "250m" } },
    scheduling: { nodeSelector: { kata: "yes" } },
  });
  const created = await h.create(`${base}/pods`, pod("q", { runtimeClassName: "kata" }));
  assert.deepEqual(created.spec.overhead, { cpu: "250m" });
  assert.deepEqual(created.spec.nodeSelector, { kata: "yes" });
});

test("events are limited by namespace where the configuration says so", async () => {
  const base = await newNamespace("noisy");
  const write = (name: string) =>
    h.call("POST", `${base}/events`, {
      body: { metadata: { name }, involvedObject: { namespace: "noisy", name: "x", kind: "Pod" } },
    });
  for (const name of ["a", "b", "c"]) assert.equal((await write(name)).status, 201);
  // At once, for one a second is let through: a slow machine's would all pass one after the other.
  const more = await Promise.all(Array.from({ length: 40 }, (_, i) => write(`more-${i}`)));
  assert.deepEqual(
    [...new Set(more.map(({ status }) => status))].filter((status) => status !== 201),
    [429],
  );
});
