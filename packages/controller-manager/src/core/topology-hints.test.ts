import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint } from "@knarr/api/generated/types/discovery-v1.ts";
import fc from "fast-check";
import { distributionHints, planTopologyHints, zoneShares } from "./topology-hints.ts";

const node = (zone: string, cpu: string, labels = {}, ready = "True"): Node => ({
  metadata: {
    name: `${zone}-${cpu}`,
    labels: { ...(zone === "" ? {} : { "topology.kubernetes.io/zone": zone }), ...labels },
  },
  status: { allocatable: { cpu }, conditions: [{ type: "Ready", status: ready }] },
});
const endpoint = (zone: string | undefined, at: number, ready = true): Endpoint => ({
  addresses: [`10.0.0.${at}`],
  conditions: { ready },
  nodeName: "n1",
  ...(zone === undefined ? {} : { zone }),
});
const service = (trafficDistribution: string, annotations = {}): Service => ({
  metadata: { name: "s", annotations },
  spec: { trafficDistribution },
});

const distributionRows = [
  { wish: "PreferClose", want: { forZones: [{ name: "a" }] } },
  { wish: "PreferSameZone", want: { forZones: [{ name: "a" }] } },
  { wish: "PreferSameNode", want: { forZones: [{ name: "a" }], forNodes: [{ name: "n1" }] } },
  { wish: "", want: undefined },
];
for (const { wish, want } of distributionRows) {
  test(`distributionHints() gives ${JSON.stringify(want)} when the Service wants "${wish}"`, () => {
    assert.deepEqual(distributionHints(service(wish), endpoint("a", 1)), want);
  });
}
test("distributionHints() gives nothing to endpoints that aren't ready, have no place, or when the annotation rules", () => {
  assert.equal(distributionHints(service("PreferClose"), endpoint("a", 1, false)), undefined);
  assert.equal(distributionHints(service("PreferClose"), endpoint(undefined, 1)), undefined);
  const auto = { "service.kubernetes.io/topology-mode": "Auto" };
  assert.equal(distributionHints(service("PreferClose", auto), endpoint("a", 1)), undefined);
});

test("zoneShares() counts ready workers' CPUs and refuses when one says too little", () => {
  const controlPlane = { "node-role.kubernetes.io/control-plane": "" };
  const good = [node("a", "6"), node("b", "2"), node("c", "9", controlPlane), node("b", "5", {}, "False")];
  assert.deepEqual(
    [...(zoneShares(good) ?? [])],
    [
      ["a", 0.75],
      ["b", 0.25],
    ],
  );
  assert.equal(zoneShares([...good, node("", "1")]), undefined);
  assert.equal(zoneShares([node("a", "1")]), undefined);
});

const half = zoneShares([node("a", "8"), node("b", "8")]);
const none = () => undefined;
const many = (zones: string) => [...zones].map((zone, i) => endpoint(zone, i));

test("planTopologyHints() moves as few endpoints as needed from full to empty zones", () => {
  const plan = planTopologyHints(many("aaaabb"), half, none);
  assert.equal(plan.kind, "hints");
  assert.deepEqual(plan.kind === "hints" && [...plan.zones.values()].sort(), ["a", "a", "a", "b", "b", "b"]);
});

const refusals = [
  { name: "nodes say too little", endpoints: many("ab"), shares: undefined, why: /^Insufficient Node information/ },
  { name: "there are fewer endpoints than zones", endpoints: many("a"), why: /endpoints \(1 endpoints, 2 zones\)$/ },
  { name: "some zone would be overloaded", endpoints: many("aab"), why: /^Unable to allocate minimum required/ },
  { name: "an endpoint has no zone", endpoints: [endpoint(undefined, 9), ...many("aab")], why: /do not have a zone/ },
];
for (const { name, endpoints, why, ...own } of refusals) {
  test(`planTopologyHints() gives none when ${name}`, () => {
    const plan = planTopologyHints(endpoints, "shares" in own ? own.shares : half, none);
    assert.match(plan.kind === "none" ? plan.why : "", why);
  });
}

test("planTopologyHints() keeps every zone at its minimum, and what it gave when asked again", () => {
  const zone = fc.constantFrom("a", "b", "c");
  fc.assert(
    fc.property(
      fc.array(zone, { minLength: 3, maxLength: 40 }),
      fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)),
      (zones, cpus) => {
        const shares = zoneShares(["a", "b", "c"].map((name, i) => node(name, String((cpus[i] ?? 0) + 1))));
        const endpoints = zones.map((name, i) => endpoint(name, i));
        const plan = planTopologyHints(endpoints, shares, none);
        if (plan.kind === "none") return;
        const given = [...plan.zones.values()];
        assert.equal(given.length, endpoints.length);
        for (const [name, share] of shares ?? []) {
          const minimum = Math.ceil((share * endpoints.length) / 1.2);
          assert.ok(given.filter((z) => z === name).length >= minimum - 1, `zone ${name} of ${given.join("")}`);
        }
        const again = planTopologyHints(endpoints, shares, (e) => plan.zones.get(e));
        const moved =
          again.kind === "hints" ? endpoints.filter((e) => again.zones.get(e) !== plan.zones.get(e)).length : -1;
        assert.ok(moved === 0, `${moved} moved`);
      },
    ),
  );
});
