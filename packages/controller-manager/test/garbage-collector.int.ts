import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { apps, core, rbac } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client, PropagationPolicy } from "@knarr/client/client.ts";
import type { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

const MANAGER_ARGS = ["--leader-elect=false", "--concurrent-gc-syncs=5"];
const FOREGROUND = "foregroundDeletion";

let harness: Harness;
let client: Client;
let manager: ChildDaemon;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  manager = await harness.startManager(MANAGER_ARGS);
});
after(() => harness.stop());

type Reference = OwnerReference | ConfigMap;

function referenceTo(owner: Reference, more: Partial<OwnerReference> = {}): OwnerReference {
  if (!("metadata" in owner)) return { ...owner, ...more };
  const { name = "", uid = "" } = owner.metadata;
  return { apiVersion: "v1", kind: "ConfigMap", name, uid, ...more };
}

function make(namespace: string, name: string, owners: readonly Reference[] = [], finalizers: string[] = []) {
  const ownerReferences = owners.map((owner) => referenceTo(owner));
  const metadata = { namespace, name, ownerReferences, finalizers };
  return client.create<ConfigMap>(core.configmaps, { apiVersion: "v1", kind: "ConfigMap", metadata });
}

async function find(namespace: string, name: string): Promise<ConfigMap | undefined> {
  try {
    return await client.get(core.configmaps, { namespace, name });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

const remove = (namespace: string, name: string, propagationPolicy: PropagationPolicy = "Background") =>
  client.delete(core.configmaps, { namespace, name }, { propagationPolicy });

const setOwners = (namespace: string, name: string, ownerReferences: readonly OwnerReference[]) =>
  client.patch(core.configmaps, { namespace, name }, { type: "merge", body: { metadata: { ownerReferences } } });

const dropFinalizers = (namespace: string, name: string) =>
  client.patch(core.configmaps, { namespace, name }, { type: "merge", body: { metadata: { finalizers: null } } });

const gone = (namespace: string, ...names: string[]) =>
  eventually(`${names} of ${namespace} are gone`, async () => {
    for (const name of names) if ((await find(namespace, name)) !== undefined) return false;
    return true;
  });

/** Waits until the collector has dealt with something that came after what matters: then it has seen that, too. */
async function collectorHasPassed(namespace: string): Promise<void> {
  const absent = { apiVersion: "v1", kind: "ConfigMap", name: "never", uid: crypto.randomUUID() };
  const name = `canary-${absent.uid}`;
  await make(namespace, name, [absent]);
  await gone(namespace, name);
}

test("dependents of a vanished owner go, level by level, and nobody else", async () => {
  const namespace = await makeNamespace(client, "background");
  const root = await make(namespace, "root");
  const child = await make(namespace, "child", [root]);
  await make(namespace, "grandchild", [child]);
  await make(namespace, "stranger");
  await remove(namespace, "root");
  await gone(namespace, "root", "child", "grandchild");
  assert.ok(await find(namespace, "stranger"));
});

test("a dependent with another owner stays and loses the reference to the one that went", async () => {
  const namespace = await makeNamespace(client, "two-owners");
  const [going, staying] = [await make(namespace, "going"), await make(namespace, "staying")];
  await make(namespace, "dependent", [going, staying]);
  await remove(namespace, "going");
  const references = await eventually("one reference", async () => {
    const left = (await find(namespace, "dependent"))?.metadata.ownerReferences ?? [];
    return left.length === 1 ? left : undefined;
  });
  assert.deepEqual(references, [referenceTo(staying)]);
});

test("an owner deleted in the foreground waits for the dependents that block it, and for no others", async () => {
  const namespace = await makeNamespace(client, "foreground");
  const root = await make(namespace, "root");
  const blocking = referenceTo(root, { blockOwnerDeletion: true });
  await make(namespace, "blocks", [blocking], ["example.com/hold"]);
  await make(namespace, "blocks-not", [root], ["example.com/hold"]);
  await make(namespace, "free", [blocking]);
  await remove(namespace, "root", "Foreground");
  await gone(namespace, "free");
  await eventually("all are going", async () => {
    const objects = await Promise.all(["root", "blocks", "blocks-not"].map((name) => find(namespace, name)));
    return objects.every((one) => one?.metadata.deletionTimestamp !== undefined);
  });
  await collectorHasPassed(namespace);
  assert.deepEqual((await find(namespace, "root"))?.metadata.finalizers, [FOREGROUND]);
  await dropFinalizers(namespace, "blocks");
  await gone(namespace, "blocks", "root");
  assert.ok(await find(namespace, "blocks-not"));
  await dropFinalizers(namespace, "blocks-not");
});

test("dependents of dependents are deleted in the foreground, too", async () => {
  const namespace = await makeNamespace(client, "foreground-chain");
  const block = { blockOwnerDeletion: true };
  const root = await make(namespace, "root");
  const child = await make(namespace, "child", [referenceTo(root, block)]);
  await make(namespace, "grandchild", [referenceTo(child, block)], ["example.com/hold"]);
  await collectorHasPassed(namespace);
  await remove(namespace, "root", "Foreground");
  await eventually("the whole chain is going", async () => {
    const objects = await Promise.all(["root", "child", "grandchild"].map((name) => find(namespace, name)));
    return objects.every((one) => one?.metadata.deletionTimestamp !== undefined);
  });
  await collectorHasPassed(namespace);
  for (const name of ["root", "child"]) {
    assert.deepEqual((await find(namespace, name))?.metadata.finalizers, [FOREGROUND], name);
  }
  await dropFinalizers(namespace, "grandchild");
  await gone(namespace, "root", "child", "grandchild");
});

test("a dependent that stops blocking lets its owner go", async () => {
  const namespace = await makeNamespace(client, "unblocked");
  const root = await make(namespace, "root");
  await make(namespace, "blocks", [referenceTo(root, { blockOwnerDeletion: true })], ["example.com/hold"]);
  await remove(namespace, "root", "Foreground");
  await eventually("the dependent is going", async () => {
    return (await find(namespace, "blocks"))?.metadata.deletionTimestamp !== undefined;
  });
  await setOwners(namespace, "blocks", [referenceTo(root, { blockOwnerDeletion: false })]);
  await gone(namespace, "root");
  await dropFinalizers(namespace, "blocks");
});

test("an owner deleted with orphans leaves its dependents without the reference", async () => {
  const namespace = await makeNamespace(client, "orphans");
  const root = await make(namespace, "root");
  const other = await make(namespace, "other");
  const names = Array.from({ length: 20 }, (_, i) => `dependent-${i}`);
  for (const name of names) await make(namespace, name, [root, other]);
  const child = await find(namespace, "dependent-0");
  await make(namespace, "grandchild", [child as ConfigMap]);
  await collectorHasPassed(namespace);
  await remove(namespace, "root", "Orphan");
  await gone(namespace, "root");
  for (const name of names) {
    assert.deepEqual((await find(namespace, name))?.metadata.ownerReferences, [referenceTo(other)]);
  }
  await collectorHasPassed(namespace);
  assert.ok(await find(namespace, "grandchild"));
});

test("a cluster-scoped owner takes its dependents of all namespaces along", async () => {
  const namespaces = [await makeNamespace(client, "scoped-a"), await makeNamespace(client, "scoped-b")];
  const role = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name: "owner" } };
  const { metadata } = await client.create(rbac.clusterroles, role);
  const reference = { apiVersion: role.apiVersion, kind: role.kind, name: "owner", uid: metadata.uid ?? "" };
  for (const namespace of namespaces) await make(namespace, "dependent", [reference]);
  for (const namespace of namespaces) await collectorHasPassed(namespace);
  for (const namespace of namespaces) assert.ok(await find(namespace, "dependent"));
  await client.delete(rbac.clusterroles, { namespace: "", name: "owner" });
  for (const namespace of namespaces) await gone(namespace, "dependent");
});

