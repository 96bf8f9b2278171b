/** The flow table with real packets: a kernel, both iptables front ends and nftables, in namespaces of its own. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { deleteFlows, listFlows } from "@knarr/netfilter/conntrack.ts";
import { IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import type { Backend } from "../src/adapters/backend.ts";
import { cleanUp } from "../src/adapters/clean-up.ts";
import { IptablesBackend } from "../src/adapters/iptables-backend.ts";
import { NftBackend } from "../src/adapters/nft-backend.ts";
import type { ServiceView } from "../src/core/planned-port.ts";
import { findStaleFlows } from "../src/core/stale-flows.ts";
import { endpointOn, type Flow, flows, net, planOptions, podPort, serviceView } from "../src/testing/flow-table.ts";
import { FlowNetwork, net6 } from "./flow-network.ts";

const names: Readonly<Record<string, string>> = {
  [`${net.podA}:${podPort}`]: "podA",
  [`${net.podB}:${podPort}`]: "podB",
  [`${net.remote}:${podPort}`]: "remote",
};
const clientAddresses = { podA: net.podA, outside: net.outside, remote: net.remote };
const signal = new AbortController().signal;
/** A packet that is dropped is waited for this long; one that is answered needs a fraction of it. */
const DROPPED_AFTER_MS = 700;

if (await isolatedTest(import.meta)) {
  let network: FlowNetwork;
  before(async () => {
    network = await FlowNetwork.create();
  });
  after(() => network.stop());
  for (const mode of ["nft", "legacy"] as const) {
    const backend = new IptablesBackend(new IptablesTool("ipv4", mode));
    describe(`iptables-${mode}`, () => {
      describeFlows(backend, () => network);
      describeIptables(mode, backend, () => network);
      describeIpv6(new IptablesBackend(new IptablesTool("ipv6", mode)), () => network);
    });
  }
  describe("nftables", () => {
    const backend = new NftBackend("ipv4");
    describeFlows(backend, () => network);
    describeNftables(backend, () => network);
    describeIpv6(new NftBackend("ipv6"), () => network);
  });
}

function syncWith(backend: Backend) {
  return (views: readonly ServiceView[], full = false, options: Flow["options"] = {}) =>
    backend.sync(views, { ...planOptions, ...options }, { full, signal });
}

function describeFlows(backend: Backend, networkOf: () => FlowNetwork): void {
  const sync = syncWith(backend);
  after(async () => {
    await cleanUp({ signal, log: silentLogger() });
    assert.doesNotMatch(execFileSync("nft", ["list", "tables"], { encoding: "utf8" }), /kube-proxy/);
    for (const save of ["iptables-nft-save", "iptables-legacy-save"]) {
      assert.doesNotMatch(execFileSync(save, { encoding: "utf8" }), /KUBE-/);
    }
  });

  for (const flow of flows) {
    test(`packets: ${flow.name}`, async () => {
      await sync([flow.view], false, flow.options);
      const want = (backend.mode === "nftables" ? flow.nftablesWant : undefined) ?? flow.want;
      await checkFlow(networkOf(), { ...flow, want: want === "untranslated" ? "refused" : want });
    });
  }

  test("sync() writes what the kernel then tells, so that a full sync changes nothing", async () => {
    await sync(flows.slice(0, 1).map((flow) => flow.view));
    for (const flow of flows) {
      await sync([flow.view], false, flow.options);
      // The first comparison may write rules to learn how the kernel tells them; the second must find nothing.
      const first = await sync([flow.view], true, flow.options);
      assert.equal(first.changedElements, 0);
      const again = await sync([flow.view], true, flow.options);
      const { changedChains, deletedChains, changedElements } = again;
      assert.deepEqual([flow.name, changedChains, deletedChains, changedElements], [flow.name, 0, 0, 0]);
    }
  });

  test("stale UDP flows go, live ones stay", async () => {
    const view = (on: "podA" | "podB") => serviceView({ endpoints: [endpointOn(on)], protocol: "UDP" });
    await sync([view("podB")]);
    const to = "10.96.0.20:80";
    assert.equal((await networkOf().probe("outside", to, "udp", 5000)).answer?.split(" ")[0], "podB");
    const outcome = await sync([view("podA")]);
    const stale = findStaleFlows(await listFlows("udp", "ipv4"), outcome.ports);
    assert.ok(stale.some((flow) => flow.replySource === net.podB));
    for (const flow of stale) assert.ok((await deleteFlows(flow, "ipv4")) > 0);
    assert.equal((await networkOf().probe("outside", to, "udp", 5000)).answer?.split(" ")[0], "podA");
    assert.deepEqual(findStaleFlows(await listFlows("udp", "ipv4"), outcome.ports), []);
  });
}

