import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { apps, core } from "@knarr/api/generated/resources.ts";
import type { StatefulSet, StatefulSetSpec } from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, runBinder, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;
const stop = new AbortController();

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager();
  await harness.addNode("node-a");
  void runBinder(client, ["node-a"], stop.signal);
});
after(async () => {
  stop.abort();
  await harness.stop();
});

const labels = { app: "web" };
async function create(namespace: string, spec: Partial<StatefulSetSpec> = {}): Promise<void> {
  await client.create(apps.statefulsets, {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { namespace, name: "web" },
    spec: {
      replicas: 3,
      serviceName: "web",
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "v1" }] } },
      ...spec,
    },
  });
}
const get = (namespace: string): Promise<StatefulSet> => client.get(apps.statefulsets, { namespace, name: "web" });
const patch = (namespace: string, spec: object) =>
  client.patch(apps.statefulsets, { namespace, name: "web" }, { type: "strategic", body: { spec } });
const setImage = (image: string) => ({ template: { spec: { containers: [{ name: "c", image }] } } });
const podsOf = async (namespace: string): Promise<Pod[]> =>
  (await client.list(core.pods, { namespace })).items.sort((a, b) =>
    `${a.metadata.name}` < `${b.metadata.name}` ? -1 : 1,
  );
const imagesOf = async (namespace: string) =>
  (await podsOf(namespace)).map(({ metadata, spec }) => `${metadata.name} ${spec?.containers[0]?.image}`);
const settled = (namespace: string, replicas: number) =>
  eventually(`${replicas} are ready in ${namespace}`, async () => {
    const set = await get(namespace);
    const { status } = set;
    const counts = [status?.replicas, status?.readyReplicas ?? 0, status?.availableReplicas];
    const done = status?.observedGeneration === set.metadata.generation && counts.every((n) => n === replicas);
    return done ? set : undefined;
  });
const revisions = async (namespace: string) =>
  (await client.list(apps.controllerrevisions, { namespace })).items.sort((a, b) => a.revision - b.revision);

test("pods come one after the other, with names, labels, claims and events of their own", async () => {
  const namespace = await makeNamespace(client, "ordered");
  const storage = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  await create(namespace, { volumeClaimTemplates: [{ metadata: { name: "www" }, spec: storage }] });
  const set = await settled(namespace, 3);
  const pods = await podsOf(namespace);
  assert.deepEqual(
    pods.map(({ metadata }) => metadata.name),
    ["web-0", "web-1", "web-2"],
  );
  const created = pods.map(({ metadata, status }) => [metadata.creationTimestamp ?? "", status?.startTime ?? ""]);
  for (const i of [1, 2]) assert.ok((created[i]?.[0] ?? "") >= (created[i - 1]?.[1] ?? ""), JSON.stringify(created));
  const [first] = pods;
  assert.deepEqual(first?.metadata.labels, {
    app: "web",
    "apps.kubernetes.io/pod-index": "0",
    "controller-revision-hash": set.status?.updateRevision,
    "statefulset.kubernetes.io/pod-name": "web-0",
  });
  assert.deepEqual([first?.spec?.hostname, first?.spec?.subdomain], ["web-0", "web"]);
  assert.equal(first?.spec?.volumes?.find(({ name }) => name === "www")?.persistentVolumeClaim?.claimName, "www-web-0");
  const claims = (await client.list(core.persistentvolumeclaims, { namespace })).items;
  assert.deepEqual(claims.map(({ metadata }) => metadata.name).sort(), ["www-web-0", "www-web-1", "www-web-2"]);
  assert.deepEqual(set.status?.currentRevision, set.status?.updateRevision);
  assert.deepEqual([set.status?.currentReplicas, set.status?.updatedReplicas, set.status?.collisionCount], [3, 3, 0]);
  await eventually("events", async () => {
    const told = (await client.list(core.events, { namespace })).items.map(
      ({ reason, message }) => `${reason} ${message}`,
    );
    return (
      told.includes("SuccessfulCreate create Pod web-2 in StatefulSet web successful") &&
      told.includes("SuccessfulCreate create Claim www-web-1 Pod web-1 in StatefulSet web success")
    );
  });
});

