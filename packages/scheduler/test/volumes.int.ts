/** Claims that wait for their first consumer, against a real API server; the test is the binder and the provisioner. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core, storage } from "@knarr/api/generated/resources.ts";
import { createNode, eventually, type Harness, pausePod, simulatedNode, startHarness } from "./harness.ts";

let harness: Harness;
before(async () => {
  harness = await startHarness();
  for (const name of ["n1", "n2"]) await createNode(harness.admin, simulatedNode(name));
  for (const [name, provisioner] of [
    ["local", "kubernetes.io/no-provisioner"],
    ["dynamic", "example.com/disks"],
  ] as const) {
    await harness.admin.create(storage.storageclasses, {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name },
      provisioner,
      volumeBindingMode: "WaitForFirstConsumer",
    });
  }
  await harness.startScheduler({ args: ["--leader-elect=false"] });
});
after(async () => {
  await harness[Symbol.asyncDispose]();
});

const key = (name: string) => ({ namespace: "default", name });
const volumeKey = (name: string) => ({ namespace: "", name });
const usesClaim = (claimName: string) => ({
  volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
});
async function createClaim(name: string, storageClassName: string): Promise<void> {
  await harness.admin.create(core.persistentvolumeclaims, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace: "default", name },
    spec: { storageClassName, accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
}
/** `claimName` is the claim that the volume was made for, which nobody else may take. */
async function createVolume(name: string, storageClassName: string, node: string, claimName?: string): Promise<void> {
  const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace: "default", name: claimName };
  const matchExpressions = [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }];
  await harness.admin.create(core.persistentvolumes, {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: {
      storageClassName,
      capacity: { storage: "2Gi" },
      accessModes: ["ReadWriteOnce"],
      local: { path: "/data" },
      ...(claimName === undefined ? {} : { claimRef }),
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } },
    },
  });
  const body = { status: { phase: "Available" } };
  await harness.admin.patch(
    core.persistentvolumes,
    volumeKey(name),
    { type: "merge", body },
    { subresource: "status" },
  );
}
/** What the controller manager does once a volume names the claim. */
async function bindClaim(name: string, volumeName: string): Promise<void> {
  const annotations = { "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes" };
  const body = { metadata: { annotations }, spec: { volumeName } };
  await harness.admin.patch(core.persistentvolumeclaims, key(name), { type: "merge", body });
}
const nodeOf = (name: string) =>
  eventually(`pod ${name} to be bound`, async () => {
    const pod = await harness.admin.get(core.pods, key(name));
    return pod.spec?.nodeName || undefined;
  });

test("a pod goes where its local volume is, once the binder has bound it", async () => {
  await createVolume("disk", "local", "n2");
  await createClaim("data", "local");
  await harness.admin.create(core.pods, pausePod("with-local", usesClaim("data")));
  const volume = await eventually("the volume to be bound to the claim", async () => {
    const found = await harness.admin.get(core.persistentvolumes, volumeKey("disk"));
    return found.spec?.claimRef === undefined ? undefined : found;
  });
  assert.equal(volume.spec?.claimRef?.name, "data");
  assert.equal(volume.metadata.annotations?.["pv.kubernetes.io/bound-by-controller"], "yes");
  assert.equal((await harness.admin.get(core.pods, key("with-local"))).spec?.nodeName ?? "", "", "bound too early");
  await bindClaim("data", "disk");
  assert.equal(await nodeOf("with-local"), "n2");
});

test("a claim to be provisioned is told the node, and the pod follows its volume", async () => {
  await createClaim("made", "dynamic");
  await harness.admin.create(core.pods, pausePod("with-made", usesClaim("made")));
  const selected = await eventually("the claim to be told a node", async () => {
    const claim = await harness.admin.get(core.persistentvolumeclaims, key("made"));
    return claim.metadata.annotations?.["volume.kubernetes.io/selected-node"];
  });
  await createVolume("fresh", "dynamic", selected, "made");
  await bindClaim("made", "fresh");
  assert.equal(await nodeOf("with-made"), selected);
});

test("a pod whose volumes are waited for holds up nobody", async () => {
  await createClaim("slow", "dynamic");
  await harness.admin.create(core.pods, pausePod("waiting", usesClaim("slow")));
  await eventually("the claim to be told a node", async () => {
    const claim = await harness.admin.get(core.persistentvolumeclaims, key("slow"));
    return claim.metadata.annotations?.["volume.kubernetes.io/selected-node"];
  });
  await harness.admin.create(core.pods, pausePod("quick"));
  await nodeOf("quick");
  assert.equal((await harness.admin.get(core.pods, key("waiting"))).spec?.nodeName ?? "", "");
});
