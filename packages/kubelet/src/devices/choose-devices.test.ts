import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type DeviceDemand, type DevicePlan, pickDevices, planDevices } from "./choose-devices.ts";

const DEMAND: DeviceDemand = {
  podUid: "u1",
  container: "main",
  resource: "example.com/thing",
  required: 1,
  held: undefined,
  healthy: ["a", "b", "c"],
  reusable: new Set(),
  inUse: new Set(),
};

const refused = (why: string): DevicePlan => ({ kind: "refused", why });
const PLANS: readonly { name: string; demand: Partial<DeviceDemand>; want: DevicePlan }[] = [
  {
    name: "offers what is free when there is enough",
    demand: { required: 2, inUse: new Set(["b"]) },
    want: { kind: "choose", taken: [], needed: 2, available: ["a", "c"] },
  },
  {
    name: "takes the init containers' devices first",
    demand: { required: 2, reusable: new Set(["b"]), inUse: new Set(["b"]) },
    want: { kind: "choose", taken: ["b"], needed: 1, available: ["a", "c"] },
  },
  {
    name: "refuses when too few are free",
    demand: { required: 3, inUse: new Set(["b"]) },
    want: refused("requested number of devices unavailable for example.com/thing. Requested: 3, Available: 2"),
  },
  {
    name: "counts only what is missing beyond the reused ones",
    demand: { required: 3, reusable: new Set(["a"]), inUse: new Set(["a", "b"]) },
    want: refused("requested number of devices unavailable for example.com/thing. Requested: 2, Available: 1"),
  },
  {
    name: "refuses when no device is healthy",
    demand: { healthy: [] },
    want: refused("no healthy devices present; cannot allocate unhealthy devices example.com/thing"),
  },
  {
    name: "refuses what no plugin registered",
    demand: { healthy: undefined },
    want: refused("cannot allocate unregistered device example.com/thing"),
  },
  { name: "leaves what is held", demand: { held: new Set(["b"]), inUse: new Set(["b"]) }, want: { kind: "held" } },
  { name: "asks for nothing when nothing is wanted", demand: { required: 0 }, want: { kind: "held" } },
  {
    name: "refuses held devices that fell ill",
    demand: { held: new Set(["d"]) },
    want: refused(
      "previously allocated devices are no longer healthy; cannot allocate unhealthy devices example.com/thing",
    ),
  },
  {
    name: "refuses a changed request",
    demand: { held: new Set(["a", "b"]) },
    want: refused('pod "u1" container "main" changed request for resource "example.com/thing" from 2 to 1'),
  },
];

for (const { name, demand, want } of PLANS) {
  test(`planDevices() ${name}`, () => {
    assert.deepEqual(planDevices({ ...DEMAND, ...demand }), want);
  });
}

test("pickDevices() follows the plugin where it names devices that are to be had", () => {
  const choice = { kind: "choose", taken: ["x"], needed: 2, available: ["a", "b", "c"] } as const;
  assert.deepEqual(pickDevices(choice, ["zzz", "x", "c", "c"]), ["x", "c", "a"]);
  assert.deepEqual(pickDevices(choice, []), ["x", "a", "b"]);
});

test("pickDevices() gives as many as asked for, each once, healthy, and nobody else's", () => {
  const ids = fc.uniqueArray(fc.constantFrom(..."abcdefghij"));
  const demands = fc.record({ healthy: ids, inUse: ids, reusable: ids, required: fc.integer({ min: 0, max: 11 }) });
  fc.assert(
    fc.property(demands, ids, ({ healthy, inUse, reusable, required }, preferred) => {
      const own = new Set(reusable);
      const plan = planDevices({ ...DEMAND, healthy, required, reusable: own, inUse: new Set([...inUse, ...own]) });
      if (plan.kind !== "choose") return;
      const picked = pickDevices(plan, preferred);
      assert.equal(picked.length, required);
      assert.equal(new Set(picked).size, required);
      for (const id of picked) assert.ok(own.has(id) || (healthy.includes(id) && !inUse.includes(id)));
    }),
    { verbose: 1 },
  );
});