test("an update goes from the highest ordinal down, stops at the partition, and can be undone", async () => {
  const namespace = await makeNamespace(client, "update");
  await create(namespace, { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } } });
  await settled(namespace, 3);
  await patch(namespace, setImage("v2"));
  await eventually("web-2 is new", async () => (await imagesOf(namespace)).includes("web-2 v2"));
  const half = await eventually("one of three is updated and ready", async () => {
    const { status } = await get(namespace);
    return status?.updatedReplicas === 1 && status.readyReplicas === 3 ? status : undefined;
  });
  assert.notEqual(half.currentRevision, half.updateRevision);
  assert.deepEqual(await imagesOf(namespace), ["web-0 v1", "web-1 v1", "web-2 v2"]);
  const { uid } = (await client.get(core.pods, { namespace, name: "web-0" })).metadata;
  await client.delete(core.pods, { namespace, name: "web-0" });
  await eventually("web-0 is back", async () => {
    const again = await client.get(core.pods, { namespace, name: "web-0" });
    return again.metadata.uid !== uid && again.status?.phase === "Running";
  });
  assert.ok((await imagesOf(namespace)).includes("web-0 v1"));
  await patch(namespace, { updateStrategy: { rollingUpdate: { partition: 0 } } });
  await eventually("all are new", async () => {
    const { status } = await get(namespace);
    return status?.updatedReplicas === 3 && status.currentRevision === status.updateRevision;
  });
  const before = await revisions(namespace);
  assert.deepEqual(
    before.map(({ revision }) => revision),
    [1, 2],
  );
  assert.deepEqual(Object.keys(before[0]?.data ?? {}), ["spec"]);
  await patch(namespace, setImage("v1"));
  await eventually("all are old again", async () => {
    const images = await imagesOf(namespace);
    return images.length === 3 && images.every((image) => image.endsWith("v1"));
  });
  const after = await revisions(namespace);
  assert.deepEqual(
    after.map(({ metadata, revision }) => [metadata.name, revision]),
    [
      [before[1]?.metadata.name, 2],
      [before[0]?.metadata.name, 3],
    ],
  );
});

test("Parallel makes all at once, scales down at once, and two may be updated at a time", async () => {
  const namespace = await makeNamespace(client, "parallel");
  await create(namespace, {
    replicas: 5,
    podManagementPolicy: "Parallel",
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 2 } },
    revisionHistoryLimit: 1,
  });
  await settled(namespace, 5);
  for (const image of ["v2", "v3", "v4"]) {
    await patch(namespace, setImage(image));
    await eventually(`all are ${image}`, async () => {
      const { status, metadata } = await get(namespace);
      const fresh = status?.observedGeneration === metadata.generation;
      return fresh && status?.updatedReplicas === 5 && status.readyReplicas === 5;
    });
  }
  await eventually("the history is short", async () => (await revisions(namespace)).length === 2);
  await patch(namespace, { replicas: 1 });
  await settled(namespace, 1);
  assert.deepEqual(await imagesOf(namespace), ["web-0 v4"]);
});

test("claims go with the scaled pod and with the set, as the retention policy says", async () => {
  const namespace = await makeNamespace(client, "retention");
  const storage = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  await create(namespace, {
    replicas: 2,
    persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Delete" },
    volumeClaimTemplates: [{ metadata: { name: "www" }, spec: storage }],
  });
  await settled(namespace, 2);
  const claims = async () => (await client.list(core.persistentvolumeclaims, { namespace })).items;
  for (const claim of await claims()) assert.equal(claim.metadata.ownerReferences?.[0]?.kind, "StatefulSet");
  await patch(namespace, { replicas: 1 });
  await eventually("the claim of web-1 is gone", async () => {
    const names = (await claims()).map(({ metadata }) => metadata.name);
    return names.length === 1 && names[0] === "www-web-0";
  });
  await client.delete(apps.statefulsets, { namespace, name: "web" });
  await eventually("all is gone", async () => {
    const gone = await get(namespace).then(() => false, isNotFound);
    return gone && (await claims()).length === 0 && (await podsOf(namespace)).length === 0;
  });
});

test("a failed pod is made anew, an orphan of its name adopted, an OnDelete set updated by hand", async () => {
  const namespace = await makeNamespace(client, "misc");
  await client.create(core.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name: "web-0", labels },
    spec: { containers: [{ name: "c", image: "v0" }] },
  });
  await create(namespace, { replicas: 2, updateStrategy: { type: "OnDelete" } });
  await settled(namespace, 2);
  assert.deepEqual(await imagesOf(namespace), ["web-0 v0", "web-1 v1"]);
  await patch(namespace, setImage("v2"));
  await client.patch(
    core.pods,
    { namespace, name: "web-1" },
    { type: "merge", body: { status: { phase: "Failed" } } },
    { subresource: "status" },
  );
  await eventually("web-1 is new", async () => (await imagesOf(namespace)).includes("web-1 v2"));
  await settled(namespace, 2);
  assert.deepEqual(await imagesOf(namespace), ["web-0 v0", "web-1 v2"]);
  await eventually("the event", async () =>
    (await client.list(core.events, { namespace })).items.some(({ reason }) => reason === "RecreatingFailedPod"),
  );
});