test("an owner in another namespace counts as absent, with a warning, and its own dependents stay", async () => {
  const [home, abroad] = [await makeNamespace(client, "home"), await makeNamespace(client, "abroad")];
  const owner = await make(home, "owner");
  await make(home, "rightful", [owner]);
  const foreign = await make(abroad, "foreign", [owner]);
  await gone(abroad, "foreign");
  const event = await eventually("the warning", async () => {
    const { items } = await client.list(core.events, { namespace: abroad });
    return items.find(({ reason }) => reason === "OwnerRefInvalidNamespace");
  });
  const { uid } = owner.metadata;
  assert.equal(
    event.message,
    `ownerRef [v1/ConfigMap, namespace: abroad, name: owner, uid: ${uid}] does not exist in namespace "abroad"`,
  );
  assert.deepEqual(
    [event.type, event.involvedObject.name, event.involvedObject.uid],
    ["Warning", "foreign", foreign.metadata.uid],
  );
  await collectorHasPassed(home);
  assert.ok(await find(home, "rightful"));
});

test("an owner of the same name with another uid is another owner", async () => {
  const namespace = await makeNamespace(client, "uids");
  const first = await make(namespace, "owner");
  await remove(namespace, "owner");
  const second = await make(namespace, "owner");
  await make(namespace, "of-first", [first]);
  await make(namespace, "of-second", [second]);
  await gone(namespace, "of-first");
  assert.ok(await find(namespace, "of-second"));
});

