import assert from "node:assert/strict";
import { test } from "node:test";
import { countNftRules, type NftTable } from "@knarr/netfilter/nft-rule.ts";
import { diffNft, isEmptyChange, renderNftScript } from "@knarr/netfilter/nft-state.ts";
import { traceNft } from "@knarr/netfilter/trace-nft.ts";
import { sha256 } from "../../adapters/sha256.ts";
import { type Client, endpointOn, flows, net, planOptions, serviceView } from "../../testing/flow-table.ts";
import type { PlanOptions } from "../plan-service.ts";
import type { ServiceView } from "../planned-port.ts";
import { NftModel } from "./nft-model.ts";

const nftOptions: PlanOptions = { ...planOptions, localhostNodePorts: false };

function tableOf(views: readonly ServiceView[], options: Partial<PlanOptions> = {}): NftTable {
  const model = new NftModel(sha256);
  model.update(views, { ...nftOptions, ...options });
  return model.table();
}

const host = { addresses: [net.node, net.bridge] };
const origins: Readonly<Record<Client, { source: string; inInterface?: string }>> = {
  podA: { source: net.podA, inInterface: "cni0" },
  node: { source: net.node },
  outside: { source: net.outside, inInterface: "eth0" },
  remote: { source: net.remote, inInterface: "eth0" },
};

function trace(
  table: NftTable,
  from: Client,
  to: string,
  protocol: "tcp" | "udp" | "sctp" = "tcp",
  recentLists: string[] = [],
) {
  const [destination = "", port] = to.split(":");
  return traceNft(table, { ...origins[from], destination, destinationPort: Number(port), protocol, recentLists }, host);
}

for (const flow of flows) {
  test(`packet flow through nftables: ${flow.name}`, () => {
    const table = tableOf([flow.view], flow.options);
    const want = flow.nftablesWant ?? flow.want;
    const fates = trace(table, flow.from, flow.to, flow.protocol);
    assert.ok(Math.abs(fates.reduce((sum, fate) => sum + fate.probability, 0) - 1) < 1e-9);
    if (want === "untranslated") {
      assert.deepEqual(
        fates.map(({ verdict, destination }) => [verdict, destination]),
        [["accept", flow.to]],
      );
      return;
    }
    if (typeof want === "string") {
      assert.deepEqual(
        fates.map((fate) => fate.verdict),
        [want === "refused" ? "reject" : "drop"],
      );
      return;
    }
    assert.deepEqual(fates.map((fate) => fate.destination).sort(), [...want].sort());
    for (const fate of fates) {
      assert.equal(fate.verdict, "accept");
      assert.ok(Math.abs(fate.probability - 1 / want.length) < 1e-9, `${fate.destination}: ${fate.probability}`);
      const itself = fate.destination.startsWith(`${origins[flow.from].source}:`);
      assert.equal(fate.masqueraded, flow.masqueraded === "hairpin" ? itself : flow.masqueraded, fate.destination);
      if (flow.sticky !== true) continue;
      const again = trace(table, flow.from, flow.to, flow.protocol, [...fate.noted]);
      assert.deepEqual(
        again.map((f) => f.destination),
        [fate.destination],
      );
    }
  });
}

const three = [endpointOn("podA"), endpointOn("podB"), endpointOn("remote")];
const numbered = (count: number) =>
  Array.from({ length: count }, (_, i) => {
    const ip = `10.96.${1 + (i >> 8)}.${i & 255}`;
    return serviceView({ name: `web-${i}`, spec: { clusterIP: ip, clusterIPs: [ip] }, endpoints: three });
  });

for (const { services, rules } of [
  { services: 0, rules: 26 },
  { services: 1, rules: 29 },
  { services: 1000, rules: 29 },
]) {
  test(`update() makes ${rules} rules for ${services} Services of three endpoints`, () => {
    assert.equal(countNftRules(tableOf(numbered(services))), rules);
  });
}

test("update() answers an endpoint change with elements alone, and with nothing when nothing changed", () => {
  const views = numbered(10);
  const model = new NftModel(sha256);
  model.update(views, nftOptions);
  assert.ok(isEmptyChange(model.update(views, nftOptions).change));
  const ip = "10.96.1.3";
  const spec = { clusterIP: ip, clusterIPs: [ip] };
  const moved = serviceView({ name: "web-3", spec, endpoints: [endpointOn("podB"), ...three.slice(0, 1), three[2]!] });
  moved.slices[0]!.ports = [{ name: "http", port: 9090, protocol: "TCP" }];
  const { change, changedPorts } = model.update(
    views.map((view, i) => (i === 3 ? moved : view)),
    nftOptions,
  );
  assert.deepEqual([change.writtenChains.size, change.deletedChains.length], [0, 0]);
  assert.deepEqual([...change.elements.keys()], ["endpoints-tcp"]);
  assert.equal(change.elements.get("endpoints-tcp")?.deleted.length, 3);
  assert.equal(changedPorts.length, 1);
});

