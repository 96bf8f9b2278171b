import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { apps, coordination, core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { startFaultProxy } from "@knarr/testkit/fault-proxy.ts";
import { eventually, type Harness, makeNamespace, startHarness, type TestNode } from "./harness.ts";

const FAST = [
  "--node-monitor-period=200ms",
  "--node-monitor-grace-period=5s",
  "--allocate-node-cidrs=true",
  "--cluster-cidr=10.244.0.0/16",
  "--leader-elect-lease-duration=6s",
  "--leader-elect-renew-deadline=4500ms",
  "--leader-elect-retry-period=500ms",
];

let harness: Harness;
let client: Client;
let manager: ChildDaemon;
const nodes = new Map<string, TestNode>();

before(async () => {
  harness = await startHarness();
  client = harness.client;
  manager = await harness.startManager(FAST);
  for (const name of ["node-a", "node-b", "node-c"]) nodes.set(name, await harness.addNode(name));
});
after(() => harness.stop());

const getNode = (name: string) => client.get(core.nodes, { namespace: "", name });
const readyOf = async (name: string) => (await getNode(name)).status?.conditions?.find(({ type }) => type === "Ready");
const taintsOf = async (name: string) =>
  ((await getNode(name)).spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`).sort();

function podOn(namespace: string, name: string, nodeName: string, seconds: number | undefined): Pod {
  const toleration = (key: string) => ({
    key: `node.kubernetes.io/${key}`,
    operator: "Exists",
    effect: "NoExecute",
    ...(seconds === undefined ? {} : { tolerationSeconds: seconds }),
  });
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name },
    spec: {
      nodeName,
      containers: [{ name: "c", image: "i" }],
      tolerations: [toleration("not-ready"), toleration("unreachable")],
    },
  };
}

test("every node gets a range of its own, and keeps it when the manager starts anew", async () => {
  const cidrs = await eventually("pod CIDRs", async () => {
    const all = await Promise.all([...nodes.keys()].map(getNode));
    return all.every(({ spec }) => spec?.podCIDR !== undefined)
      ? all.map(({ spec }) => spec?.podCIDR ?? "")
      : undefined;
  });
  assert.equal(new Set(cidrs).size, 3);
  for (const cidr of cidrs) assert.match(cidr, /^10\.244\.\d+\.0\/24$/);
  await manager.kill();
  manager = await harness.startManager(FAST);
  nodes.set("node-d", await harness.addNode("node-d"));
  const fourth = await eventually("a CIDR for the new node", async () => (await getNode("node-d")).spec?.podCIDR);
  assert.ok(!cidrs.includes(fourth), fourth);
});

test("a silent node becomes Unknown, its pods unready, then evicted; a node that returns keeps its pods", async () => {
  const namespace = await makeNamespace(client, "silence");
  await client.create(core.pods, podOn(namespace, "short", "node-a", 5));
  await client.create(core.pods, podOn(namespace, "long", "node-a", 300));
  await client.create(core.pods, podOn(namespace, "forever", "node-a", undefined));
  const isReady = async (name: string) => {
    const pod = await client.get(core.pods, { namespace, name });
    return pod.status?.conditions?.find(({ type }) => type === "Ready")?.status;
  };
  await eventually("pods run", async () => (await isReady("short")) === "True" && (await isReady("long")) === "True");
  nodes.get("node-a")?.silence();
  const ready = await eventually("Unknown", async () => {
    const condition = await readyOf("node-a");
    return condition?.status === "Unknown" ? condition : undefined;
  });
  assert.deepEqual([ready.reason, ready.message], ["NodeStatusUnknown", "Kubelet stopped posting node status."]);
  await eventually("taints", async () => {
    const taints = await taintsOf("node-a");
    return taints.join() === "node.kubernetes.io/unreachable:NoExecute,node.kubernetes.io/unreachable:NoSchedule";
  });
  await eventually("pods are unready", async () => (await isReady("long")) === "False");
  const evicted = await eventually("the short one is deleted", async () => {
    const pod = await client.get(core.pods, { namespace, name: "short" });
    return pod.metadata.deletionTimestamp === undefined ? undefined : pod;
  });
  const disruption = evicted.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  assert.deepEqual([disruption?.status, disruption?.reason], ["True", "DeletionByTaintManager"]);
  nodes.get("node-a")?.revive();
  // The kubelet reports Ready again by itself: the test node sees that its condition is not what it says.
  await eventually("Ready and without taints", async () => {
    return (await readyOf("node-a"))?.status === "True" && (await taintsOf("node-a")).length === 0;
  });
  await eventually("the eviction is cancelled", async () => {
    const { items } = await client.list(core.events, { namespace });
    return items.some(({ message }) => message === `Cancelling deletion of Pod ${namespace}/long`);
  });
  for (const name of ["long", "forever"]) {
    assert.equal((await client.get(core.pods, { namespace, name })).metadata.deletionTimestamp, undefined);
  }
});

test("pods without toleration leave a node at once when it is tainted by hand", async () => {
  const namespace = await makeNamespace(client, "tainted");
  await client.create(core.pods, podOn(namespace, "p", "node-b", 300));
  const body = { spec: { taints: [{ key: "maintenance", effect: "NoExecute" }] } };
  await client.patch(core.nodes, { namespace: "", name: "node-b" }, { type: "strategic", body });
  await eventually("the pod goes", () => client.get(core.pods, { namespace, name: "p" }).then(() => false, isNotFound));
  await client.patch(
    core.nodes,
    { namespace: "", name: "node-b" },
    { type: "merge", body: { spec: { taints: null } } },
  );
});

test("a cordoned node bears the unschedulable taint", async () => {
  const key = { namespace: "", name: "node-c" };
  await client.patch(core.nodes, key, { type: "merge", body: { spec: { unschedulable: true } } });
  await eventually("the taint", async () =>
    (await taintsOf("node-c")).includes("node.kubernetes.io/unschedulable:NoSchedule"),
  );
  await client.patch(core.nodes, key, { type: "merge", body: { spec: { unschedulable: null } } });
  await eventually("no taint", async () => (await taintsOf("node-c")).length === 0);
});

test("the second manager takes over when the first is killed, and when it can't reach the server", async () => {
  const holder = async () =>
    (await client.get(coordination.leases, { namespace: "kube-system", name: "kube-controller-manager" })).spec
      ?.holderIdentity ?? "";
  const before = await holder();
  const proxy = await startFaultProxy({ port: harness.api.port });
  const user = await harness.api.user("system:kube-controller-manager");
  const text = await readFile(user.kubeconfig, "utf8");
  const kubeconfig = join(harness.api.dir, "proxied.conf");
  await writeFile(kubeconfig, text.replace(harness.api.server, `https://${proxy.address}`));
  try {
    const second = await harness.startManager(FAST, kubeconfig);
    await manager.kill();
    await eventually("the second leads", async () => {
      const now = await holder();
      return now !== before && now !== "";
    });
    const secondHolder = await holder();
    const namespace = await makeNamespace(client, "failover");
    await harness.startManager(FAST);
    proxy.refuse(true);
    proxy.freeze();
    await eventually("the third leads", async () => {
      const now = await holder();
      return now !== secondHolder && now !== "";
    });
    // A leader that lost its lease ends.
    assert.notEqual(await second.exited, 0);
    await client.create(apps.replicasets, {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { namespace, name: "x" },
      spec: {
        replicas: 3,
        selector: { matchLabels: { app: "x" } },
        template: { metadata: { labels: { app: "x" } }, spec: { containers: [{ name: "c", image: "i" }] } },
      },
    });
    const allThere = async () => (await client.list(core.pods, { namespace })).items.length === 3;
    await eventually("work goes on", allThere, 90_000);
  } finally {
    await proxy.stop();
  }
});
