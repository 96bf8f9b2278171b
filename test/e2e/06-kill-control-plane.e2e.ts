/** kill -9 for every part of the control plane, one by one and all at once: pods keep serving, nothing acknowledged is lost. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  componentNamed,
  componentStatuses,
  httpGet,
  knarr,
  nodeAddresses,
  tryKnarr,
  waitForPods,
} from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

const namespace = "killing";
const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: ${namespace}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: "knarr.local/web:1", readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: ${namespace}}
spec: {type: NodePort, selector: {app: app}, ports: [{port: 80, targetPort: 8080, nodePort: 30082}]}
`;
let url = "";
const acknowledged: string[] = [];
let attempts = 0;

before(async () => {
  await knarr(["apply", "-f", "-"], { input: manifest });
  await waitForPods(namespace, "app=app", 2, 240_000);
  const [node] = await nodeAddresses();
  url = `http://${node?.ip}:30082/`;
});
after(async () => {
  await allWell();
  await knarr(["delete", "namespace", namespace, "--timeout", "240s"]);
});

const allWell = () =>
  eventually(
    "all components are well",
    240_000,
    async () => ((await tryKnarr(["status"])).code === 0 ? true : undefined),
    async () => (await tryKnarr(["status"])).stdout,
  );

/** The pod that went last is out of every node's rules: requests that are answered at once, over both pods, say so. */
const rulesSettled = () =>
  eventually("the Service's rules have settled", 240_000, async () => {
    for (let i = 0; i < 20; i++) if ((await httpGet(url, 2000)) === undefined) return undefined;
    return true;
  });

async function createConfigMap(name: string): Promise<void> {
  const object = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data: { name } });
  const { code } = await tryKnarr(["create", "-f", "-"], { input: object });
  if (code === 0) acknowledged.push(name);
}

/** Kills while the Service is asked all the time and objects are written; returns how many answers failed. */
async function killUnderLoad(names: readonly string[]): Promise<number> {
  const before = new Map<string, number>();
  for (const name of names) before.set(name, (await componentNamed(name)).pid);
  let running = true;
  let failures = 0;
  const asking = (async () => {
    while (running) if ((await httpGet(url, 10_000)) === undefined) failures++;
  })();
  const writing = (async () => {
    while (running) await createConfigMap(`write-${++attempts}`);
  })();
  try {
    await new Promise((wake) => setTimeout(wake, 500));
    for (const pid of before.values()) process.kill(pid, "SIGKILL");
    await eventually(`${names.join(", ")} started again`, 240_000, async () => {
      const now = await componentStatuses();
      const isBack = (name: string) => now.some((c) => c.name === name && c.healthy && c.pid !== before.get(name));
      return names.every(isBack) ? true : undefined;
    });
  } finally {
    running = false;
    await Promise.all([asking, writing]);
  }
  return failures;
}

for (const names of [
  ["scheduler"],
  ["controller-manager"],
  ["apiserver"],
  ["etcd"],
  ["cluster-dns"],
  ["etcd", "apiserver", "controller-manager", "scheduler", "cluster-dns"],
]) {
  test(`pods keep serving and the cluster converges when ${names.join(", ")} is killed`, async () => {
    assert.equal(await killUnderLoad(names), 0, "requests to running pods failed");
    await allWell();
    // Everything still works together: a change goes the whole way.
    await knarr(["scale", "deployment/app", "-n", namespace, "--replicas=3"]);
    await waitForPods(namespace, "app=app", 3, 240_000);
    await knarr(["scale", "deployment/app", "-n", namespace, "--replicas=2"]);
    await waitForPods(namespace, "app=app", 2, 240_000);
    await rulesSettled();
  });
}

for (const name of [
  "kubelet@node-1",
  "kube-proxy@node-1",
  "pod-network@node-1",
  "local-path@node-1",
  "containerd@node-1",
]) {
  test(`running containers are neither stopped nor restarted when ${name} is killed`, async () => {
    const pods = await waitForPods(namespace, "app=app", 2);
    assert.equal(await killUnderLoad([name]), 0, "requests to running pods failed");
    await allWell();
    const after = await waitForPods(namespace, "app=app", 2, 240_000);
    const identity = (list: typeof pods) =>
      list.map((p) => [
        p.metadata.uid,
        p.status?.containerStatuses?.[0]?.restartCount,
        p.status?.containerStatuses?.[0]?.containerID,
      ]);
    assert.deepEqual(identity(after), identity(pods));
  });
}

test("nothing that was acknowledged is lost", async () => {
  const listed = await knarr(["get", "configmaps", "-n", namespace, "-o", "name"]);
  const present = new Set(listed.trim().split("\n"));
  const lost = acknowledged.filter((name) => !present.has(`configmap/${name}`));
  assert.ok(acknowledged.length > 10, `only ${acknowledged.length} writes were acknowledged`);
  assert.deepEqual(lost, []);
});
