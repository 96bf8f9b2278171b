import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core, events, rbac } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client, PropagationPolicy } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager();
});
after(() => harness.stop());

/** ConfigMaps stand for any object: the collector knows no kinds. */
async function make(namespace: string, name: string, owners: ConfigMap[] = [], more: object = {}): Promise<ConfigMap> {
  const ownerReferences = owners.map(
    ({ metadata }): OwnerReference => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      name: metadata.name ?? "",
      uid: metadata.uid ?? "",
      blockOwnerDeletion: true,
    }),
  );
  const metadata = { namespace, name, ownerReferences, ...more };
  return client.create(core.configmaps, { apiVersion: "v1", kind: "ConfigMap", metadata });
}
const exists = (namespace: string, name: string) =>
  client.get(core.configmaps, { namespace, name }).then(
    () => true,
    (error: unknown) => {
      if (isNotFound(error)) return false;
      throw error;
    },
  );
const gone = (namespace: string, name: string) =>
  eventually(`${name} is gone`, async () => !(await exists(namespace, name)));
const remove = (object: ConfigMap, propagationPolicy: PropagationPolicy) => {
  const { namespace = "", name = "" } = object.metadata;
  return client.delete(core.configmaps, { namespace, name }, { propagationPolicy });
};
/** Waits until the collector has judged everything it knows: it deletes the dependent of an owner that never was. */
async function settled(namespace: string): Promise<void> {
  const absent = { metadata: { name: "never", uid: crypto.randomUUID() } } as ConfigMap;
  await make(namespace, "canary", [absent]);
  await gone(namespace, "canary");
}
const setFinalizers = (namespace: string, name: string, finalizers: string[]) =>
  client.patch(core.configmaps, { namespace, name }, { type: "merge", body: { metadata: { finalizers } } });

test("dependents of dependents go in the background", async () => {
  const namespace = await makeNamespace(client, "background");
  const a = await make(namespace, "a");
  const b = await make(namespace, "b", [a]);
  await make(namespace, "c", [b]);
  await remove(a, "Background");
  await gone(namespace, "c");
});

test("a dependent stays, without the reference, while another owner lives", async () => {
  const namespace = await makeNamespace(client, "two-owners");
  const a = await make(namespace, "a");
  const b = await make(namespace, "b");
  await make(namespace, "c", [a, b]);
  await remove(a, "Background");
  await eventually("the reference goes", async () => {
    const c = await client.get(core.configmaps, { namespace, name: "c" });
    return c.metadata.ownerReferences?.map(({ name }) => name).join() === "b";
  });
});

test("an owner deleted with orphans leaves them without reference", async () => {
  const namespace = await makeNamespace(client, "orphans");
  const a = await make(namespace, "a");
  await make(namespace, "b", [a]);
  await settled(namespace);
  await remove(a, "Orphan");
  await gone(namespace, "a");
  const b = await client.get(core.configmaps, { namespace, name: "b" });
  assert.deepEqual(b.metadata.ownerReferences ?? [], []);
  await settled(namespace);
  assert.ok(await exists(namespace, "b"));
});

test("an owner deleted in the foreground waits for what blocks it", async () => {
  const namespace = await makeNamespace(client, "foreground");
  const a = await make(namespace, "a");
  const b = await make(namespace, "b", [a]);
  await make(namespace, "c", [b], { finalizers: ["example.com/hold"] });
  await settled(namespace);
  await remove(a, "Foreground");
  await eventually("the whole chain is being deleted", async () => {
    const objects = await Promise.all(["a", "b", "c"].map((name) => client.get(core.configmaps, { namespace, name })));
    return objects.every(({ metadata }) => metadata.deletionTimestamp !== undefined);
  });
  await settled(namespace);
  assert.ok(await exists(namespace, "a"));
  await setFinalizers(namespace, "c", []);
  await gone(namespace, "a");
  assert.equal(await exists(namespace, "b"), false);
});

