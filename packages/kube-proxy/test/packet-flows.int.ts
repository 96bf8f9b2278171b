/** The flow table with real packets: a kernel, both iptables front ends and nftables, in namespaces of its own. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import type { Backend } from "../src/adapters/backend.ts";
import { IptablesBackend } from "../src/adapters/iptables-backend.ts";
import { NftBackend } from "../src/adapters/nft-backend.ts";
import { endpointOn, net, serviceView } from "../src/testing/flow-table.ts";
import { describeFlows, describeIpv6, syncWith } from "./flow-cases.ts";
import { FlowNetwork } from "./flow-network.ts";

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
