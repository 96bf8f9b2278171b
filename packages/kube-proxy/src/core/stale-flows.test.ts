import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConntrackFlow } from "@knarr/netfilter/conntrack.ts";
import { sha256 } from "../adapters/sha256.ts";
import { endpointOn, net, planOptions, serviceView } from "../testing/flow-table.ts";
import { RulesetPlanner } from "./plan-ruleset.ts";
import { findStaleFlows } from "./stale-flows.ts";

const view = serviceView({
  protocol: "UDP",
  spec: { type: "NodePort", externalIPs: ["198.51.100.7"] },
  endpoints: [endpointOn("podA")],
});
const { ports } = new RulesetPlanner(sha256).plan([view], planOptions);

function flow(to: string, port: number, answering: string, answeringPort = 8080): ConntrackFlow {
  const client = { protocol: "udp", source: net.outside, sourcePort: 4000 } as const;
  return { ...client, destination: to, destinationPort: port, replySource: answering, replySourcePort: answeringPort };
}

for (const { name, given, stale } of [
  { name: "an endpoint that serves", given: flow("10.96.0.20", 80, net.podA), stale: false },
  { name: "an endpoint that is gone", given: flow("10.96.0.20", 80, net.podB), stale: true },
  { name: "another port of an endpoint", given: flow("10.96.0.20", 80, net.podA, 9090), stale: true },
  { name: "nobody, from before there were rules", given: flow("10.96.0.20", 80, "10.96.0.20", 80), stale: true },
  { name: "a gone endpoint through an external IP", given: flow("198.51.100.7", 80, net.podB), stale: true },
  { name: "a gone endpoint through the node port", given: flow(net.node, 30080, net.podB), stale: true },
  { name: "an address that is no Service's", given: flow("9.9.9.9", 53, "9.9.9.9", 53), stale: false },
]) {
  test(`findStaleFlows() ${stale ? "finds" : "leaves"} a flow to ${name}`, () => {
    assert.equal(findStaleFlows([given], ports).length, stale ? 1 : 0);
  });
}

test("findStaleFlows() names each destination and answerer once, whoever the clients are", () => {
  const given = flow("10.96.0.20", 80, net.podB);
  assert.equal(findStaleFlows([given, { ...given, source: "10.0.0.9", sourcePort: 1 }], ports).length, 1);
});