test("what can't be judged stays: unknown kinds, namespaced owners of cluster-scoped objects", async () => {
  const namespace = await makeNamespace(client, "unjudged");
  const uid = crypto.randomUUID();
  await make(namespace, "unknown-kind", [{ apiVersion: "example.com/v1", kind: "Ship", name: "knarr", uid }]);
  const metadata = {
    name: "unjudged",
    ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: "x", uid: crypto.randomUUID() }],
  };
  await client.create(rbac.clusterroles, { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata });
  await collectorHasPassed(namespace);
  assert.ok(await find(namespace, "unknown-kind"));
  assert.ok(await client.get(rbac.clusterroles, { namespace: "", name: "unjudged" }));
});

test("objects that own each other, or themselves, can be deleted in the foreground", async () => {
  const namespace = await makeNamespace(client, "cycles");
  const block = { blockOwnerDeletion: true };
  const [a, b, self] = [await make(namespace, "a"), await make(namespace, "b"), await make(namespace, "self")];
  await setOwners(namespace, "a", [referenceTo(b, block)]);
  await setOwners(namespace, "b", [referenceTo(a, block)]);
  await setOwners(namespace, "self", [referenceTo(self, block)]);
  await collectorHasPassed(namespace);
  await remove(namespace, "a", "Foreground");
  await remove(namespace, "self", "Foreground");
  await gone(namespace, "a", "b", "self");
});

test("a collector that starts finds what happened without it, and believes no wrong description of an owner", async () => {
  const namespace = await makeNamespace(client, "restart");
  await manager.kill();
  const [dead, alive] = [await make(namespace, "dead"), await make(namespace, "alive")];
  await make(namespace, "of-dead", [dead]);
  await remove(namespace, "dead");
  // Named so that it is listed, and its owner asked for, before the others.
  await make(namespace, "a-liar", [referenceTo(alive, { name: "no-such-name" })]);
  for (const name of ["b-honest", "c-honest"]) await make(namespace, name, [alive]);
  const orphaning = await make(namespace, "orphaning");
  await make(namespace, "to-orphan", [orphaning]);
  await remove(namespace, "orphaning", "Orphan");
  manager = await harness.startManager(MANAGER_ARGS);
  await gone(namespace, "of-dead", "a-liar", "orphaning");
  await collectorHasPassed(namespace);
  for (const name of ["alive", "b-honest", "c-honest"]) assert.ok(await find(namespace, name), name);
  assert.deepEqual((await find(namespace, "to-orphan"))?.metadata.ownerReferences ?? [], []);
  // Known since they were told of before their owner came by.
  await remove(namespace, "alive");
  await gone(namespace, "b-honest", "c-honest");
});

for (const policy of ["Background", "Foreground", "Orphan"] as const) {
  test(`a Deployment deleted in the ${policy} way ${policy === "Orphan" ? "leaves" : "takes along"} ReplicaSet and pods`, async () => {
    const namespace = await makeNamespace(client, `deployment-${policy.toLowerCase()}`);
    const labels = { app: "web" };
    const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "v1" }] } };
    const spec = { replicas: 2, selector: { matchLabels: labels }, template };
    const metadata = { namespace, name: "web" };
    await client.create(apps.deployments, { apiVersion: "apps/v1", kind: "Deployment", metadata, spec });
    const count = async () => [
      (await client.list(apps.deployments, { namespace })).items.length,
      (await client.list(apps.replicasets, { namespace })).items.length,
      (await client.list(core.pods, { namespace })).items.length,
    ];
    await eventually("two pods", async () => (await count()).join() === "1,1,2");
    await client.delete(apps.deployments, { namespace, name: "web" }, { propagationPolicy: policy });
    const want = policy === "Orphan" ? "0,1,2" : "0,0,0";
    await eventually(`${want} are left`, async () => (await count()).join() === want);
    await collectorHasPassed(namespace);
    assert.equal((await count()).join(), want);
    const [set] = (await client.list(apps.replicasets, { namespace })).items;
    assert.equal(set?.metadata.ownerReferences, undefined);
  });
}
