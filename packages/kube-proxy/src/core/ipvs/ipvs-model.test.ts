import assert from "node:assert/strict";
import { test } from "node:test";
import { ipSetTypes } from "@knarr/netfilter/ip-set.ts";
import { renderRule } from "@knarr/netfilter/iptables-text.ts";
import { countRules } from "@knarr/netfilter/ruleset.ts";
import { type Fate, type TracedSet, tracePacket } from "@knarr/netfilter/trace-packet.ts";
import { type Client, endpointOn, flows, net, planOptions, serviceView } from "../../testing/flow-table.ts";
import type { PlanOptions } from "../plan-service.ts";
import type { ServiceView } from "../planned-port.ts";
import { IpvsModel } from "./ipvs-model.ts";
import { type IpvsSet, ipvsRuleset, ipvsSets, isProxySet, setName } from "./layout.ts";
import { ADDRESSES, decodeServer, SERVERS } from "./plan-port.ts";

const ipvsOptions: PlanOptions = { ...planOptions, nodePortIps: [net.node, net.bridge] };
const origins: Readonly<Record<Client, { source: string; inInterface?: string }>> = {
  podA: { source: net.podA, inInterface: "cni0" },
  node: { source: net.node },
  outside: { source: net.outside, inInterface: "eth0" },
  remote: { source: net.remote, inInterface: "eth0" },
};

interface Planned {
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly options: PlanOptions;
}

function planOf(views: readonly ServiceView[], options: Partial<PlanOptions> = {}): Planned {
  const merged = { ...ipvsOptions, ...options };
  const model = new IpvsModel("rr");
  model.update(views, merged);
  return { elements: model.elements(), options: merged };
}

function entriesOf({ elements, options }: Planned, set: IpvsSet): string[] {
  return [...(elements.get(setName(set, options.family))?.keys() ?? [])];
}

function trace(planned: Planned, from: Client, to: string, protocol: "tcp" | "udp" | "sctp" = "tcp"): Fate[] {
  const colon = to.lastIndexOf(":");
  const { elements, options } = planned;
  const sets = new Map<string, TracedSet>();
  for (const [set, type] of Object.entries(ipvsSets) as [IpvsSet, TracedSet["type"]][]) {
    sets.set(setName(set, options.family), { type, entries: new Set(entriesOf(planned, set)) });
  }
  const virtualServers = new Map(
    [...(elements.get(SERVERS) ?? [])].map(([key, value]) => [key, [...decodeServer(value).servers]]),
  );
  const addresses = [net.node, net.bridge, ...(elements.get(ADDRESSES)?.keys() ?? [])];
  const destination = to.slice(0, colon).replace(/^\[|\]$/g, "");
  const packet = { ...origins[from], destination, destinationPort: Number(to.slice(colon + 1)), protocol };
  return tracePacket(ipvsRuleset(options), packet, { addresses, sets, virtualServers });
}

