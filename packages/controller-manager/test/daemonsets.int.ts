import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { apps, core } from "@knarr/api/generated/resources.ts";
import type { DaemonSet, DaemonSetSpec } from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import { Informer } from "@knarr/client/informer.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;
const stop = new AbortController();

/** What a scheduler does with pods that name their node in a required term. */
async function runDaemonBinder(signal: AbortSignal): Promise<void> {
  const pods = new Informer<Pod>(client, core.pods, { fieldSelector: "spec.nodeName=" });
  pods.subscribe({
    added: ({ metadata, spec }) => {
      const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
      const name = required?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0] ?? "";
      const target = { apiVersion: "v1", kind: "Node", name };
      const key = { namespace: metadata.namespace ?? "", name: metadata.name ?? "" };
      const body = { apiVersion: "v1", kind: "Binding", metadata: { name: metadata.name }, target };
      // Deleted before it was bound.
      client.createSubresource(core.pods, key, "binding", body).catch(() => {});
    },
  });
  await pods.run(signal);
}

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager();
  for (const name of ["node-a", "node-b"]) await harness.addNode(name);
  void runDaemonBinder(stop.signal);
});
after(async () => {
  stop.abort();
  await harness.stop();
});

const labels = { app: "agent" };
const create = (namespace: string, spec: Partial<DaemonSetSpec> = {}): Promise<DaemonSet> =>
  client.create(apps.daemonsets, {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { namespace, name: "agent" },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "v1" }] } },
      ...spec,
    },
  });
const podsOf = async (namespace: string): Promise<Pod[]> => (await client.list(core.pods, { namespace })).items;
const placed = async (namespace: string) =>
  (await podsOf(namespace)).map(({ spec }) => `${spec?.nodeName} ${spec?.containers[0]?.image}`).sort();
const settled = (namespace: string, count: number) =>
  eventually(`${count} daemons are available in ${namespace}`, async () => {
    const set = await client.get(apps.daemonsets, { namespace, name: "agent" });
    const { status } = set;
    const done =
      status?.observedGeneration === set.metadata.generation &&
      status?.desiredNumberScheduled === count &&
      (status.updatedNumberScheduled ?? 0) === count &&
      (status.numberAvailable ?? 0) === count &&
      (await podsOf(namespace)).length === count;
    return done ? set : undefined;
  });
const patch = (namespace: string, spec: object) =>
  client.patch(apps.daemonsets, { namespace, name: "agent" }, { type: "strategic", body: { spec } });
const setImage = (image: string) => ({ template: { spec: { containers: [{ name: "c", image }] } } });

test("every node has its daemon, a new node too, a cordoned one as well", async () => {
  const namespace = await makeNamespace(client, "nodes");
  await create(namespace);
  const set = await settled(namespace, 2);
  assert.deepEqual(await placed(namespace), ["node-a v1", "node-b v1"]);
  assert.deepEqual([set.status?.numberReady, set.status?.numberMisscheduled], [2, 0]);
  await harness.addNode("node-c");
  await settled(namespace, 3);
  const key = { namespace: "", name: "node-c" };
  const taints = (effect: string) => ({ spec: { taints: [{ key: "keep-out", effect }] } });
  await client.patch(core.nodes, key, { type: "merge", body: taints("NoSchedule") });
  await eventually("one is where it should not be, but stays", async () => {
    const { status } = await client.get(apps.daemonsets, { namespace, name: "agent" });
    return status?.numberMisscheduled === 1 && status.desiredNumberScheduled === 2;
  });
  assert.equal((await podsOf(namespace)).length, 3);
  await client.patch(core.nodes, key, { type: "merge", body: taints("NoExecute") });
  await settled(namespace, 2);
  await client.patch(core.nodes, key, { type: "merge", body: { spec: { taints: null, unschedulable: true } } });
  await settled(namespace, 3);
  await client.delete(core.nodes, key);
  // The pod there is the pod garbage collector's, after its quarantine.
  await eventually("two nodes are left", async () => {
    const { status } = await client.get(apps.daemonsets, { namespace, name: "agent" });
    return status?.desiredNumberScheduled === 2 && status.numberReady === 2;
  });
});

test("a rolling update replaces one after the other, keeps revisions, and can be undone", async () => {
  const namespace = await makeNamespace(client, "rolling");
  await create(namespace, { revisionHistoryLimit: 1 });
  await settled(namespace, 2);
  for (const image of ["v2", "v3", "v1"]) {
    await patch(namespace, setImage(image));
    await settled(namespace, 2);
    await eventually(`both run ${image}`, async () => (await placed(namespace)).every((line) => line.endsWith(image)));
  }
  const revisions = await eventually("two revisions are left", async () => {
    const { items } = await client.list(apps.controllerrevisions, { namespace });
    return items.length === 2 ? items : undefined;
  });
  const hashes = revisions.map(({ metadata }) => metadata.labels?.["controller-revision-hash"]);
  const used = new Set((await podsOf(namespace)).map(({ metadata }) => metadata.labels?.["controller-revision-hash"]));
  assert.ok(used.size === 1 && hashes.includes([...used][0]), `${hashes} ${[...used]}`);
});

test("with surge the new daemon is up before the old one goes", async () => {
  const namespace = await makeNamespace(client, "surge");
  const updateStrategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
  await create(namespace, { updateStrategy });
  await settled(namespace, 2);
  const watching = new AbortController();
  const seen = new Set<number>();
  const guard = (async () => {
    while (!watching.signal.aborted) {
      const ready = (await podsOf(namespace)).filter(
        ({ metadata, status }) =>
          metadata.deletionTimestamp === undefined &&
          status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True"),
      );
      seen.add(new Set(ready.map(({ spec }) => spec?.nodeName)).size);
    }
  })();
  await patch(namespace, setImage("v2"));
  await eventually("both are new", async () => (await placed(namespace)).join() === "node-a v2,node-b v2");
  watching.abort();
  await guard;
  assert.deepEqual([...seen], [2]);
});

test("a failed daemon is replaced, an OnDelete set updated by hand", async () => {
  const namespace = await makeNamespace(client, "failed");
  await create(namespace, { updateStrategy: { type: "OnDelete" } });
  await settled(namespace, 2);
  await patch(namespace, setImage("v2"));
  const failing = (await podsOf(namespace)).find(({ spec }) => spec?.nodeName === "node-a");
  const key = { namespace, name: failing?.metadata.name ?? "" };
  await client.patch(
    core.pods,
    key,
    { type: "merge", body: { status: { phase: "Failed" } } },
    { subresource: "status" },
  );
  await eventually("node-a has a new one", async () => (await placed(namespace)).join() === "node-a v2,node-b v1");
  await eventually("the event", async () =>
    (await client.list(core.events, { namespace })).items.some(
      ({ reason, message }) =>
        reason === "FailedDaemonPod" &&
        message === `Found failed daemon pod ${namespace}/${key.name} on node node-a, will try to kill it`,
    ),
  );
});
