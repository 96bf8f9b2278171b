/** metrics.k8s.io from kubelets that this file plays: what clients, kubectl top and RBAC see of it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { type Harness, useApiserver } from "./api-harness.ts";

const run = promisify(execFile);
const harness = useApiserver({ prepare });
const ROOT = "/apis/metrics.k8s.io/v1beta1";
const started = Date.now() - 30_000;
const clients = new Set<string>();
let kubelet: Server;
let asked = 0;

/** A node of half a core, a container of a quarter of one. */
function samples(): string {
  const now = Date.now();
  const seconds = (now - started) / 1000;
  const of = `{container="app",namespace="default",pod="web"}`;
  return [
    `node_cpu_usage_seconds_total ${seconds / 2} ${now}`,
    `node_memory_working_set_bytes 1.073741824e+09 ${now}`,
    `container_cpu_usage_seconds_total${of} ${seconds / 4} ${now}`,
    `container_memory_working_set_bytes${of} 10485760 ${now}`,
    `container_start_time_seconds${of} ${started / 1000}`,
    "",
  ].join("\n");
}

async function addNode(harness: Harness, name: string, port: number): Promise<void> {
  await harness.create("/api/v1/nodes", { metadata: { name, labels: { disk: name } } });
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    allocatable: { cpu: "2", memory: "4Gi" },
    capacity: { cpu: "2", memory: "4Gi" },
  };
  const headers = { "content-type": "application/merge-patch+json" };
  await harness.call("PATCH", `/api/v1/nodes/${name}/status`, { body: { status }, headers });
}

async function addPod(harness: Harness, name: string, nodeName: string, phase: string): Promise<void> {
  const spec = { nodeName, containers: [{ name: "app", image: "i" }] };
  await harness.create("/api/v1/namespaces/default/pods", { metadata: { name, labels: { app: name } }, spec });
  const headers = { "content-type": "application/merge-patch+json" };
  await harness.call("PATCH", `/api/v1/namespaces/default/pods/${name}/status`, {
    body: { status: { phase } },
    headers,
  });
}