for (const flow of flows) {
  test(`packet flow through ipvs: ${flow.name}`, () => {
    const planned = planOf([flow.view], flow.options);
    const fates = trace(planned, flow.from, flow.to, flow.protocol);
    const want = flow.ipvsWant ?? flow.want;
    assert.ok(Math.abs(fates.reduce((sum, fate) => sum + fate.probability, 0) - 1) < 1e-9);
    if (want === "untranslated") {
      assert.deepEqual(
        fates.map((fate) => [fate.verdict, fate.destination]),
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
      const itself = fate.destination.startsWith(`${origins[flow.from].source}:`);
      assert.equal(fate.masqueraded, flow.masqueraded === "hairpin" ? itself : flow.masqueraded, fate.destination);
    }
    const persistent = [...(planned.elements.get(SERVERS)?.values() ?? [])].every((v) => v.includes("-p 10800"));
    assert.equal(persistent, flow.sticky === true);
  });
}

test("ipvsRuleset() has the same number of rules for any number of Services, all of which render", () => {
  for (const family of ["ipv4", "ipv6"] as const) {
    const prefix = family === "ipv4" ? net.podPrefix : "fd00:180::/48";
    const ruleset = ipvsRuleset({ ...ipvsOptions, family, localDetector: { kind: "prefix", prefix } });
    assert.deepEqual([countRules(ruleset, "nat"), countRules(ruleset, "filter")], [25, 18]);
    for (const chains of ruleset.chains.values()) {
      for (const rules of chains.values()) for (const rule of rules) renderRule(rule, family);
    }
  }
});

test("setName() names sets as upstream does, within the kernel's limit", () => {
  assert.equal(setName("CLUSTER-IP", "ipv4"), "KUBE-CLUSTER-IP");
  assert.equal(setName("CLUSTER-IP", "ipv6"), "KUBE-6-CLUSTER-IP");
  for (const set of Object.keys(ipvsSets) as IpvsSet[]) {
    assert.ok(setName(set, "ipv6").length <= 31);
    assert.ok(isProxySet(setName(set, "ipv6")));
    assert.ok(ipSetTypes.includes(ipvsSets[set]));
  }
  assert.equal(isProxySet("KUBE-NWPLCY-1"), false);
});

test("ipvsRuleset() refuses ports of a Service's address that no Service has", () => {
  const planned = planOf([serviceView({ endpoints: [endpointOn("podA")] })]);
  assert.equal(trace(planned, "outside", "10.96.0.20:22")[0]?.verdict, "reject");
  assert.equal(trace(planned, "outside", `${net.node}:22`)[0]?.verdict, "accept");
});

test("planIpvsPort() leaves the node's own addresses where they are", () => {
  const planned = planOf([serviceView({ spec: { externalIPs: [net.node] }, endpoints: [endpointOn("podB")] })]);
  assert.deepEqual([...(planned.elements.get(ADDRESSES)?.keys() ?? [])], ["10.96.0.20"]);
  assert.deepEqual(entriesOf(planned, "IPVS-IPS"), ["10.96.0.20"]);
  assert.equal(trace(planned, "outside", `${net.node}:80`)[0]?.destination, `${net.podB}:8080`);
  assert.equal(trace(planned, "outside", `${net.node}:22`)[0]?.verdict, "accept");
});

for (const [range, want] of [
  ["0.0.0.0/0", ["0.0.0.0/1", "128.0.0.0/1"]],
  ["192.168.100.2/32", ["192.168.100.2"]],
  ["10.0.0.0/8", ["10.0.0.0/8"]],
] as const) {
  test(`planIpvsPort() admits ${range} as the set can hold it`, () => {
    const spec = { type: "LoadBalancer", loadBalancerSourceRanges: [range] };
    const status = { loadBalancer: { ingress: [{ ip: "203.0.113.10" }] } };
    const planned = planOf([serviceView({ spec, status, endpoints: [endpointOn("podB")] })]);
    const start = "203.0.113.10,tcp:80,";
    assert.deepEqual(
      entriesOf(planned, "LOAD-BALANCER-SOURCE-CIDR"),
      want.map((part) => start + part),
    );
  });
}

test("planIpvsPort() serves SCTP node ports by address", () => {
  const spec = { type: "NodePort", externalTrafficPolicy: "Local" };
  const planned = planOf([serviceView({ spec, protocol: "SCTP", endpoints: [endpointOn("podB")] })]);
  assert.deepEqual(entriesOf(planned, "NODE-PORT-LOCAL-SCTP-HASH"), [
    `${net.node},sctp:30080`,
    `${net.bridge},sctp:30080`,
  ]);
  const [fate] = trace(planned, "outside", `${net.node}:30080`, "sctp");
  assert.deepEqual([fate?.destination, fate?.masqueraded], [`${net.podB}:8080`, false]);
});

test("update() tells what changed, and the whole is as if planned anew", () => {
  const model = new IpvsModel("lc");
  const kept = serviceView({ name: "kept", spec: { clusterIP: "10.96.0.21", clusterIPs: ["10.96.0.21"] } });
  const before = serviceView({ endpoints: [endpointOn("podA"), endpointOn("remote")] });
  model.update([kept, before], ipvsOptions);
  const after = serviceView({ endpoints: [endpointOn("remote")] });
  const { changes, changedPorts } = model.update([kept, after], ipvsOptions, new Map([["test/web", after]]));
  assert.deepEqual([...changes.keys()].sort(), ["KUBE-LOOP-BACK", SERVERS]);
  assert.deepEqual([...(changes.get(SERVERS)?.added ?? [])], [["tcp 10.96.0.20:80", "-s lc\n10.180.1.2:8080"]]);
  assert.equal(changedPorts.length, 1);
  model.update([kept], ipvsOptions, new Map([["test/web", undefined]]));
  const fresh = new IpvsModel("lc");
  fresh.update([kept], ipvsOptions);
  const whole = (m: IpvsModel) => [...m.elements()].map(([set, e]) => [set, [...e]]).filter(([, e]) => e?.length !== 0);
  assert.deepEqual(whole(model).sort(), whole(fresh).sort());
});

test("planIpvsPort() without a way to tell local pods masquerades what the node sends from a Service's address", () => {
  const planned = planOf([serviceView({ endpoints: [endpointOn("podB")] })], { localDetector: { kind: "none" } });
  const rules = ipvsRuleset(planned.options).chains.get("nat")?.get("KUBE-SERVICES") ?? [];
  assert.ok(rules.some((rule) => rule.inSet?.is.directions === "src,dst"));
});
