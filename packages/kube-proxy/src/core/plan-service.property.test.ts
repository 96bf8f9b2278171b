/** Laws that hold for any Service and any endpoints, judged by tracing packets. A failure prints its seed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { joinHostPort } from "@knarr/netfilter/ip.ts";
import { type TracedPacket, tracePacket } from "@knarr/netfilter/trace-packet.ts";
import fc from "fast-check";
import { sha256 } from "../adapters/sha256.ts";
import { net, planOptions, serviceView } from "../testing/flow-table.ts";
import { RulesetPlanner } from "./plan-ruleset.ts";

const endpoint = fc.record({
  host: fc.integer({ min: 2, max: 9 }),
  local: fc.boolean(),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
});
const service = fc.record({
  type: fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer"),
  internalTrafficPolicy: fc.constantFrom("Cluster", "Local"),
  externalTrafficPolicy: fc.constantFrom("Cluster", "Local"),
  sessionAffinity: fc.constantFrom("None", "ClientIP"),
});
const packet: fc.Arbitrary<TracedPacket> = fc
  .record({
    from: fc.constantFrom(
      { source: net.podA, inInterface: "cni0" },
      { source: net.outside, inInterface: "eth0" },
      { source: net.node },
    ),
    to: fc.constantFrom(["10.96.0.20", 80], [net.node, 30080], ["203.0.113.10", 80]) as fc.Arbitrary<[string, number]>,
  })
  .map(({ from, to: [destination, destinationPort] }) => ({ ...from, destination, destinationPort, protocol: "tcp" }));

test("a packet to a Service lands only on endpoints that may serve it, and all chances sum to one", () => {
  fc.assert(
    fc.property(
      service,
      fc.uniqueArray(endpoint, { selector: (e) => e.host, maxLength: 6 }),
      packet,
      (spec, list, sent) => {
        const endpoints = list.map((e) => ({
          addresses: [`10.180.2.${e.host}`],
          nodeName: e.local ? "node-1" : "node-2",
          conditions: { ready: e.ready && !e.terminating, serving: e.serving || e.ready, terminating: e.terminating },
        }));
        const status = { loadBalancer: { ingress: spec.type === "LoadBalancer" ? [{ ip: "203.0.113.10" }] : [] } };
        const view = serviceView({ spec, status, endpoints });
        const { ruleset } = new RulesetPlanner(sha256).plan([view], planOptions);
        const fates = tracePacket(ruleset, sent, { addresses: [net.node, net.bridge] });
        assert.ok(Math.abs(fates.reduce((sum, fate) => sum + fate.probability, 0) - 1) < 1e-9);
        const ready = endpoints.filter((e) => e.conditions.ready);
        const fallback = endpoints.filter((e) => e.conditions.serving && e.conditions.terminating);
        const untouched = joinHostPort(sent.destination, sent.destinationPort);
        for (const fate of fates) {
          if (fate.verdict !== "accept" || fate.destination === untouched) continue;
          const landed = endpoints.find((e) => fate.destination === `${e.addresses[0]}:8080`);
          assert.ok(landed !== undefined, fate.destination);
          const candidates = landed.conditions.ready ? ready : fallback;
          assert.ok(candidates.includes(landed));
          // A terminating endpoint serves only where the policy leaves no ready one.
          const readyThere = ready.filter((e) => e.nodeName === landed.nodeName);
          if (!landed.conditions.ready) assert.equal(readyThere.length, 0);
        }
        // The cluster IP always has an answer of its own: an endpoint, a refusal or a drop.
        if (sent.destination === "10.96.0.20")
          for (const fate of fates) assert.notEqual(fate.destination === untouched && fate.verdict, "accept");
        if (endpoints.length === 0 && sent.destination === "10.96.0.20") assert.equal(fates[0]?.verdict, "reject");
      },
    ),
    { numRuns: 500 },
  );
});
