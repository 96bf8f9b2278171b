/** The daemon itself over a real API server, with the rights it asks for, asked by Node's DNS client. */
import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { core, discovery, rbac } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { ChildDaemon, freePort } from "@knarr/testkit/child-daemon.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const user = "system:knarr:cluster-dns";
// c-ares waits as long as the answers before took, or a second where they were quick: less than a busy machine may need.
const resolver = new Resolver({ timeout: 10_000, tries: 5 });
let etcd: TestEtcd;
let api: TestApiserver;
let client: Client;
let daemon: ChildDaemon;
let http = "";
let start: (ready: () => Promise<boolean>) => Promise<ChildDaemon>;

const fetchStatus = (path: string) =>
  fetch(`${http}${path}`).then(
    (response) => response.status,
    () => 0,
  );
const isReady = async () => (await fetchStatus("/ready")) === 200;
const codeOf = (asking: Promise<unknown>) =>
  asking.then(
    () => "answered",
    (error: NodeJS.ErrnoException) => error.code ?? "",
  );

async function eventually(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, `${what}\n${daemon.output}`);
    await sleep(20);
  }
}

before(async () => {
  etcd = await startEtcd();
  api = await startApiserver({ etcd });
  client = new Client(api.admin);
  await client.create(rbac.clusterroles, {
    metadata: { name: user },
    rules: [
      { apiGroups: [""], resources: ["services", "namespaces"], verbs: ["list", "watch"] },
      { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
    ],
  });
  await client.create(rbac.clusterrolebindings, {
    metadata: { name: user },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: user },
    subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: user }],
  });
  const { kubeconfig } = await api.user(user);
  const [port, httpPort] = [await freePort(), await freePort()];
  http = `http://127.0.0.1:${httpPort}`;
  const address = `127.0.0.1:${httpPort}`;
  const args = [
    main,
    `--kubeconfig=${kubeconfig}`,
    `--listen=127.0.0.1:${port}`,
    "--upstream=none",
    `--health-bind-address=${address}`,
    `--ready-bind-address=${address}`,
    `--metrics-bind-address=${address}`,
  ];
  start = (ready) => ChildDaemon.start({ command: process.execPath, args, ready });
  daemon = await start(isReady);
  resolver.setServers([`127.0.0.1:${port}`]);
});
after(async () => {
  await daemon?.stop();
  await api?.stop();
  await etcd?.stop();
});

test("the API server's Service has its name from the start", async () => {
  assert.deepEqual(await resolver.resolve4("kubernetes.default.svc.cluster.local"), ["10.96.0.1"]);
  const [record] = await resolver.resolveSrv("_https._tcp.kubernetes.default.svc.cluster.local");
  assert.equal(record?.name, "kubernetes.default.svc.cluster.local");
});

test("a Service and its endpoints appear, change and go", async () => {
  const name = "db.default.svc.cluster.local";
  await client.create(core.services, {
    metadata: { namespace: "default", name: "db" },
    spec: { clusterIP: "None", ports: [{ name: "sql", port: 5432 }] },
  });
  const slice = await client.create(discovery.endpointslices, {
    metadata: { namespace: "default", name: "db-1", labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    ports: [{ name: "sql", port: 5432, protocol: "TCP" }],
    endpoints: [{ addresses: ["10.244.0.5"], hostname: "db-0", conditions: { ready: true } }],
  });
  await eventually("name", async () => (await codeOf(resolver.resolve4(`db-0.${name}`))) === "answered");
  assert.deepEqual(await resolver.resolve4(name), ["10.244.0.5"]);
  const endpoints = [{ addresses: ["10.244.0.6"], hostname: "db-0", conditions: { ready: true } }];
  await client.update(discovery.endpointslices, { ...slice, endpoints });
  await eventually("new address", async () => (await resolver.resolve4(name))[0] === "10.244.0.6");
  await client.delete(core.services, { namespace: "default", name: "db" });
  await eventually("no name", async () => (await codeOf(resolver.resolve4(name))) === "ENOTFOUND");
});

test("a namespace's name exists as long as the namespace", async () => {
  const name = "team.svc.cluster.local";
  assert.equal(await codeOf(resolver.resolve4(name)), "ENOTFOUND");
  await client.create(core.namespaces, { metadata: { name: "team" } });
  await eventually("NODATA", async () => (await codeOf(resolver.resolve4(name))) === "ENODATA");
});

test("metrics have CoreDNS' names", async () => {
  const text = await (await fetch(`${http}/metrics`)).text();
  assert.match(
    text,
    /coredns_dns_requests_total\{server="dns:\/\/:53",zone="cluster\.local\.",proto="udp",type="A"\} \d+/,
  );
  assert.match(text, /coredns_dns_responses_total\{.*rcode="NXDOMAIN"\} \d+/);
  assert.equal(await fetchStatus("/health"), 200);
});

test("without the API server it answers what it knew; started without it, SERVFAIL and not NXDOMAIN", async () => {
  await api.kill();
  assert.deepEqual(await resolver.resolve4("kubernetes.default.svc.cluster.local"), ["10.96.0.1"]);
  await daemon.kill();
  daemon = await start(async () => (await fetchStatus("/health")) === 200);
  await eventually(
    "SERVFAIL",
    async () => (await codeOf(resolver.resolve4("kubernetes.default.svc.cluster.local"))) === "ESERVFAIL",
  );
  assert.equal(await codeOf(resolver.resolve4("nothing.default.svc.cluster.local")), "ESERVFAIL");
  assert.equal(await fetchStatus("/ready"), 503);
  await api.restart();
  await eventually("ready", isReady);
  assert.deepEqual(await resolver.resolve4("kubernetes.default.svc.cluster.local"), ["10.96.0.1"]);
});
