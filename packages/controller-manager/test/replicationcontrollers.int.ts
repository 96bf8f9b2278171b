import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
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

test("a ReplicationController keeps its pods, and only those it selects", async () => {
  const namespace = await makeNamespace(client, "rc");
  const labels = { app: "old" };
  const key = { namespace, name: "old" };
  await client.create(core.replicationcontrollers, {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata: key,
    spec: { replicas: 2, template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } } },
  });
  const ready = (count: number) =>
    eventually(`${count} ready`, async () => {
      const { status } = await client.get(core.replicationcontrollers, key);
      return status?.readyReplicas === count && status.replicas === count ? status : undefined;
    });
  const status = await ready(2);
  assert.deepEqual([status.availableReplicas, status.fullyLabeledReplicas], [2, 2]);
  const [pod] = (await client.list(core.pods, { namespace })).items;
  const [owner] = pod?.metadata.ownerReferences ?? [];
  assert.deepEqual([owner?.apiVersion, owner?.kind, owner?.name], ["v1", "ReplicationController", "old"]);
  await client.delete(core.pods, { namespace, name: pod?.metadata.name ?? "" });
  await eventually("another takes its place", async () => {
    const { items } = await client.list(core.pods, { namespace });
    return items.length === 2 && items.every(({ metadata }) => metadata.uid !== pod?.metadata.uid);
  });
  await client.patch(core.replicationcontrollers, key, { type: "merge", body: { spec: { replicas: 5 } } });
  await ready(5);
  await client.patch(core.replicationcontrollers, key, { type: "merge", body: { spec: { replicas: 1 } } });
  await ready(1);
  await eventually("events", async () => {
    const told = (await client.list(core.events, { namespace })).items.map(({ reason }) => reason);
    return told.includes("SuccessfulCreate") && told.includes("SuccessfulDelete");
  });
});
