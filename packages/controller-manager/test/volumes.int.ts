import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core, storage } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager(["--leader-elect=false", "--pvclaimbinder-sync-period=1s"]);
  await harness.addNode("n1");
});
after(() => harness.stop());

const size = (storage: string) => ({ requests: { storage } });
const makeClaim = (namespace: string, name: string, spec: object) =>
  client.create(core.persistentvolumeclaims, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace, name },
    spec: { accessModes: ["ReadWriteOnce"], resources: size("1Gi"), ...spec },
  });
const makeVolume = (name: string, spec: object) =>
  client.create(core.persistentvolumes, {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/tmp/x" }, ...spec },
  });
const claimPhase = (namespace: string, name: string, phase: string) =>
  eventually(`the claim ${name} is ${phase}`, async () => {
    const claim = await client.get(core.persistentvolumeclaims, { namespace, name });
    return claim.status?.phase === phase && claim;
  });
const volumePhase = (name: string, phase: string) =>
  eventually(`the volume ${name} is ${phase}`, async () => {
    const volume = await client.get(core.persistentvolumes, { namespace: "", name });
    return volume.status?.phase === phase && volume;
  });
const says = (namespace: string, name: string, reason: string) =>
  eventually(`an event ${reason} about ${name}`, async () => {
    const { items } = await client.list(core.events, { namespace });
    return items.find((event) => event.involvedObject.name === name && event.reason === reason);
  });
const usingPod = (namespace: string, name: string, volumes: object[], nodeName?: string) =>
  client.create(core.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, annotations: { "test/never-ready": "" } },
    spec: { containers: [{ name: "c", image: "i" }], volumes, nodeName } as never,
  });

test("a claim is bound to the smallest volume that suits; the volume is released when the claim goes", async () => {
  const namespace = await makeNamespace(client, "static");
  await makeVolume("big", { capacity: { storage: "9Gi" } });
  await makeVolume("small", { capacity: { storage: "2Gi" } });
  await volumePhase("small", "Available");
  await volumePhase("big", "Available");
  await makeClaim(namespace, "data", { storageClassName: "" });
  const claim = await claimPhase(namespace, "data", "Bound");
  assert.equal(claim.spec?.volumeName, "small");
  assert.deepEqual(claim.status?.capacity, { storage: "2Gi" });
  assert.equal(claim.metadata.annotations?.["pv.kubernetes.io/bound-by-controller"], "yes");
  assert.ok(claim.metadata.finalizers?.includes("kubernetes.io/pvc-protection"));
  await usingPod(namespace, "user", [{ name: "v", persistentVolumeClaim: { claimName: "data" } }], "n1");
  await eventually("the pod is seen as a user: the finalizer stays", async () => {
    await client.delete(core.persistentvolumeclaims, { namespace, name: "data" });
    const { metadata } = await client.get(core.persistentvolumeclaims, { namespace, name: "data" });
    return metadata.deletionTimestamp !== undefined;
  });
  await client.delete(core.pods, { namespace, name: "user" }, { gracePeriodSeconds: 0 });
  await eventually("the claim is gone", () =>
    client.get(core.persistentvolumeclaims, { namespace, name: "data" }).then(() => false, isNotFound),
  );
  const volume = await volumePhase("small", "Released");
  assert.equal(volume.spec?.claimRef?.name, "data");
});

test("a claim waits for its first consumer, then for its provisioner, whose volume it gets", async () => {
  const namespace = await makeNamespace(client, "dynamic");
  await client.create(storage.storageclasses, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "late" },
    provisioner: "example.com/disk",
    volumeBindingMode: "WaitForFirstConsumer",
  });
  await makeClaim(namespace, "data", { storageClassName: "late" });
  await says(namespace, "data", "WaitForFirstConsumer");
  const metadata = { annotations: { "volume.kubernetes.io/selected-node": "n1" } };
  await client.patch(core.persistentvolumeclaims, { namespace, name: "data" }, { type: "merge", body: { metadata } });
  await says(namespace, "data", "ExternalProvisioning");
  const claim = await client.get(core.persistentvolumeclaims, { namespace, name: "data" });
  assert.equal(claim.metadata.annotations?.["volume.kubernetes.io/storage-provisioner"], "example.com/disk");
  const claimRef = { namespace, name: "data", uid: claim.metadata.uid };
  await makeVolume("made", { storageClassName: "late", claimRef, persistentVolumeReclaimPolicy: "Delete" });
  await claimPhase(namespace, "data", "Bound");
  await volumePhase("made", "Bound");
});

