import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, runBinder, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;
const stop = new AbortController();

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager(["--leader-elect=false"]);
  for (const [name, zone] of [
    ["n1", "a"],
    ["n2", "b"],
  ] as const) {
    await harness.addNode(name);
    const body = { metadata: { labels: { "topology.kubernetes.io/zone": zone } } };
    await client.patch(core.nodes, { namespace: "", name }, { type: "merge", body });
  }
  runBinder(client, ["n1", "n2"], stop.signal).catch(() => {});
});
after(() => {
  stop.abort();
  return harness.stop();
});

const slicesOf = async (namespace: string, name: string) =>
  (await client.list(discovery.endpointslices, { namespace, labelSelector: `kubernetes.io/service-name=${name}` }))
    .items;

test("hand-made Endpoints are mirrored, change with them, and go with them", async () => {
  const namespace = await makeNamespace(client, "mirror");
  const metadata = { namespace, name: "db" };
  const ports = [{ name: "sql", port: 5432, protocol: "TCP" }];
  await client.create(core.services, { apiVersion: "v1", kind: "Service", metadata, spec: { ports } });
  const endpoints = {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata,
    subsets: [{ addresses: [{ ip: "192.0.2.1" }], ports }],
  };
  await client.create(core.endpoints, endpoints);
  const [slice] = await eventually("a mirror", async () => {
    const found = await slicesOf(namespace, "db");
    return found.length === 1 && found;
  });
  assert.equal(
    slice?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"],
    "endpointslicemirroring-controller.k8s.io",
  );
  assert.deepEqual(slice?.endpoints?.[0]?.addresses, ["192.0.2.1"]);
  const body = { subsets: [{ addresses: [{ ip: "192.0.2.2" }], ports }] };
  await client.patch(core.endpoints, metadata, { type: "merge", body });
  await eventually(
    "the mirror follows",
    async () => (await slicesOf(namespace, "db"))[0]?.endpoints?.[0]?.addresses[0] === "192.0.2.2",
  );
  await client.delete(core.endpoints, metadata);
  await eventually("the mirror is gone", async () => (await slicesOf(namespace, "db")).length === 0);
});

test("endpoints are hinted for their zones when the Service prefers close ones, or for all zones when it says Auto", async () => {
  const namespace = await makeNamespace(client, "hints");
  const metadata = { namespace, name: "web" };
  const spec = { selector: { app: "web" }, ports: [{ port: 80 }], trafficDistribution: "PreferClose" };
  await client.create(core.services, { apiVersion: "v1", kind: "Service", metadata, spec });
  for (const i of [1, 2, 3, 4]) {
    const pod = { namespace, name: `web-${i}`, labels: { app: "web" } };
    const containers = [{ name: "c", image: "i" }];
    await client.create(core.pods, { apiVersion: "v1", kind: "Pod", metadata: pod, spec: { containers } });
  }
  const hinted = (what: string) =>
    eventually(what, async () => {
      const all = (await slicesOf(namespace, "web")).flatMap(({ endpoints }) => endpoints ?? []);
      const same = all.every(({ zone, hints }) => zone !== undefined && hints?.forZones?.[0]?.name === zone);
      return all.length === 4 && same;
    });
  await hinted("hints of the zones");
  const body = {
    metadata: { annotations: { "service.kubernetes.io/topology-mode": "Auto" } },
    spec: { trafficDistribution: null },
  };
  await client.patch(core.services, metadata, { type: "merge", body });
  await eventually("an event says so", async () => {
    const { items } = await client.list(core.events, { namespace });
    return items.some(
      ({ reason, message }) =>
        reason === "TopologyAwareHintsEnabled" &&
        message === "Topology Aware Hints has been enabled, addressType: IPv4",
    );
  });
  await hinted("hints of the two equal zones");
});
