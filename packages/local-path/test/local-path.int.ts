/** The daemon itself, on two nodes of one API server, with the rights it asks for; the binder's part is played here. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { core, rbac, storage } from "@knarr/api/generated/resources.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { ChildDaemon, freePort } from "@knarr/testkit/child-daemon.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const PROVISIONER = "knarr.dev/local-path";
const USER = "system:knarr:local-path";
const SELECTED_NODE = "volume.kubernetes.io/selected-node";
/** As the cluster's bootstrap grants them. */
const RULES = [
  { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
  { apiGroups: [""], resources: ["persistentvolumeclaims"], verbs: ["get", "list", "watch", "update", "patch"] },
  { apiGroups: [""], resources: ["persistentvolumeclaims/status"], verbs: ["update", "patch"] },
  {
    apiGroups: [""],
    resources: ["persistentvolumes"],
    verbs: ["get", "list", "watch", "create", "update", "patch", "delete"],
  },
  { apiGroups: ["storage.k8s.io"], resources: ["storageclasses"], verbs: ["get", "list", "watch"] },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch", "update"] },
];

let root = "";
let etcd: TestEtcd;
let api: TestApiserver;
let client: Client;
let kubeconfig = "";
const daemons = new Map<string, ChildDaemon>();

const storageOf = (node: string) => join(root, node);
const start = async (node: string) => {
  const port = await freePort();
  const ready = () =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
  const args = [
    main,
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${node}`,
    `--storage-dir=${storageOf(node)}`,
    `--healthz-bind-address=127.0.0.1:${port}`,
    "--sync-period=1s",
  ];
  daemons.set(node, await ChildDaemon.start({ command: process.execPath, args, ready }));
};

before(async () => {
  root = await mkdtemp(join(tmpdir(), "knarr-local-path-"));
  etcd = await startEtcd();
  api = await startApiserver({ etcd });
  client = new Client(api.admin);
  kubeconfig = (await api.user(USER)).kubeconfig;
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: USER };
  await client.create(rbac.clusterroles, { metadata: { name: USER }, rules: RULES });
  const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: USER }];
  await client.create(rbac.clusterrolebindings, { metadata: { name: USER }, roleRef, subjects });
  const base = { provisioner: PROVISIONER, allowVolumeExpansion: true };
  const waits = { ...base, volumeBindingMode: "WaitForFirstConsumer" };
  await client.create(storage.storageclasses, { metadata: { name: "waits" }, ...waits });
  await client.create(storage.storageclasses, { metadata: { name: "keeps" }, ...waits, reclaimPolicy: "Retain" });
  await client.create(storage.storageclasses, { metadata: { name: "now" }, ...base, volumeBindingMode: "Immediate" });
  for (const name of ["a", "b"]) {
    const node = await client.create(core.nodes, {
      metadata: { name, labels: { "kubernetes.io/hostname": `host-${name}` } },
    });
    const conditions = [{ type: "Ready", status: "True" }];
    await client.update(core.nodes, { ...node, status: { ...node.status, conditions } }, { subresource: "status" });
    await start(name);
  }
});
after(async () => {
  for (const daemon of daemons.values()) await daemon.stop();
  client?.close();
  await api?.stop();
  await etcd?.stop();
  await rm(root, { recursive: true });
});

async function eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  for (const deadline = Date.now() + 60_000; ; await sleep(50)) {
    const value = await probe();
    if (value !== undefined) return value;
    assert.ok(Date.now() < deadline, `${what}\n${[...daemons.values()].map((d) => d.output).join("\n")}`);
  }
}
const orUndefined = async <T>(promise: Promise<T>): Promise<T | undefined> =>
  await promise.catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
const getVolume = (name: string) => orUndefined(client.get(core.persistentvolumes, { namespace: "", name }));

const claim = (name: string, storageClassName: string, node?: string, more: object = {}) =>
  client.create(core.persistentvolumeclaims, {
    metadata: {
      name,
      namespace: "default",
      annotations: {
        "volume.kubernetes.io/storage-provisioner": PROVISIONER,
        ...(node === undefined ? {} : { [SELECTED_NODE]: node }),
      },
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName,
      resources: { requests: { storage: "1Gi" } },
      ...more,
    },
  });
const volumeFor = (made: PersistentVolumeClaim) =>
  eventually(`a volume for ${made.metadata.name}`, () => getVolume(`pvc-${made.metadata.uid}`));

/** The binder's part. */
const bind = async (made: PersistentVolumeClaim, volume: PersistentVolume) => {
  const key = { namespace: "default", name: made.metadata.name ?? "" };
  const body = { spec: { volumeName: volume.metadata.name } };
  const named = await client.patch(core.persistentvolumeclaims, key, { type: "merge", body });
  const status = { phase: "Bound", capacity: volume.spec?.capacity, accessModes: volume.spec?.accessModes };
  await client.update(core.persistentvolumeclaims, { ...named, status }, { subresource: "status" });
  await setPhase(volume, "Bound");
};
const setPhase = (volume: PersistentVolume, phase: string) =>
  client.patch(
    core.persistentvolumes,
    { namespace: "", name: volume.metadata.name ?? "" },
    { type: "merge", body: { status: { phase } } },
    { subresource: "status" },
  );
/** The protection controller's part. */
const unprotect = async (volume: PersistentVolume) => {
  const key = { namespace: "", name: volume.metadata.name ?? "" };
  const finalizers = (volume.metadata.finalizers ?? []).filter((f) => f !== "kubernetes.io/pv-protection");
  await orUndefined(client.patch(core.persistentvolumes, key, { type: "merge", body: { metadata: { finalizers } } }));
};
const deleteClaim = async (made: PersistentVolumeClaim) => {
  const key = { namespace: "default", name: made.metadata.name ?? "" };
  const body = { metadata: { finalizers: null } };
  await client.delete(core.persistentvolumeclaims, key);
  await orUndefined(client.patch(core.persistentvolumeclaims, key, { type: "merge", body }));
};
const events = async (about: string, reason: string) =>
  (await client.list(core.events, { namespace: "default" })).items.filter(
    (e) => e.reason === reason && e.involvedObject.name === about,
  );

test("a claim gets a folder of the node that was chosen, and the volume says where it is", async () => {
  const made = await claim("one", "waits", "b");
  const volume = await volumeFor(made);
  const path = join(storageOf("b"), volume.metadata.name ?? "");
  assert.equal(volume.spec?.local?.path, path);
  assert.equal((await stat(path)).mode & 0o777, 0o777);
  assert.deepEqual(volume.spec?.nodeAffinity?.required?.nodeSelectorTerms, [
    { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["host-b"] }] },
  ]);
  assert.equal(volume.spec?.claimRef?.uid, made.metadata.uid);
  assert.equal(volume.spec?.persistentVolumeReclaimPolicy, "Delete");
  await eventually("the mark is gone", async () =>
    (await readdir(join(storageOf("b"), ".pending"))).length === 0 ? true : undefined,
  );
  if (volume.metadata.annotations?.["local-path.knarr.dev/capacity-enforced"] === "false") {
    await eventually("the event", async () => (await events("one", "CapacityNotEnforced"))[0]);
  }
});

test("where the class does not wait for a pod, one node makes the volume and the other does not", async () => {
  const made = await Promise.all(["n0", "n1", "n2", "n3"].map((name) => claim(name, "now")));
  for (const one of made) {
    const volume = await volumeFor(one);
    const { metadata } = await client.get(core.persistentvolumeclaims, {
      namespace: "default",
      name: one.metadata.name ?? "",
    });
    const chosen = metadata.annotations?.[SELECTED_NODE] ?? "";
    assert.equal(volume.spec?.local?.path, join(storageOf(chosen), volume.metadata.name ?? ""));
    const other = chosen === "a" ? "b" : "a";
    assert.equal(existsSync(join(storageOf(other), volume.metadata.name ?? "")), false);
  }
});

test("a claim that can't be served is told why", async () => {
  await claim("shared", "waits", "a", { accessModes: ["ReadWriteMany"] });
  const [event] = await eventually("the event", async () => {
    const found = await events("shared", "ProvisioningFailed");
    return found.length > 0 ? found : undefined;
  });
  assert.match(
    event?.message ?? "",
    /^failed to provision volume with StorageClass "waits": access mode ReadWriteMany is not supported/,
  );
});

test("a volume grows with its claim", async () => {
  const made = await claim("grow", "waits", "a");
  await bind(made, await volumeFor(made));
  const key = { namespace: "default", name: "grow" };
  const body = { spec: { resources: { requests: { storage: "3Gi" } } } };
  await client.patch(core.persistentvolumeclaims, key, { type: "merge", body });
  const { status } = await eventually("the claim has grown", async () => {
    const now = await client.get(core.persistentvolumeclaims, key);
    return now.status?.capacity?.storage === "3Gi" ? now : undefined;
  });
  assert.deepEqual(status?.conditions ?? [], []);
  assert.equal(status?.allocatedResources?.storage, "3Gi");
  assert.equal(status?.allocatedResourceStatuses, undefined);
  assert.equal((await volumeFor(made)).spec?.capacity?.storage, "3Gi");
});

test("released volumes go with their folders, also when the daemon was down; retained ones keep their data", async () => {
  const going = await claim("going", "waits", "a");
  const kept = await claim("kept", "keeps", "a");
  const [gone, stays] = [await volumeFor(going), await volumeFor(kept)];
  for (const volume of [gone, stays]) {
    const path = volume.spec?.local?.path ?? "";
    await mkdir(join(path, "deep/er"), { recursive: true });
    await writeFile(join(path, "deep/er/file"), "x");
  }
  await bind(going, gone);
  await bind(kept, stays);
  await daemons.get("a")?.kill();
  await deleteClaim(going);
  await deleteClaim(kept);
  await setPhase(gone, "Released");
  await setPhase(stays, "Released");
  await start("a");
  await eventually("the released volume is gone", async () => {
    const left = await getVolume(gone.metadata.name ?? "");
    if (left?.metadata.deletionTimestamp !== undefined) await unprotect(left);
    return left === undefined ? true : undefined;
  });
  assert.equal(existsSync(gone.spec?.local?.path ?? ""), false);
  assert.deepEqual(await readdir(join(storageOf("a"), ".trash")), []);
  // An administrator takes the object of the kept one away: that is not a word about the data.
  const name = stays.metadata.name ?? "";
  await client.delete(core.persistentvolumes, { namespace: "", name });
  await unprotect(stays);
  await daemons.get("a")?.kill();
  await start("a");
  await sleep(1500);
  assert.equal(existsSync(join(stays.spec?.local?.path ?? "", "deep/er/file")), true);
});

test("what a crash left is removed: a folder without volume or claim, and trash", async () => {
  await daemons.get("b")?.kill();
  const uid = "00000000-0000-4000-8000-000000000000";
  await mkdir(join(storageOf("b"), `pvc-${uid}`));
  const mark = JSON.stringify({ namespace: "default", name: "never" });
  await writeFile(join(storageOf("b"), ".pending", `pvc-${uid}`), mark);
  await writeFile(join(storageOf("b"), ".pending", `pvc-${uid.replace("4", "5")}`), "{cut sho");
  await mkdir(join(storageOf("b"), ".trash/old/er"), { recursive: true });
  await start("b");
  await eventually("the rests are gone", async () => {
    const names = [
      ...(await readdir(join(storageOf("b"), ".trash"))),
      ...(await readdir(join(storageOf("b"), ".pending"))),
    ];
    return names.length === 0 && !existsSync(join(storageOf("b"), `pvc-${uid}`)) ? true : undefined;
  });
});

test("a volume whose path leads out of the storage is never touched", async () => {
  const victim = join(root, "victim");
  await mkdir(victim);
  await client
    .create(core.persistentvolumes, {
      metadata: {
        name: "evil",
        annotations: { "pv.kubernetes.io/provisioned-by": PROVISIONER, "local-path.knarr.dev/node": "a" },
      },
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Delete",
        claimRef: { namespace: "default", name: "nobody", uid: "x" },
        local: { path: `${storageOf("a")}/pvc-x/../../victim`.replace("/pvc-x/../..", "/..") },
        nodeAffinity: {
          required: { nodeSelectorTerms: [{ matchExpressions: [{ key: "x", operator: "Exists" }] }] },
        },
      },
    })
    .catch((error: unknown) => assert.match(String(error), /must not contain '\.\.'/));
  assert.equal(existsSync(victim), true);
});