test("an ephemeral volume's claim is made for its pod and its CSI volume is attached and detached", async () => {
  const namespace = await makeNamespace(client, "attach");
  const managed = { "volumes.kubernetes.io/controller-managed-attach-detach": "true" };
  await client.patch(
    core.nodes,
    { namespace: "", name: "n1" },
    { type: "merge", body: { metadata: { annotations: managed } } },
  );
  const template = { spec: { accessModes: ["ReadWriteOnce"], resources: size("1Gi"), storageClassName: "none" } };
  await usingPod(namespace, "p", [{ name: "scratch", ephemeral: { volumeClaimTemplate: template } }], "n1");
  const claim = await eventually("the claim", () =>
    client.get(core.persistentvolumeclaims, { namespace, name: "p-scratch" }),
  );
  assert.equal(claim.metadata.ownerReferences?.[0]?.name, "p");
  const csi = { driver: "example.com/csi", volumeHandle: "h-1" };
  await makeVolume("csi", { storageClassName: "none", hostPath: null, csi, persistentVolumeReclaimPolicy: "Retain" });
  await claimPhase(namespace, "p-scratch", "Bound");
  const attachment = await eventually("a VolumeAttachment", async () => {
    const { items } = await client.list(storage.volumeattachments);
    return items.find(({ spec }) => spec.source.persistentVolumeName === "csi");
  });
  assert.match(attachment.metadata.name ?? "", /^csi-[0-9a-f]{64}$/);
  const key = { namespace: "", name: attachment.metadata.name ?? "" };
  const body = { status: { attached: true } };
  await client.patch(storage.volumeattachments, key, { type: "merge", body }, { subresource: "status" });
  await eventually("the node lists it", async () => {
    const { status } = await client.get(core.nodes, { namespace: "", name: "n1" });
    return status?.volumesAttached?.[0]?.name === "kubernetes.io/csi/example.com/csi^h-1";
  });
  await says(namespace, "p", "SuccessfulAttachVolume");
  await client.delete(core.pods, { namespace, name: "p" }, { gracePeriodSeconds: 0 });
  await eventually("it is detached", () => client.get(storage.volumeattachments, key).then(() => false, isNotFound));
  await eventually("the claim goes with its pod", () =>
    client.get(core.persistentvolumeclaims, { namespace, name: "p-scratch" }).then(() => false, isNotFound),
  );
});

test("a VolumeAttributesClass that a claim names stays until the claim is gone", async () => {
  const namespace = await makeNamespace(client, "attributes");
  const key = { namespace: "", name: "gold" };
  await client.create(storage.volumeattributesclasses, {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttributesClass",
    metadata: { name: "gold" },
    driverName: "example.com/csi",
    parameters: { iops: "1000" },
  });
  await makeClaim(namespace, "data", { storageClassName: "", volumeAttributesClassName: "gold" });
  await eventually("the finalizer", async () => {
    const { metadata } = await client.get(storage.volumeattributesclasses, key);
    return metadata.finalizers?.includes("kubernetes.io/vac-protection");
  });
  await client.delete(storage.volumeattributesclasses, key);
  const { metadata } = await client.get(storage.volumeattributesclasses, key);
  assert.notEqual(metadata.deletionTimestamp, undefined);
  await client.delete(core.persistentvolumeclaims, { namespace, name: "data" });
  await eventually("the class is gone", () =>
    client.get(storage.volumeattributesclasses, key).then(() => false, isNotFound),
  );
});
