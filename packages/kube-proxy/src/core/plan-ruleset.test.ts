import assert from "node:assert/strict";
import { test } from "node:test";
import { renderRule } from "@knarr/netfilter/iptables-text.ts";
import { countRules, type Ruleset } from "@knarr/netfilter/ruleset.ts";
import { tracePacket } from "@knarr/netfilter/trace-packet.ts";
import { sha256 } from "../adapters/sha256.ts";
import { type Client, endpointOn, flows, net, planOptions, serviceView } from "../testing/flow-table.ts";
import { chainsOf } from "./chain-names.ts";
import { RulesetPlanner } from "./plan-ruleset.ts";
import type { PlanOptions } from "./plan-service.ts";
import type { ServiceView } from "./planned-port.ts";
import type { ServicePort } from "./service-port.ts";

function planOf(views: readonly ServiceView[], options: Partial<PlanOptions> = {}): Ruleset {
  return new RulesetPlanner(sha256).plan(views, { ...planOptions, ...options }).ruleset;
}

const host = { addresses: [net.node, net.bridge] };
const origins: Readonly<Record<Client, { source: string; inInterface?: string }>> = {
  podA: { source: net.podA, inInterface: "cni0" },
  node: { source: net.node },
  outside: { source: net.outside, inInterface: "eth0" },
  remote: { source: net.remote, inInterface: "eth0" },
};

function trace(
  ruleset: Ruleset,
  from: Client,
  to: string,
  protocol: "tcp" | "udp" = "tcp",
  recentLists: string[] = [],
) {
  const [destination = "", port] = to.split(":");
  const packet = { ...origins[from], destination, destinationPort: Number(port), protocol, recentLists };
  return tracePacket(ruleset, packet, host);
}

for (const flow of flows) {
  test(`packet flow: ${flow.name}`, () => {
    const ruleset = planOf([flow.view], flow.options);
    const fates = trace(ruleset, flow.from, flow.to, flow.protocol);
    assert.ok(Math.abs(fates.reduce((sum, fate) => sum + fate.probability, 0) - 1) < 1e-9);
    assert.notEqual(flow.want, "untranslated");
    if (typeof flow.want === "string") {
      assert.deepEqual(
        fates.map((fate) => fate.verdict),
        [flow.want === "refused" ? "reject" : "drop"],
      );
      return;
    }
    assert.deepEqual(fates.map((fate) => fate.destination).sort(), [...flow.want].sort());
    for (const fate of fates) {
      assert.equal(fate.verdict, "accept");
      assert.ok(Math.abs(fate.probability - 1 / flow.want.length) < 1e-9, `${fate.destination}: ${fate.probability}`);
      const itself = fate.destination.startsWith(`${origins[flow.from].source}:`);
      assert.equal(fate.masqueraded, flow.masqueraded === "hairpin" ? itself : flow.masqueraded, fate.destination);
      if (flow.sticky === true) {
        const again = trace(ruleset, flow.from, flow.to, flow.protocol, [...fate.noted]);
        assert.deepEqual(
          again.map((f) => f.destination),
          [fate.destination],
        );
      }
    }
  });
}

test("chainsOf() names chains as upstream does", () => {
  const port = { name: "default/kubernetes:https", protocol: "tcp" } as ServicePort;
  assert.equal(chainsOf(port, sha256).cluster, "KUBE-SVC-NPX46M4PTMTKRN6Y");
});

for (const [what, spec] of [
  ["headless", { clusterIP: "None", clusterIPs: ["None"] }],
  ["ExternalName", { type: "ExternalName", externalName: "example.org" }],
  ["not yet allocated", { clusterIP: "", clusterIPs: [] }],
] as const) {
  test(`plan() makes no rules for a Service that is ${what}`, () => {
    const view = serviceView({
      spec: { ...spec, ...("clusterIPs" in spec ? { clusterIPs: [...spec.clusterIPs] } : { clusterIPs: [] }) },
      endpoints: [endpointOn("podA")],
    });
    const nothing = planOf([]);
    const ruleset = planOf([view]);
    assert.equal(countRules(ruleset, "nat"), countRules(nothing, "nat"));
    assert.equal(countRules(ruleset, "filter"), countRules(nothing, "filter"));
  });
}

test("plan() leaves out what is no address, and keeps the rest", () => {
  const spec = { externalIPs: ["nonsense", "1.2.3.4/8", "198.51.100.7"], loadBalancerSourceRanges: ["10.0.0.0/99"] };
  const status = { loadBalancer: { ingress: [{ ip: "2001:db8::1" }, { ip: "" }, { hostname: "lb.example.org" }] } };
  const endpoints = [endpointOn("podA", { addresses: ["pod.example.org"] }), endpointOn("podB")];
  const ruleset = planOf([serviceView({ spec, status, endpoints })]);
  assert.equal(trace(ruleset, "outside", "198.51.100.7:80")[0]?.destination, `${net.podB}:8080`);
  for (const chains of ruleset.chains.values()) {
    for (const rules of chains.values()) for (const rule of rules) renderRule(rule, "ipv4");
  }
});

