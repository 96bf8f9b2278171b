/** The controllers that tidy up and keep small things right: pod garbage, service ranges, nodes' cache times. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core, networking } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;
let namespace = "";

const cidr = (name: string, range: string) =>
  client.create(networking.servicecidrs, {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name },
    spec: { cidrs: [range] },
  });
const getCidr = (name: string) => client.get(networking.servicecidrs, { namespace: "", name });
const isGone = (name: string) => getCidr(name).then(() => false, isNotFound);

async function endedPod(name: string, phase: string): Promise<void> {
  const metadata = { namespace, name };
  const spec = { nodeName: "node-a", containers: [{ name: "c", image: "i" }] };
  await client.create(core.pods, { apiVersion: "v1", kind: "Pod", metadata, spec } as Pod);
  await client.patch(core.pods, metadata, { type: "merge", body: { status: { phase } } }, { subresource: "status" });
}

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager(["--terminated-pod-gc-threshold=2"]);
  namespace = await makeNamespace(client, "ended");
});
after(() => harness.stop());

test("ended pods over the threshold go, the oldest first; running ones stay", async () => {
  for (const [name, phase] of [
    ["first", "Failed"],
    ["second", "Succeeded"],
  ] as const) {
    await endedPod(name, phase);
  }
  await harness.addNode("node-b");
  const spec = { nodeName: "node-b", containers: [{ name: "c", image: "i" }] };
  await client.create(core.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name: "alive" },
    spec,
  } as Pod);
  // Creation times are whole seconds: the third is the youngest for sure.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await endedPod("third", "Failed");
  await endedPod("fourth", "Succeeded");
  const check = async () => {
    const { items } = await client.list(core.pods, { namespace });
    return items.length === 3 ? items.map(({ metadata }) => metadata.name).sort() : undefined;
  };
  const left = await eventually("two ended pods are left", check, 90_000);
  assert.deepEqual(left, ["alive", "fourth", "third"]);
});

test("nodes are told how long kubelets may cache", async () => {
  await eventually("the annotation", async () => {
    const node = await client.get(core.nodes, { namespace: "", name: "node-b" });
    return node.metadata.annotations?.["node.alpha.kubernetes.io/ttl"] === "0";
  });
});

test("a range of service addresses is kept while an address in it is used, and goes after it", async () => {
  await cidr("extra", "10.112.0.0/24");
  await cidr("unused", "10.113.0.0/24");
  for (const name of ["extra", "unused"]) {
    await eventually(`${name} is ready and protected`, async () => {
      const { metadata, status } = await getCidr(name);
      const isReady = status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True");
      return isReady && metadata.finalizers?.includes("networking.k8s.io/service-cidr-finalizer");
    });
  }
  const address = { namespace: "", name: "10.112.0.7" };
  await client.create(networking.ipaddresses, {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: { name: address.name },
    spec: { parentRef: { resource: "services", namespace, name: "by-hand" } },
  });
  for (const name of ["extra", "unused"]) await client.delete(networking.servicecidrs, { namespace: "", name });
  await eventually("the unused one is gone", () => isGone("unused"));
  const condition = (await getCidr("extra")).status?.conditions?.find(({ type }) => type === "Ready");
  assert.deepEqual([condition?.status, condition?.reason], ["False", "Terminating"]);
  await client.delete(networking.ipaddresses, address);
  await eventually("the other follows its last address", () => isGone("extra"));
});
