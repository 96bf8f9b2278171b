import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core, resource } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager(["--leader-elect=false"]);
});
after(() => harness.stop());

test("a pod gets the claim that its template describes; it is freed and removed when the pod has ended", async () => {
  const namespace = await makeNamespace(client, "claims");
  const devices = { requests: [{ name: "r", exactly: { deviceClassName: "gpu.example.com" } }] };
  const pod = { namespace, name: "p" };
  await client.create(core.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: pod,
    spec: {
      containers: [{ name: "c", image: "i", resources: { claims: [{ name: "gpu" }] } }],
      resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "gpus" }],
    },
  });
  await eventually("an event says that there is no template", async () => {
    const { items } = await client.list(core.events, { namespace });
    return items.some(({ reason }) => reason === "FailedResourceClaimCreation");
  });
  await client.create(resource.resourceclaimtemplates, {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaimTemplate",
    metadata: { namespace, name: "gpus" },
    spec: { spec: { devices } },
  });
  const name = await eventually("the pod's status names the claim", async () => {
    const { status } = await client.get(core.pods, pod);
    return status?.resourceClaimStatuses?.[0]?.resourceClaimName;
  });
  const key = { namespace, name };
  const claim = await client.get(resource.resourceclaims, key);
  assert.match(name, /^p-gpu-/);
  assert.equal(claim.metadata.ownerReferences?.[0]?.name, "p");
  const { metadata } = await client.get(core.pods, pod);
  // The scheduler's part.
  const finalizers = ["resource.kubernetes.io/delete-protection"];
  const held = await client.update(resource.resourceclaims, { ...claim, metadata: { ...claim.metadata, finalizers } });
  const results = [{ request: "r", driver: "gpu.example.com", pool: "n1", device: "gpu-0" }];
  const reservedFor = [{ resource: "pods", name: "p", uid: metadata.uid ?? "" }];
  const status = { allocation: { devices: { results } }, reservedFor };
  await client.update(resource.resourceclaims, { ...held, status }, { subresource: "status" });
  await client.patch(
    core.pods,
    pod,
    { type: "merge", body: { status: { phase: "Succeeded" } } },
    { subresource: "status" },
  );
  await eventually("the claim is gone", () => client.get(resource.resourceclaims, key).then(() => false, isNotFound));
  const { items } = await client.list(resource.resourceclaims, { namespace });
  assert.deepEqual(items, [], "and no other was made");
});

test("a pod that was given its node by hand is entered into the claim that it names, and taken out when it goes", async () => {
  const namespace = await makeNamespace(client, "by-hand");
  const devices = { requests: [{ name: "r", exactly: { deviceClassName: "gpu.example.com" } }] };
  const key = { namespace, name: "shared" };
  const claim = await client.create(resource.resourceclaims, {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: key,
    spec: { devices },
  });
  const results = [{ request: "r", driver: "gpu.example.com", pool: "n1", device: "gpu-1" }];
  const status = { allocation: { devices: { results } } };
  await client.update(resource.resourceclaims, { ...claim, status }, { subresource: "status" });
  const pod = { namespace, name: "p" };
  await client.create(core.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: pod,
    spec: {
      nodeName: "n1",
      containers: [{ name: "c", image: "i", resources: { claims: [{ name: "gpu" }] } }],
      resourceClaims: [{ name: "gpu", resourceClaimName: "shared" }],
    },
  });
  const holders = async () => (await client.get(resource.resourceclaims, key)).status?.reservedFor ?? [];
  await eventually("the pod holds it", async () => (await holders())[0]?.name === "p");
  await client.delete(core.pods, pod, { gracePeriodSeconds: 0 });
  await eventually("nobody holds it", async () => (await holders()).length === 0);
});