test("plan() leaves traffic to pod addresses alone", () => {
  const ruleset = planOf([serviceView({ endpoints: [endpointOn("podA")] })]);
  const [fate] = trace(ruleset, "outside", `${net.podA}:80`);
  assert.deepEqual([fate?.verdict, fate?.destination, fate?.masqueraded], ["accept", `${net.podA}:80`, false]);
});

test("plan() answers node ports only on the addresses asked for", () => {
  const view = serviceView({ spec: { type: "NodePort" }, endpoints: [endpointOn("podA")] });
  const ruleset = planOf([view], { nodePortIps: [net.bridge] });
  assert.equal(trace(ruleset, "outside", `${net.node}:30080`)[0]?.destination, `${net.node}:30080`);
  assert.equal(trace(ruleset, "outside", `${net.bridge}:30080`)[0]?.destination, `${net.podA}:8080`);
});

test("plan() keeps node ports off localhost when that is switched off", () => {
  const view = serviceView({ spec: { type: "NodePort" }, endpoints: [endpointOn("podA")] });
  const ruleset = planOf([view], { localhostNodePorts: false });
  assert.equal(trace(ruleset, "node", "127.0.0.1:30080")[0]?.destination, "127.0.0.1:30080");
});

test("plan() drops what comes from outside to loopback", () => {
  assert.equal(trace(planOf([]), "outside", "127.0.0.1:10249")[0]?.verdict, "drop");
});

test("plan() accepts health check node ports", () => {
  const spec = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31000 };
  const rules =
    planOf([serviceView({ spec })])
      .chains.get("filter")
      ?.get("KUBE-NODEPORTS") ?? [];
  assert.deepEqual(
    rules.map((rule) => renderRule(rule, "ipv4")),
    ['-p tcp -m comment --comment "test/web:http health check node port" -m tcp --dport 31000 -j ACCEPT'],
  );
});

test("plan() writes IPv6 rules for the IPv6 addresses of a dual-stack Service", () => {
  const view = serviceView({ spec: { clusterIPs: ["10.96.0.20", "fd00:96::20"] } });
  const slice = { ...view.slices[0]!, addressType: "IPv6", endpoints: [{ addresses: ["fd00:180::2"] }] };
  const ruleset = planOf([{ ...view, slices: [...view.slices, slice] }], {
    family: "ipv6",
    localDetector: { kind: "prefix", prefix: "fd00:180::/48" },
  });
  const packet = { source: "fd00:180::3", destination: "fd00:96::20", destinationPort: 80, protocol: "tcp" } as const;
  const [fate] = tracePacket(ruleset, { ...packet, inInterface: "cni0" }, { addresses: [] });
  assert.deepEqual([fate?.verdict, fate?.destination], ["accept", "[fd00:180::2]:8080"]);
});

for (const { services, nat, filter } of [
  { services: 0, nat: 5, filter: 4 },
  { services: 1, nat: 5 + 11, filter: 4 },
  { services: 100, nat: 5 + 1100, filter: 4 },
]) {
  test(`plan() makes ${nat} nat rules for ${services} Services of three endpoints`, () => {
    const three = [endpointOn("podA"), endpointOn("podB"), endpointOn("remote")];
    const views = Array.from({ length: services }, (_, i) => {
      const ip = `10.96.1.${i}`;
      return serviceView({ name: `web-${i}`, spec: { clusterIP: ip, clusterIPs: [ip] }, endpoints: three });
    });
    const ruleset = planOf(views);
    assert.deepEqual([countRules(ruleset, "nat"), countRules(ruleset, "filter")], [nat, filter]);
  });
}

test("plan() gives the same rule objects again for a Service that has not changed", () => {
  const planner = new RulesetPlanner(sha256);
  const kept = serviceView({ name: "kept", endpoints: [endpointOn("podA")] });
  const chainsBefore = planner.plan([kept, serviceView({})], planOptions).ruleset.chains.get("nat");
  const chainsAfter = planner.plan([kept], planOptions).ruleset.chains.get("nat");
  const own = [...(chainsAfter?.keys() ?? [])].filter((name) => name.startsWith("KUBE-SVC-"));
  assert.equal(own.length, 1);
  assert.equal(chainsAfter?.get(own[0] ?? ""), chainsBefore?.get(own[0] ?? ""));
});