function describeIptables(mode: "nft" | "legacy", backend: Backend, networkOf: () => FlowNetwork): void {
  const sync = syncWith(backend);

  test("sync() repairs rules that someone else removed, and leaves theirs alone", async () => {
    const view = serviceView({ endpoints: [endpointOn("podB")] });
    await sync([view]);
    const run = (...args: string[]) => execFileSync(`iptables-${mode}`, ["-w", "5", ...args], { encoding: "utf8" });
    run("-t", "nat", "-N", "FOREIGN");
    run("-t", "nat", "-A", "FOREIGN", "-p", "icmp", "-j", "ACCEPT");
    run("-t", "nat", "-A", "PREROUTING", "-j", "FOREIGN");
    run(
      "-t",
      "nat",
      "-D",
      "PREROUTING",
      "-m",
      "comment",
      "--comment",
      "kubernetes service portals",
      "-j",
      "KUBE-SERVICES",
    );
    run("-t", "nat", "-F", "KUBE-MARK-MASQ");
    const repaired = await sync([view], true);
    assert.equal(repaired.changedChains, 1);
    const answer = await networkOf().probe("podA", "10.96.0.20:80", "tcp", 5000);
    assert.equal(answer.answer, `podB ${net.podA}`);
    assert.match(run("-t", "nat", "-S", "FOREIGN"), /-A FOREIGN -p icmp -j ACCEPT/);
    assert.match(run("-t", "nat", "-S", "PREROUTING"), /-j FOREIGN/);
    run("-t", "nat", "-F", "PREROUTING");
    run("-t", "nat", "-F", "FOREIGN");
    run("-t", "nat", "-X", "FOREIGN");
    await sync([view], true);
  });

  test("sync() removes chains that an earlier kube-proxy left, with the jumps to them", async () => {
    const run = (...args: string[]) => execFileSync(`iptables-${mode}`, ["-w", "5", "-t", "nat", ...args]);
    const stale = "KUBE-XLB-ABCDEFGHIJKLMNOP";
    run("-N", stale);
    run("-A", "PREROUTING", "-p", "tcp", "-j", stale);
    const outcome = await sync([serviceView({ endpoints: [endpointOn("podB")] })], true);
    assert.equal(outcome.deletedChains, 1);
    assert.doesNotMatch(execFileSync(`iptables-${mode}-save`, { encoding: "utf8" }), /KUBE-XLB/);
  });

  test("sync() writes only the chains of the Service that changed", async () => {
    const other = serviceView({
      name: "other",
      spec: { clusterIP: "10.96.0.21", clusterIPs: ["10.96.0.21"] },
      endpoints: [endpointOn("podA")],
    });
    await sync([serviceView({ endpoints: [endpointOn("podA"), endpointOn("podB")] }), other]);
    const outcome = await sync([serviceView({ endpoints: [endpointOn("podB")] }), other]);
    assert.deepEqual([outcome.changedChains, outcome.deletedChains], [1, 1]);
  });
}

function describeNftables(backend: Backend, networkOf: () => FlowNetwork): void {
  const sync = syncWith(backend);
  const run = (...args: string[]) => execFileSync("nft", args, { encoding: "utf8" });
  const view = serviceView({ endpoints: [endpointOn("podB")] });

  test("sync() changes a few elements for one changed Service", async () => {
    const spec = { clusterIP: "10.96.0.21", clusterIPs: ["10.96.0.21"] };
    const other = serviceView({ name: "other", spec, endpoints: [endpointOn("podA"), endpointOn("podB")] });
    await sync([view, other]);
    const outcome = await sync([serviceView({ endpoints: [endpointOn("podA")] }), other]);
    // The endpoint and its hairpin entry change; podB's hairpin is the other Service's too.
    assert.deepEqual([outcome.changedChains, outcome.deletedChains, outcome.changedElements], [0, 0, 2]);
  });

  test("sync() repairs what someone else removed, in rules and elements, and leaves other tables alone", async () => {
    await sync([view]);
    run("add", "table", "ip", "foreign");
    run("flush", "chain", "ip", "kube-proxy", "nat-prerouting");
    run("flush", "map", "ip", "kube-proxy", "endpoints-tcp");
    const repaired = await sync([view], true);
    assert.equal(repaired.changedElements, 1);
    assert.equal((await networkOf().probe("podA", "10.96.0.20:80", "tcp", 5000)).answer, `podB ${net.podA}`);
    assert.match(run("list", "tables"), /foreign/);
    run("delete", "table", "ip", "foreign");
    run("delete", "table", "ip", "kube-proxy");
    await sync([view], true);
    assert.equal((await networkOf().probe("podA", "10.96.0.20:80", "tcp", 5000)).answer, `podB ${net.podA}`);
  });

  test("sync() takes over from a process before it without touching elements or affinity", async () => {
    const sticky = serviceView({ spec: { sessionAffinity: "ClientIP" }, endpoints: [endpointOn("podB")] });
    await sync([sticky]);
    await networkOf().probe("podA", "10.96.0.20:80", "tcp", 5000);
    assert.match(run("list", "table", "ip", "kube-proxy"), new RegExp(`${net.podA} timeout`));
    const outcome = await syncWith(new NftBackend("ipv4"))([sticky], true);
    assert.equal(outcome.changedElements, 0, JSON.stringify(outcome.rules));
    assert.match(run("list", "table", "ip", "kube-proxy"), new RegExp(`${net.podA} timeout`));
    await sync([view]);
  });

  test("sync() makes anew a table of another make", async () => {
    run("delete", "table", "ip", "kube-proxy");
    run("add", "table", "ip", "kube-proxy");
    run("add", "map", "ip", "kube-proxy", "service-ips", "{ type ipv4_addr : verdict; }");
    run("add", "chain", "ip", "kube-proxy", "theirs");
    await sync([view], true);
    assert.doesNotMatch(run("list", "table", "ip", "kube-proxy"), /theirs/);
    assert.equal((await networkOf().probe("podA", "10.96.0.20:80", "tcp", 5000)).answer, `podB ${net.podA}`);
  });
}