test("update() adds a chain for a new number of endpoints, and deletes it with the last Service that has it", () => {
  const model = new NftModel(sha256);
  model.update([serviceView({ endpoints: three })], nftOptions);
  const { change } = model.update([serviceView({ endpoints: three.slice(0, 2) })], nftOptions);
  assert.deepEqual([[...change.writtenChains.keys()], change.deletedChains], [["cluster-tcp-2"], ["cluster-tcp-3"]]);
});

test("update() gives an address that two Services claim to the first by name, then to the other", () => {
  const spec = { externalIPs: ["198.51.100.7"] };
  const first = serviceView({ name: "a", spec, endpoints: [endpointOn("podA")] });
  const second = serviceView({ name: "b", spec, endpoints: [endpointOn("podB")] });
  const model = new NftModel(sha256);
  model.update([second, first], nftOptions);
  assert.equal(trace(model.table(), "outside", "198.51.100.7:80")[0]?.destination, `${net.podA}:8080`);
  const { change } = model.update([second], nftOptions);
  assert.equal(trace(model.table(), "outside", "198.51.100.7:80")[0]?.destination, `${net.podB}:8080`);
  assert.ok((change.elements.get("endpoints-tcp")?.deleted.length ?? 0) > 0);
});

test("update() removes chains and sets of affinity with their Service", () => {
  const model = new NftModel(sha256);
  model.update([], nftOptions);
  const before = countNftRules(model.table());
  model.update([serviceView({ spec: { sessionAffinity: "ClientIP" }, endpoints: three })], nftOptions);
  const { change } = model.update([], nftOptions);
  assert.equal(change.deletedSets.length, 3);
  assert.equal(countNftRules(model.table()), before);
});

test("update() keeps what clients of the remaining endpoints stick to when another one leaves", () => {
  const model = new NftModel(sha256);
  const spec = { sessionAffinity: "ClientIP" };
  model.update([serviceView({ spec, endpoints: three })], nftOptions);
  const { change } = model.update([serviceView({ spec, endpoints: three.slice(1) })], nftOptions);
  assert.deepEqual([change.addedSets.size, change.deletedSets.length, change.deletedChains.length], [0, 1, 1]);
});

test("node ports answer only on the addresses asked for", () => {
  const view = serviceView({ spec: { type: "NodePort" }, endpoints: [endpointOn("podA")] });
  const table = tableOf([view], { nodePortIps: [net.bridge] });
  assert.equal(trace(table, "outside", `${net.node}:30080`)[0]?.destination, `${net.node}:30080`);
  assert.equal(trace(table, "outside", `${net.bridge}:30080`)[0]?.destination, `${net.podA}:8080`);
});

test("SCTP is translated too", () => {
  const table = tableOf([serviceView({ endpoints: [endpointOn("podB")], protocol: "SCTP" })]);
  assert.equal(trace(table, "podA", "10.96.0.20:80", "sctp")[0]?.destination, `${net.podB}:8080`);
});

test("one port number with several protocols is several ports", () => {
  const tcp = serviceView({ name: "dns-tcp", endpoints: [endpointOn("podA")] });
  const udp = serviceView({ name: "dns-udp", endpoints: [endpointOn("podB")], protocol: "UDP" });
  const table = tableOf([tcp, udp]);
  assert.equal(trace(table, "outside", "10.96.0.20:80", "tcp")[0]?.destination, `${net.podA}:8080`);
  assert.equal(trace(table, "outside", "10.96.0.20:80", "udp")[0]?.destination, `${net.podB}:8080`);
});

test("a port that no Service has on a cluster IP is refused", () => {
  const table = tableOf([serviceView({ endpoints: three })]);
  assert.equal(trace(table, "podA", "10.96.0.20:81")[0]?.verdict, "reject");
});

test("IPv6 addresses of a dual-stack Service have a table of their own", () => {
  const view = serviceView({ spec: { clusterIPs: ["10.96.0.20", "fd00:96::20"] } });
  const slice = { ...view.slices[0]!, addressType: "IPv6", endpoints: [{ addresses: ["fd00:180::2"] }] };
  const table = tableOf([{ ...view, slices: [...view.slices, slice] }], {
    family: "ipv6",
    localDetector: { kind: "prefix", prefix: "fd00:180::/48" },
  });
  const packet = { source: "fd00:180::3", destination: "fd00:96::20", destinationPort: 80, protocol: "tcp" } as const;
  const [fate] = traceNft(table, { ...packet, inInterface: "cni0" }, { addresses: [] });
  assert.deepEqual([fate?.verdict, fate?.destination], ["accept", "[fd00:180::2]:8080"]);
});

test("renderNftScript() of a change that diffNft() found nothing in is only the table", () => {
  const table = tableOf([]);
  const actual = {
    rules: "",
    chains: new Map([...table.chains].map(([name, { hook }]) => [name, hook])),
    sets: new Map<string, { shape: string; elements: Map<string, string> }>(),
  };
  const change = diffNft(actual, { ...table, sets: new Map() }, true);
  assert.ok(isEmptyChange(change));
  assert.equal(renderNftScript(table, change), "add table ip kube-proxy\n");
});
