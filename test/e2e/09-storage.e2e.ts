/** Persistent volumes as users meet them: a StatefulSet with claims of the default class, on two nodes. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Event, PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { dataDir, getJson, knarr, waitForPods } from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

const namespace = "storage";
const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: ${namespace}}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: ${namespace}}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 1000, fsGroup: 2000}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: db}}}
      containers:
      - name: db
        image: "knarr.local/busybox:1"
        command: [sh, -c, "echo \\"$(hostname) started\\" >> /data/log; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
`;

const pod = (name: string) => getJson<Pod>(["pod", "-n", namespace, name]);
const claim = (name: string) => getJson<PersistentVolumeClaim>(["pvc", "-n", namespace, name]);
const volumeOf = async (name: string) => getJson<PersistentVolume>(["pv", (await claim(name)).spec?.volumeName ?? ""]);
/** What the pods of this name wrote when they started, `least` times: a pod is Ready before it has said anything. */
async function started(volume: PersistentVolume, name: string, least = 1): Promise<string[]> {
  const path = join(volume.spec?.local?.path ?? "", "log");
  const lines = await eventually(`${least} starts in ${path}`, 240_000, async () => {
    const found = existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
    return found.length >= least && found[0] !== "" ? found : undefined;
  });
  assert.deepEqual([...new Set(lines)], [`${name} started`]);
  return lines;
}

before(async () => {
  await knarr(["apply", "-f", "-"], { input: manifest });
  await waitForPods(namespace, "app=db", 2, 240_000);
});
after(async () => {
  await knarr(["delete", "namespace", namespace, "--timeout", "240s"]);
});

test("local-path is the default class, and claims without a class are bound to volumes of it", async () => {
  const storageClass = await getJson<StorageClass>(["storageclass", "local-path"]);
  assert.equal(storageClass.metadata.annotations?.["storageclass.kubernetes.io/is-default-class"], "true");
  assert.deepEqual(
    [storageClass.provisioner, storageClass.volumeBindingMode, storageClass.allowVolumeExpansion],
    ["knarr.dev/local-path", "WaitForFirstConsumer", true],
  );
  for (const index of [0, 1]) {
    const bound = await claim(`data-db-${index}`);
    assert.equal(bound.status?.phase, "Bound");
    assert.equal(bound.spec?.storageClassName, "local-path");
    const volume = await volumeOf(`data-db-${index}`);
    const terms = volume.spec?.nodeAffinity?.required?.nodeSelectorTerms;
    const { nodeName = "" } = (await pod(`db-${index}`)).spec ?? {};
    assert.deepEqual(terms?.[0]?.matchExpressions?.[0]?.values, [nodeName]);
    assert.equal(volume.spec?.local?.path, join(dataDir, "nodes", nodeName, "volumes", volume.metadata.name ?? ""));
  }
});

test("a pod that is deleted returns to its node and finds its data", async () => {
  for (const name of ["db-0", "db-1"]) {
    const before = await pod(name);
    const volume = await volumeOf(`data-${name}`);
    const { length: count } = await started(volume, name);
    await knarr(["delete", "pod", "-n", namespace, name]);
    await waitForPods(namespace, "app=db", 2, 240_000);
    const again = await pod(name);
    assert.notEqual(again.metadata.uid, before.metadata.uid);
    assert.equal(again.spec?.nodeName, before.spec?.nodeName);
    assert.equal((await started(volume, name, count + 1)).length, count + 1);
  }
});

test("a claim that asks for more gets it, and says so", async () => {
  const body = JSON.stringify({ spec: { resources: { requests: { storage: "128Mi" } } } });
  await knarr(["patch", "pvc", "-n", namespace, "data-db-0", "--type", "merge", "-p", body]);
  const grown = await eventually("the claim has grown", 240_000, async () => {
    const found = await claim("data-db-0");
    return found.status?.capacity?.storage === "128Mi" ? found : undefined;
  });
  assert.deepEqual(grown.status?.conditions ?? [], []);
  assert.equal((await volumeOf("data-db-0")).spec?.capacity?.storage, "128Mi");
  await eventually("the event", 240_000, async () => {
    const { items } = await getJson<{ items: Event[] }>(["events", "-n", namespace]);
    return items.find((e) => e.reason === "VolumeResizeSuccessful" && e.involvedObject.name === "data-db-0");
  });
});

test("deleted claims take their volumes and folders with them; what is in use stays until it is not", async () => {
  const volumes = [await volumeOf("data-db-0"), await volumeOf("data-db-1")];
  await knarr(["delete", "pvc", "-n", namespace, "data-db-0", "--wait=false"]);
  assert.notEqual((await claim("data-db-0")).metadata.deletionTimestamp, undefined);
  assert.ok(existsSync(volumes[0]?.spec?.local?.path ?? ""));
  await knarr(["delete", "statefulset", "-n", namespace, "db"]);
  await knarr(["delete", "pvc", "-n", namespace, "data-db-1"]);
  await eventually("volumes and folders are gone", 240_000, async () => {
    const { items } = await getJson<{ items: PersistentVolume[] }>(["pv"]);
    const left = items.some((v) => volumes.some((gone) => gone.metadata.name === v.metadata.name));
    return left || volumes.some((v) => existsSync(v.spec?.local?.path ?? "")) ? undefined : true;
  });
});