function describeIpv6(backend: Backend, networkOf: () => FlowNetwork): void {
  const serviceIp = "fd00:96::20";
  const options = {
    ...planOptions,
    family: "ipv6",
    nodeIps: [net6.node],
    localDetector: { kind: "prefix", prefix: net6.podPrefix },
  } as const;
  const view = (pods: readonly ("podA" | "podB")[], spec: Parameters<typeof serviceView>[0]["spec"] = {}) => {
    const { service, slices } = serviceView({ spec: { clusterIP: serviceIp, clusterIPs: [serviceIp], ...spec } });
    const endpoints = pods.map((pod) => endpointOn(pod, { addresses: [net6[pod]] }));
    return { service, slices: [{ ...slices[0]!, addressType: "IPv6", endpoints }] };
  };
  const sync = (views: readonly ServiceView[]) => backend.sync(views, options, { full: false, signal });
  const ask = async (from: "podA" | "outside", to: string) => {
    const { answer, error } = await networkOf().probe(from, to, "tcp", 5000);
    return answer ?? error;
  };

  for (const { name, pods, spec, from, to, want } of [
    { name: "a pod keeps its address", pods: ["podB"], from: "podA", to: "cluster", want: `podB ${net6.podA}` },
    { name: "a pod reaches itself masqueraded", pods: ["podA"], from: "podA", to: "cluster", want: "podA fd00:180::1" },
    { name: "outside is masqueraded", pods: ["podB"], from: "outside", to: "cluster", want: "podB fd00:180::1" },
    { name: "no endpoints refuse", pods: [], from: "podA", to: "cluster", want: "ECONNREFUSED" },
    {
      name: "a node port answers",
      pods: ["podB"],
      spec: { type: "NodePort" },
      from: "outside",
      to: "node",
      want: "podB fd00:180::1",
    },
    {
      name: "external policy Local keeps the source",
      pods: ["podB"],
      spec: { type: "NodePort", externalTrafficPolicy: "Local" },
      from: "outside",
      to: "node",
      want: `podB ${net6.outside}`,
    },
    {
      name: "affinity works",
      pods: ["podB"],
      spec: { sessionAffinity: "ClientIP" },
      from: "podA",
      to: "cluster",
      want: `podB ${net6.podA}`,
    },
  ] as const) {
    test(`packets over IPv6: ${name}`, async () => {
      await sync([view(pods, spec)]);
      const target = to === "cluster" ? `[${serviceIp}]:80` : `[${net6.node}]:30080`;
      for (let i = 0; i < 3; i++) assert.equal(await ask(from, target), want);
    });
  }
}

async function checkFlow(network: FlowNetwork, flow: Flow): Promise<void> {
  const protocol = flow.protocol ?? "tcp";
  if (flow.want === "dropped") {
    const result = await network.probe(flow.from, flow.to, protocol, DROPPED_AFTER_MS);
    assert.equal(result.error, "ETIMEDOUT");
    return;
  }
  if (flow.want === "refused") {
    const result = await network.probe(flow.from, flow.to, protocol, 5000);
    assert.equal(result.error, "ECONNREFUSED");
    return;
  }
  const wanted = (flow.want as readonly string[]).map((destination) => names[destination]);
  const seen = new Set<string>();
  // With three endpoints one is missed by 60 connections once in 10^10 runs.
  const rounds = wanted.length === 1 ? 2 : flow.sticky === true ? 10 : 60;
  for (let i = 0; i < rounds && (flow.sticky === true || seen.size < wanted.length); i++) {
    const result = await network.probe(flow.from, flow.to, protocol, 5000);
    const [name = "", source = ""] = result.answer?.split(" ") ?? [];
    assert.ok(wanted.includes(name), `answered by ${name || result.error}`);
    seen.add(name);
    if (flow.from === "node") continue; // Its own addresses are what masquerading would put there anyway.
    const changed = source !== clientAddresses[flow.from];
    assert.equal(changed, flow.masqueraded === "hairpin" ? name === flow.from : flow.masqueraded, `source ${source}`);
  }
  assert.equal(seen.size, flow.sticky === true ? 1 : wanted.length, `answered by ${[...seen].join(", ")}`);
}