test("two objects that own each other can be deleted in the foreground", async () => {
  const namespace = await makeNamespace(client, "cycle");
  const a = await make(namespace, "a");
  const b = await make(namespace, "b", [a]);
  const reference = { apiVersion: "v1", kind: "ConfigMap", name: "b", uid: b.metadata.uid, blockOwnerDeletion: true };
  const body = { metadata: { ownerReferences: [reference] } };
  await client.patch(core.configmaps, { namespace, name: "a" }, { type: "merge", body });
  await settled(namespace);
  await remove(a, "Foreground");
  await gone(namespace, "a");
  await gone(namespace, "b");
});

test("an owner of the same name with another uid is not the owner", async () => {
  const namespace = await makeNamespace(client, "uids");
  await make(namespace, "a");
  const impostor = { metadata: { name: "a", uid: crypto.randomUUID() } } as ConfigMap;
  await make(namespace, "b", [impostor]);
  await gone(namespace, "b");
  assert.ok(await exists(namespace, "a"));
});

test("an owner in another namespace counts as absent, and an event says so", async () => {
  const namespace = await makeNamespace(client, "here");
  const other = await makeNamespace(client, "there");
  const owner = await make(other, "a");
  await settled(other);
  await make(namespace, "b", [owner]);
  await gone(namespace, "b");
  await eventually("the event", async () => {
    const { items } = await client.list(events.events, { namespace });
    return items.some(({ reason }) => reason === "OwnerRefInvalidNamespace");
  });
});

test("a cluster-scoped owner is the owner of objects in any namespace", async () => {
  const namespace = await makeNamespace(client, "scoped");
  const role = await client.create(rbac.clusterroles, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "gc-owner" },
    rules: [],
  });
  const ownerReferences = [
    { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", name: "gc-owner", uid: role.metadata.uid },
  ];
  await make(namespace, "b", [], { ownerReferences });
  await settled(namespace);
  assert.ok(await exists(namespace, "b"));
  await client.delete(rbac.clusterroles, { namespace: "", name: "gc-owner" });
  await gone(namespace, "b");
});

test("an owner of a kind that nobody knows keeps its dependents", async () => {
  const namespace = await makeNamespace(client, "unknown");
  const ownerReferences = [{ apiVersion: "example.com/v1", kind: "Thing", name: "t", uid: crypto.randomUUID() }];
  await make(namespace, "b", [], { ownerReferences });
  await settled(namespace);
  assert.ok(await exists(namespace, "b"));
});

test("a namespace is emptied, pods first, and can be made again", async () => {
  const namespace = await makeNamespace(client, "ordered");
  await make(namespace, "data");
  await client.create(core.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name: "held", finalizers: ["example.com/hold"] },
    spec: { containers: [{ name: "c", image: "i" }] },
  });
  await client.delete(core.namespaces, { namespace: "", name: namespace });
  const conditions = await eventually("conditions say what remains", async () => {
    const { status } = await client.get(core.namespaces, { namespace: "", name: namespace });
    const on = (status?.conditions ?? []).filter((c) => c.status === "True");
    return on.length > 0 ? on : undefined;
  });
  const byType = Object.fromEntries(conditions.map(({ type, message }) => [type, message]));
  assert.match(byType.NamespaceContentRemaining ?? "", /pods\. has 1 resource instances/);
  assert.match(byType.NamespaceFinalizersRemaining ?? "", /example\.com\/hold in 1 resource instances/);
  assert.match(byType.NamespaceDeletionContentFailure ?? "", /unexpected items still remain in namespace: ordered/);
  assert.ok(await exists(namespace, "data"), "nothing else goes while a pod remains");
  const body = { metadata: { finalizers: null } };
  await client.patch(core.pods, { namespace, name: "held" }, { type: "merge", body });
  await eventually("the namespace is gone", () =>
    client.get(core.namespaces, { namespace: "", name: namespace }).then(() => false, isNotFound),
  );
  await makeNamespace(client, namespace);
  assert.equal(await exists(namespace, "data"), false);
});
