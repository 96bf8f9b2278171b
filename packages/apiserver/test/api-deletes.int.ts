/** Deletion at the level of HTTP: grace, finalizers, propagation, namespaces, collections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, EventReader, type Json, pod, useApiserver } from "./api-harness.ts";

const h = useApiserver({
  prepare: (harness) => harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } }),
});
const CMS = "/api/v1/namespaces/default/configmaps";
const PODS = "/api/v1/namespaces/default/pods";
const RS = "/apis/apps/v1/namespaces/default/replicasets";
const replicaSet = (name: string): Json => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image: "busybox" }] } },
  },
});

test("delete answers with a Status that names the uid", async () => {
  const made = await h.create(CMS, configMap("a"));
  const gone = await h.call("DELETE", `${CMS}/a`);
  assert.equal(gone.status, 200);
  assert.deepEqual(gone.body, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name: "a", kind: "configmaps", uid: made.metadata.uid },
  });
  assert.equal((await h.call("DELETE", `${CMS}/a`)).status, 404);
});

test("preconditions that do not hold are 409 Conflict", async () => {
  const made = await h.create(CMS, configMap("pre"));
  const uid = await h.call("DELETE", `${CMS}/pre`, { body: { preconditions: { uid: "other" } } });
  assert.equal(uid.status, 409);
  assert.match(uid.body.message, /the UID in the precondition \(other\) does not match the UID in record/);
  const version = await h.call("DELETE", `${CMS}/pre`, { body: { preconditions: { resourceVersion: "1" } } });
  assert.equal(version.status, 409);
  const right = { uid: made.metadata.uid, resourceVersion: made.metadata.resourceVersion };
  assert.equal((await h.call("DELETE", `${CMS}/pre`, { body: { preconditions: right } })).status, 200);
});

test("dry run deletes nothing; bad options are 422", async () => {
  await h.create(CMS, configMap("dry"));
  assert.equal((await h.call("DELETE", `${CMS}/dry?dryRun=All`)).status, 200);
  assert.equal((await h.call("GET", `${CMS}/dry`)).status, 200);
  assert.equal((await h.call("DELETE", `${CMS}/dry?propagationPolicy=Sideways`)).status, 422);
});

test("finalizers keep the object with its deletion mark; the last one's removal removes it", async () => {
  await h.create(CMS, configMap("fin", {}, { finalizers: ["example.com/x"] }));
  const marked = await h.call("DELETE", `${CMS}/fin`);
  assert.equal(marked.status, 200);
  assert.ok(marked.body.metadata.deletionTimestamp);
  assert.equal(marked.body.metadata.deletionGracePeriodSeconds, 0);
  const kept = await h.call("GET", `${CMS}/fin`);
  assert.equal(kept.status, 200);
  const freed = await h.call("PATCH", `${CMS}/fin`, {
    body: { metadata: { finalizers: null } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  assert.equal(freed.status, 200);
  assert.equal((await h.call("GET", `${CMS}/fin`)).status, 404);
});

test("an unscheduled pod vanishes at once", async () => {
  await h.create(PODS, pod("unscheduled"));
  const gone = await h.call("DELETE", `${PODS}/unscheduled`);
  assert.equal(gone.status, 200);
  assert.equal(gone.body.kind, "Pod");
  assert.equal((await h.call("GET", `${PODS}/unscheduled`)).status, 404);
});

test("a scheduled pod gets its grace, which can only be shortened; grace 0 removes it, the last event keeps the marks", async () => {
  await h.create(PODS, pod("graceful", { nodeName: "n1" }));
  const marked = (await h.call("DELETE", `${PODS}/graceful`)).body;
  assert.equal(marked.metadata.deletionGracePeriodSeconds, 30);
  assert.equal(marked.metadata.generation, 2);
  const longer = (await h.call("DELETE", `${PODS}/graceful?gracePeriodSeconds=60`)).body;
  assert.equal(longer.metadata.deletionGracePeriodSeconds, 30);
  const shorter = (await h.call("DELETE", `${PODS}/graceful`, { body: { gracePeriodSeconds: 5 } })).body;
  assert.equal(shorter.metadata.deletionGracePeriodSeconds, 5);
  const { resourceVersion } = shorter.metadata;
  const query = `watch=1&resourceVersion=${resourceVersion}&timeoutSeconds=60`;
  const events = new EventReader(await h.open("GET", `${PODS}?${query}`));
  await h.call("DELETE", `${PODS}/graceful?gracePeriodSeconds=0`);
  assert.equal((await h.call("GET", `${PODS}/graceful`)).status, 404);
  let last = await events.next();
  if (last.type === "MODIFIED") last = await events.next();
  assert.equal(last.type, "DELETED");
  assert.equal(last.object.metadata.deletionGracePeriodSeconds, 0);
});

test("propagation: apps delete in the background, foreground and orphan are finalizers", async () => {
  await h.create(RS, replicaSet("bg"));
  await h.call("DELETE", `${RS}/bg`);
  assert.equal((await h.call("GET", `${RS}/bg`)).status, 404);
  await h.create(RS, replicaSet("fg"));
  const fg = await h.call("DELETE", `${RS}/fg`, { body: { propagationPolicy: "Foreground" } });
  assert.deepEqual(fg.body.metadata.finalizers, ["foregroundDeletion"]);
  await h.create(RS, replicaSet("orphan"));
  const orphan = await h.call("DELETE", `${RS}/orphan?propagationPolicy=Orphan`);
  assert.deepEqual(orphan.body.metadata.finalizers, ["orphan"]);
  await h.create(RS, replicaSet("old"));
  const old = await h.call("DELETE", `${RS}/old?orphanDependents=true`);
  assert.deepEqual(old.body.metadata.finalizers, ["orphan"]);
});

test("deletecollection deletes what the selector matches and answers with the list", async () => {
  for (const name of ["c1", "c2"]) await h.create(CMS, configMap(name, {}, { labels: { set: "one" } }));
  await h.create(CMS, configMap("c3", {}, { labels: { set: "two" } }));
  const gone = await h.call("DELETE", `${CMS}?labelSelector=set%3Done`);
  assert.equal(gone.status, 200);
  assert.equal(gone.body.items.length, 2);
  assert.equal((await h.call("GET", `${CMS}/c3`)).status, 200);
  assert.equal((await h.call("GET", `${CMS}/c1`)).status, 404);
});

test("a namespace is Terminating until finalized, refuses new objects, and its name is free again at once", async () => {
  const NS = "/api/v1/namespaces";
  const made = await h.create(NS, { metadata: { name: "going" } });
  assert.deepEqual(made.spec.finalizers, ["kubernetes"]);
  assert.equal(made.metadata.labels["kubernetes.io/metadata.name"], "going");
  const marked = await h.call("DELETE", `${NS}/going`);
  assert.equal(marked.status, 200);
  assert.equal(marked.body.status.phase, "Terminating");
  const refused = await h.call("POST", `${NS}/going/configmaps`, { body: configMap("late") });
  assert.equal(refused.status, 403);
  assert.equal(
    refused.body.message,
    'configmaps "late" is forbidden: unable to create new content in namespace going because it is being terminated',
  );
  assert.equal(refused.body.details.causes[0].reason, "NamespaceTerminating");
  const current = (await h.call("GET", `${NS}/going`)).body;
  const finalized = await h.call("PUT", `${NS}/going/finalize`, { body: { ...current, spec: { finalizers: [] } } });
  assert.equal(finalized.status, 200, finalized.text);
  assert.equal((await h.call("GET", `${NS}/going`)).status, 404);
  await h.create(NS, { metadata: { name: "going" } });
});

test("system namespaces may not be deleted", async () => {
  const answer = await h.call("DELETE", "/api/v1/namespaces/kube-system");
  assert.equal(answer.status, 403);
  assert.equal(answer.body.message, 'namespaces "kube-system" is forbidden: this namespace may not be deleted');
});

test("eviction respects the disruption budget", async () => {
  await h.create(PODS, pod("evict", { nodeName: "n1" }, { labels: { app: "evict" } }));
  const status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
  const merge = { "content-type": "application/merge-patch+json" };
  await h.call("PATCH", `${PODS}/evict/status`, { body: { status }, headers: merge });
  const PDBS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
  await h.create(PDBS, {
    metadata: { name: "b" },
    spec: { minAvailable: 1, selector: { matchLabels: { app: "evict" } } },
  });
  const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "evict" } };
  const early = await h.call("POST", `${PODS}/evict/eviction`, { body });
  assert.equal(early.status, 429, early.text);
  const update = (disruptionsAllowed: number) => ({
    status: { observedGeneration: 1, disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
  });
  await h.call("PATCH", `${PDBS}/b/status`, { body: update(0), headers: merge });
  const blocked = await h.call("POST", `${PODS}/evict/eviction`, { body });
  assert.equal(blocked.status, 429);
  assert.equal(blocked.body.reason, "TooManyRequests");
  assert.equal(blocked.body.details.causes[0].reason, "DisruptionBudget");
  assert.equal(
    blocked.body.details.causes[0].message,
    "The disruption budget b needs 1 healthy pods and has 1 currently",
  );
  await h.call("PATCH", `${PDBS}/b/status`, { body: update(1), headers: merge });
  const evicted = await h.call("POST", `${PODS}/evict/eviction`, { body });
  assert.equal(evicted.status, 201, evicted.text);
  const left = (await h.call("GET", `${PODS}/evict`)).body;
  assert.ok(left.metadata.deletionTimestamp);
  assert.equal(left.status.conditions.find((c: Json) => c.type === "DisruptionTarget").reason, "EvictionByEvictionAPI");
  assert.equal((await h.call("GET", `${PDBS}/b`)).body.status.disruptionsAllowed, 0);
});

const UNHEALTHY: readonly { name: string; policy?: string; current: number; ready: boolean; want: number }[] = [
  { name: "by default stays while the budget is not met", current: 0, ready: false, want: 429 },
  { name: "by default goes while the budget is met without it", current: 1, ready: false, want: 201 },
  {
    name: "under IfHealthyBudget stays while it is not met",
    policy: "IfHealthyBudget",
    current: 0,
    ready: false,
    want: 429,
  },
  { name: "under AlwaysAllow goes in any case", policy: "AlwaysAllow", current: 0, ready: false, want: 201 },
  { name: "that is ready stays even under AlwaysAllow", policy: "AlwaysAllow", current: 1, ready: true, want: 429 },
];
for (const [index, { name, policy, current, ready, want }] of UNHEALTHY.entries()) {
  test(`eviction: a pod ${name}`, async () => {
    const app = `unhealthy-${index}`;
    const merge = { "content-type": "application/merge-patch+json" };
    const PDBS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    await h.create(PODS, pod(app, { nodeName: "n1" }, { labels: { app } }));
    const status = { phase: "Running", conditions: [{ type: "Ready", status: ready ? "True" : "False" }] };
    await h.call("PATCH", `${PODS}/${app}/status`, { body: { status }, headers: merge });
    await h.create(PDBS, {
      metadata: { name: app },
      spec: {
        minAvailable: 1,
        selector: { matchLabels: { app } },
        ...(policy === undefined ? {} : { unhealthyPodEvictionPolicy: policy }),
      },
    });
    const counted = { currentHealthy: current, desiredHealthy: 1, expectedPods: 1, disruptionsAllowed: 0 };
    const body = { status: { observedGeneration: 1, ...counted } };
    await h.call("PATCH", `${PDBS}/${app}/status`, { body, headers: merge });
    const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: app } };
    const answer = await h.call("POST", `${PODS}/${app}/eviction`, { body: eviction });
    assert.equal(answer.status, want, answer.text);
    // An unhealthy pod takes nothing from the budget.
    assert.equal((await h.call("GET", `${PDBS}/${app}`)).body.status.disruptionsAllowed, 0);
  });
}

test("DELETE answers with the object or with a Status, kind by kind as upstream does", async () => {
  const storage = "/apis/storage.k8s.io/v1";
  const claim = { devices: { requests: [{ name: "r", exactly: { deviceClassName: "d" } }] } };
  const rows: readonly [string, object, string][] = [
    ["/apis/resource.k8s.io/v1/deviceclasses", { kind: "DeviceClass", spec: {} }, "DeviceClass"],
    [
      "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims",
      { kind: "ResourceClaim", spec: claim },
      "ResourceClaim",
    ],
    [
      "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates",
      { kind: "ResourceClaimTemplate", spec: { spec: claim } },
      "ResourceClaimTemplate",
    ],
    [
      `${storage}/volumeattributesclasses`,
      { kind: "VolumeAttributesClass", driverName: "d", parameters: { a: "b" } },
      "VolumeAttributesClass",
    ],
    [
      `${storage}/namespaces/default/csistoragecapacities`,
      { kind: "CSIStorageCapacity", storageClassName: "s" },
      "Status",
    ],
    ["/api/v1/namespaces/default/serviceaccounts", { kind: "ServiceAccount" }, "ServiceAccount"],
    ["/api/v1/namespaces/default/configmaps", { kind: "ConfigMap" }, "Status"],
  ];
  for (const [path, body, want] of rows) {
    await h.create(path, { ...body, metadata: { name: "answered" } });
    const answer = await h.call("DELETE", `${path}/answered`);
    assert.deepEqual([answer.status, answer.body.kind], [200, want], path);
  }
});