async function prepare(harness: Harness): Promise<void> {
  const { cert, key } = await harness.api.pki.issue("kubelet", {
    commonName: "system:node:n1",
    ipAddresses: ["127.0.0.1"],
  });
  kubelet = createServer({ cert, key, ca: harness.api.admin.ca ?? "", requestCert: true, rejectUnauthorized: true });
  kubelet.on("request", (request, response) => {
    clients.add(String((request.socket as TLSSocket).getPeerCertificate().subject.CN));
    asked++;
    if (request.url === "/metrics/resource") response.end(samples());
    else response.writeHead(404).end();
  });
  kubelet.listen(0, "127.0.0.1");
  await once(kubelet, "listening");
  await harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  await addNode(harness, "n1", (kubelet.address() as AddressInfo).port);
  // A kubelet that cannot be reached.
  await addNode(harness, "hung", 9);
  await addPod(harness, "web", "n1", "Running");
  await addPod(harness, "waiting", "n1", "Pending");
  await addPod(harness, "elsewhere", "hung", "Running");
  // The second round of scrapes makes rates of counters: it comes 15 s after the first that knew the node.
  const deadline = Date.now() + 90_000;
  while ((await harness.call("GET", `${ROOT}/nodes/n1`)).status !== 200) {
    assert.ok(Date.now() < deadline, "no metrics of the node");
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

after(() => {
  kubelet?.closeAllConnections();
  kubelet?.close();
});

test("a node's and a pod's metrics have metrics-server's form", async () => {
  const { body: node } = await harness.call("GET", `${ROOT}/nodes/n1`);
  assert.equal(node.kind, "NodeMetrics");
  assert.equal(node.metadata.labels.disk, "n1");
  assert.match(node.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.match(node.window, /^\d+(\.\d+)?s$/);
  assert.equal(node.usage.memory, "1Gi");
  assert.match(node.usage.cpu, /^(4\d{8}|5\d{8})n$|^500m$/);
  const { body: pod } = await harness.call("GET", `${ROOT}/namespaces/default/pods/web`);
  assert.equal(pod.kind, "PodMetrics");
  assert.deepEqual(
    pod.containers.map((c: { name: string }) => c.name),
    ["app"],
  );
  assert.equal(pod.containers[0].usage.memory, "10Mi");
  assert.ok([...clients].every((name) => name === "kube-apiserver-kubelet-client"));
});

test("lists take selectors, and leave out what has no metrics", async () => {
  const names = async (path: string) =>
    (await harness.call("GET", path)).body.items.map((item: { metadata: { name: string } }) => item.metadata.name);
  assert.deepEqual(await names(`${ROOT}/nodes`), ["n1"]);
  assert.deepEqual(await names(`${ROOT}/nodes?labelSelector=disk%3Dhung`), []);
  assert.deepEqual(await names(`${ROOT}/pods`), ["web"]);
  assert.deepEqual(await names(`${ROOT}/namespaces/default/pods?labelSelector=app%3Dweb`), ["web"]);
  assert.deepEqual(await names(`${ROOT}/namespaces/default/pods?fieldSelector=metadata.name%3Dother`), []);
  const list = (await harness.call("GET", `${ROOT}/pods`)).body;
  assert.deepEqual([list.kind, list.apiVersion, list.metadata], ["PodMetricsList", "metrics.k8s.io/v1beta1", {}]);
  assert.equal((await harness.call("GET", `${ROOT}/pods?labelSelector=a%3D%3D%3Db`)).status, 400);
});

const REFUSALS: readonly { path: string; method?: string; status: number; message: RegExp }[] = [
  { path: "/namespaces/default/pods/none", status: 404, message: /^pods "none" not found$/ },
  {
    path: "/namespaces/default/pods/waiting",
    status: 404,
    message: /^podmetrics\.metrics\.k8s\.io "default\/waiting" not found$/,
  },
  { path: "/nodes/none", status: 404, message: /^nodes "none" not found$/ },
  { path: "/nodes/hung", status: 404, message: /^nodemetrics\.metrics\.k8s\.io "hung" not found$/ },
  { path: "/nodes/n1", method: "DELETE", status: 405, message: /does not allow this method/ },
  { path: "/nodes?watch=true", status: 405, message: /does not allow this method/ },
];

for (const { path, method = "GET", status, message } of REFUSALS) {
  test(`${method} ${path} is answered ${status}`, async () => {
    const answer = await harness.call(method, `${ROOT}${path}`);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.body.message, message);
  });
}

test("discovery, tables, protobuf and OpenAPI know the group", async () => {
  const { body: resources } = await harness.call("GET", ROOT);
  assert.deepEqual(
    resources.resources.map((one: { name: string; kind: string; verbs: string[] }) => [one.name, one.kind, one.verbs]),
    [
      ["nodes", "NodeMetrics", ["get", "list"]],
      ["pods", "PodMetrics", ["get", "list"]],
    ],
  );
  const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const { body: groups } = await harness.call("GET", "/apis", { headers: { accept: aggregated } });
  assert.equal(groups.items.at(-1).metadata.name, "metrics.k8s.io");
  const table = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const { body } = await harness.call("GET", `${ROOT}/nodes`, { headers: { accept: table } });
  assert.deepEqual(
    body.columnDefinitions.map((c: { name: string }) => c.name),
    ["Name", "cpu", "memory", "Window"],
  );
  assert.equal(body.rows[0].cells[0], "n1");
  const protobuf = { accept: "application/vnd.kubernetes.protobuf" };
  assert.equal((await harness.call("GET", `${ROOT}/pods`, { headers: protobuf })).text.slice(0, 3), "k8s");
  const openApi = await harness.call("GET", "/openapi/v3/apis/metrics.k8s.io/v1beta1");
  assert.ok("io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics" in openApi.body.components.schemas);
});

test("who may view may read pods' metrics, and others may not", async () => {
  const viewer = await harness.api.user("viewer");
  const pods = `${ROOT}/namespaces/default/pods`;
  const refused = await harness.call("GET", pods, { as: viewer });
  assert.equal(refused.status, 403);
  assert.match(
    refused.body.message,
    /pods\.metrics\.k8s\.io is forbidden: User "viewer" cannot list resource "pods" in API group "metrics\.k8s\.io" in the namespace "default"/,
  );
  await harness.create("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", {
    metadata: { name: "viewer" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "viewer" }],
  });
  const deadline = Date.now() + 60_000;
  while ((await harness.call("GET", pods, { as: viewer })).status !== 200) {
    assert.ok(Date.now() < deadline, "the binding has no effect");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

test("kubectl top shows nodes and pods", async () => {
  const top = async (...args: string[]) =>
    (await run("kubectl", ["--kubeconfig", harness.api.kubeconfig, "top", ...args])).stdout;
  assert.match(await top("nodes"), /n1 +\d+m +2\d% +1024Mi +25%/);
  assert.match(await top("pods", "--containers"), /web +app +2\d\dm +10Mi/);
  assert.match(await top("pods", "-A", "--sum"), /default +web +2\d\dm +10Mi/);
});

test("many readers make no more scrapes", async () => {
  const before = asked;
  await Promise.all(Array.from({ length: 200 }, () => harness.call("GET", `${ROOT}/nodes`)));
  // Scrapes go on at their own pace: a few on a slow machine, and never one for each reader.
  assert.ok(asked - before < 20, `${asked - before} scrapes`);
});
