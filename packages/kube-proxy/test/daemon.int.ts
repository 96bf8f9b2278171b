/** The daemon itself: a real API server, a kernel, pods in namespaces of its own; killed, cut off, restarted. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { core, discovery } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { listFlows } from "@knarr/netfilter/conntrack.ts";
import { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { endpointOn, net, podPort } from "../src/testing/flow-table.ts";
import { FlowNetwork } from "./flow-network.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const health = "http://127.0.0.1:10256";
const metrics = "http://127.0.0.1:10249";

if (await isolatedTest(import.meta)) {
  for (const mode of ["nftables", "iptables"] as const) describe(mode, () => describeDaemon(mode));
}

/** Built once, for both. */
let network: FlowNetwork;

function describeDaemon(mode: "nftables" | "iptables"): void {
  let etcd: TestEtcd;
  let api: TestApiserver;
  let client: Client;
  let proxy: ChildDaemon;
  let args: string[];
  let clusterIp = "";
  let nodePort = 0;

  const start = () =>
    ChildDaemon.start({
      command: process.execPath,
      args,
      ready: () =>
        fetch(`${metrics}/metrics`).then(
          async (response) =>
            /sync_full_proxy_rules_duration_seconds_count\{.*IPv4"\} [1-9]/.test(await response.text()),
          () => false,
        ),
    });
  const run = (command: string, ...rest: string[]) => execFileSync(command, rest, { encoding: "utf8" });
  const save = () => (mode === "nftables" ? run("nft", "list", "ruleset") : run("iptables-save"));
  const rules = () => save().replace(/^#.*$|\[\d+:\d+\]/gm, "");
  const putSlice = async (on: readonly ("podA" | "podB" | "remote")[]) => {
    const key = { namespace: "default", name: "web-1" };
    const slice = await client.get(discovery.endpointslices, key);
    await client.update(discovery.endpointslices, { ...slice, endpoints: on.map((pod) => endpointOn(pod)) });
  };
  const answeredBy = async (from: "podA" | "outside" | "node", to: string, timeoutMs = 10_000) => {
    const result = await network.probe(from, to, "tcp", timeoutMs);
    return result.answer?.split(" ")[0] ?? result.error;
  };
  const eventually = async (what: string, check: () => Promise<boolean>) => {
    const deadline = Date.now() + 60_000;
    while (!(await check())) {
      assert.ok(Date.now() < deadline, `${what}\n${proxy.output}`);
      await sleep(20);
    }
  };

  before(async () => {
    network ??= await FlowNetwork.create();
    etcd = await startEtcd();
    api = await startApiserver({ etcd });
    client = new Client(api.admin);
    const node = await client.create(core.nodes, { metadata: { name: "node-1" } });
    const addresses = [{ type: "InternalIP", address: net.node }];
    await client.update(core.nodes, { ...node, status: { ...node.status, addresses } }, { subresource: "status" });
    const service = await client.create(core.services, {
      metadata: { namespace: "default", name: "web" },
      spec: { type: "NodePort", ports: [{ name: "http", port: 80, targetPort: podPort }] },
    });
    clusterIp = service.spec?.clusterIP ?? "";
    nodePort = service.spec?.ports?.[0]?.nodePort ?? 0;
    await client.create(discovery.endpointslices, {
      metadata: { namespace: "default", name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      ports: [{ name: "http", port: podPort, protocol: "TCP" }],
      endpoints: [endpointOn("podB")],
    });
    const { kubeconfig } = await api.user("system:kube-proxy");
    args = [
      main,
      `--kubeconfig=${kubeconfig}`,
      "--hostname-override=node-1",
      `--cluster-cidr=${net.podPrefix}`,
      "-v=4",
      // The best mode is the default.
      ...(mode === "nftables" ? [] : [`--proxy-mode=${mode}`]),
    ];
    proxy = await start();
  });
  after(async () => {
    await proxy?.stop();
    await api?.stop();
    await etcd?.stop();
    if (mode === "iptables") network?.stop();
  });

  test("a Service answers on its cluster IP and node port", async () => {
    assert.equal(await answeredBy("podA", `${clusterIp}:80`), "podB");
    assert.equal(await answeredBy("outside", `${net.node}:${nodePort}`), "podB");
  });

  test("endpoint changes reach the kernel, in partial syncs", async () => {
    for (const pod of ["podA", "remote", "podB"] as const) {
      await putSlice([pod]);
      await eventually(`${pod} answers`, async () => (await answeredBy("outside", `${clusterIp}:80`)) === pod);
    }
    const text = await (await fetch(`${metrics}/metrics`)).text();
    assert.match(text, /kubeproxy_sync_partial_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]/);
    assert.match(text, /kubeproxy_sync_proxy_rules_endpoint_changes_total [1-9]/);
    const table = mode === "nftables" ? "kube-proxy" : "nat";
    assert.match(
      text,
      new RegExp(`kubeproxy_sync_proxy_rules_iptables_total\\{ip_family="IPv4",table="${table}"\\} [1-9]`),
    );
  });

  test("a Service that loses its endpoints refuses, one that is deleted leaves no rule", async () => {
    await putSlice([]);
    await eventually("refused", async () => (await answeredBy("podA", `${clusterIp}:80`)) === "ECONNREFUSED");
    const other = await client.create(core.services, {
      metadata: { namespace: "default", name: "other" },
      spec: { ports: [{ port: 80 }] },
    });
    const otherIp = other.spec?.clusterIP ?? "none";
    await eventually("rules for default/other", async () => save().includes(otherIp));
    await client.delete(core.services, { namespace: "default", name: "other" });
    await eventually("no rules for default/other", async () => !save().includes(otherIp));
    await putSlice(["podB"]);
    await eventually("podB answers", async () => (await answeredBy("podA", `${clusterIp}:80`)) === "podB");
  });

  test("UDP clients of an endpoint that left are not kept with it", async () => {
    const service = await client.create(core.services, {
      metadata: { namespace: "default", name: "udp" },
      spec: { ports: [{ name: "http", port: 53, protocol: "UDP" }] },
    });
    const slice = await client.create(discovery.endpointslices, {
      metadata: { namespace: "default", name: "udp-1", labels: { "kubernetes.io/service-name": "udp" } },
      addressType: "IPv4",
      ports: [{ name: "http", port: podPort, protocol: "UDP" }],
      endpoints: [endpointOn("podB")],
    });
    const to = `${service.spec?.clusterIP}:53`;
    const answered = async (timeoutMs: number) =>
      (await network.probe("outside", to, "udp", timeoutMs)).answer?.split(" ")[0];
    // Before the rules stand nobody answers, and a datagram is lost.
    await eventually("podB answers", async () => (await answered(500)) === "podB");
    const flowsTo = async (address: string) =>
      (await listFlows("udp", "ipv4")).filter((flow) => flow.replySource === address).length;
    assert.ok((await flowsTo(net.podB)) > 0);
    await client.update(discovery.endpointslices, { ...slice, endpoints: [endpointOn("podA")] });
    await eventually("no flow to podB", async () => (await flowsTo(net.podB)) === 0);
    assert.equal(await answered(20_000), "podA");
  });

  test("a health check node port tells whether this node has an endpoint", async () => {
    const service = await client.create(core.services, {
      metadata: { namespace: "default", name: "balanced" },
      spec: {
        type: "LoadBalancer",
        externalTrafficPolicy: "Local",
        healthCheckNodePort: 32_123,
        ports: [{ name: "http", port: 80 }],
      },
    });
    const url = `http://127.0.0.1:${service.spec?.healthCheckNodePort}/`;
    const status = () =>
      fetch(url).then(
        (response) => response.status,
        () => 0,
      );
    await eventually("503", async () => (await status()) === 503);
    await client.create(discovery.endpointslices, {
      metadata: { namespace: "default", name: "balanced-1", labels: { "kubernetes.io/service-name": "balanced" } },
      addressType: "IPv4",
      ports: [{ name: "http", port: podPort, protocol: "TCP" }],
      endpoints: [endpointOn("podA"), endpointOn("remote")],
    });
    await eventually("200", async () => (await status()) === 200);
    const response = await fetch(url);
    assert.deepEqual(await response.json(), {
      service: { namespace: "default", name: "balanced" },
      localEndpoints: 1,
      serviceProxyHealthy: true,
    });
    assert.equal(response.headers.get("x-load-balancing-endpoint-weight"), "1");
  });

  test("health and metrics answer as upstream's", async () => {
    const response = await fetch(`${health}/healthz`);
    assert.equal(response.status, 200);
    assert.equal(((await response.json()) as { nodeEligible: boolean }).nodeEligible, true);
    assert.equal(await (await fetch(`${metrics}/proxyMode`)).text(), mode);
    assert.equal((await fetch(`${metrics}/healthz`)).status, 200);
  });

  test("a node that is about to be removed is not eligible", async () => {
    const taint = { key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" };
    const node = await client.get(core.nodes, { namespace: "", name: "node-1" });
    await client.update(core.nodes, { ...node, spec: { ...node.spec, taints: [taint] } });
    await eventually("503", async () => (await fetch(`${health}/healthz`)).status === 503);
    assert.equal((await fetch(`${health}/livez`)).status, 200);
  });

  test("a restart changes no rule and no connection", async () => {
    const before = rules();
    await proxy.kill();
    assert.equal(await answeredBy("podA", `${clusterIp}:80`), "podB");
    proxy = await start();
    assert.equal(rules(), before);
    assert.doesNotMatch(proxy.output, /"changedElements":[1-9]/);
    if (mode === "iptables") assert.doesNotMatch(proxy.output, /rules written/);
  });

  test("without the API server the last rules stay, and changes are caught up with afterwards", async () => {
    const before = rules();
    await api.kill();
    assert.equal(await answeredBy("podA", `${clusterIp}:80`), "podB");
    assert.equal(rules(), before);
    // Started while it is away, it must not take "nothing known" for "nothing there".
    await proxy.kill();
    proxy = await ChildDaemon.start({
      command: process.execPath,
      args,
      ready: () =>
        fetch(`${metrics}/healthz`).then(
          () => true,
          () => false,
        ),
    });
    await sleep(1500);
    assert.equal(rules(), before);
    await api.restart();
    await putSlice(["podA"]);
    await eventually("podA answers", async () => (await answeredBy("outside", `${clusterIp}:80`)) === "podA");
  });

  test("another mode takes over, and removes the old one's rules once its own stand", async () => {
    await proxy.stop();
    const other = mode === "nftables" ? "iptables" : "nftables";
    const own = args;
    args = [...own.filter((arg) => !arg.startsWith("--proxy-mode")), `--proxy-mode=${other}`];
    proxy = await start();
    await eventually("only one mode's rules", async () => {
      const chains = run("iptables-save").includes("KUBE-SERVICES");
      const table = run("nft", "list", "tables").includes("ip kube-proxy");
      return other === "iptables" ? chains && !table : table && !chains;
    });
    assert.equal(await answeredBy("outside", `${net.node}:${nodePort}`), "podA");
    await proxy.stop();
    args = own;
    proxy = await start();
    await eventually("podA answers", async () => (await answeredBy("outside", `${net.node}:${nodePort}`)) === "podA");
  });

  test("--cleanup removes every rule", async () => {
    await proxy.stop();
    execFileSync(process.execPath, [main, "--cleanup"], { stdio: "ignore" });
    assert.doesNotMatch(run("iptables-save"), /KUBE-/);
    assert.doesNotMatch(run("nft", "list", "tables"), /kube-proxy/);
  });
}
