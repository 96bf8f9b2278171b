import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type {
  PodDisruptionBudget,
  PodDisruptionBudgetSpec,
  PodDisruptionBudgetStatus,
} from "@knarr/api/generated/types/policy-v1.ts";
import fc from "fast-check";
import { failedBudget, needsScale, planBudget, staleMarkAfterMs } from "./disruption-plan.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const at = (secondsAgo: number) => new Date(NOW - secondsAgo * 1000).toISOString();
const budget = (spec: PodDisruptionBudgetSpec, status?: PodDisruptionBudgetStatus): PodDisruptionBudget => ({
  metadata: { namespace: "ns", name: "b", generation: 4 },
  spec,
  ...(status === undefined ? {} : { status }),
});
const pod = (name: string, ready = true, going = false): Pod => ({
  metadata: { name, ...(going ? { deletionTimestamp: at(1) } : {}) },
  status: { phase: "Running", conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
});
const pods = (ready: number, unready = 0) => [
  ...Array.from({ length: ready }, (_, i) => pod(`r${i}`)),
  ...Array.from({ length: unready }, (_, i) => pod(`u${i}`, false)),
];

const rows: { spec: PodDisruptionBudgetSpec; ready: number; unready?: number; scale?: number; want: number[] }[] = [
  { spec: { minAvailable: 2 }, ready: 3, want: [3, 2, 3, 1] },
  { spec: { minAvailable: 2 }, ready: 1, unready: 2, want: [1, 2, 3, 0] },
  { spec: { minAvailable: "50%" }, ready: 5, scale: 5, want: [5, 3, 5, 2] },
  { spec: { minAvailable: "100%" }, ready: 5, scale: 5, want: [5, 5, 5, 0] },
  { spec: { maxUnavailable: 1 }, ready: 3, scale: 3, want: [3, 2, 3, 1] },
  { spec: { maxUnavailable: 1 }, ready: 2, unready: 1, scale: 3, want: [2, 2, 3, 0] },
  { spec: { maxUnavailable: "30%" }, ready: 10, scale: 10, want: [10, 7, 10, 3] },
  { spec: { maxUnavailable: 10 }, ready: 3, scale: 3, want: [3, 0, 3, 3] },
  { spec: { minAvailable: 0 }, ready: 0, want: [0, 0, 0, 0] },
  { spec: {}, ready: 3, want: [3, 0, 0, 0] },
];
for (const { spec, ready, unready = 0, scale = 0, want } of rows) {
  test(`planBudget() gives healthy, desired, expected, allowed ${want} when ${JSON.stringify(spec)} has ${ready} of ${ready + unready}`, () => {
    const { status } = planBudget({
      budget: budget(spec),
      pods: pods(ready, unready),
      expectedScale: scale,
      nowMs: NOW,
    });
    assert.deepEqual(
      [status.currentHealthy, status.desiredHealthy, status.expectedPods, status.disruptionsAllowed],
      want,
    );
    const [condition] = status.conditions ?? [];
    assert.deepEqual(
      [condition?.status, condition?.reason],
      (want[3] as number) > 0 ? ["True", "SufficientPods"] : ["False", "InsufficientPods"],
    );
    assert.equal(condition?.observedGeneration, 4);
  });
}

test("planBudget() counts out pods that were let go, for two minutes, then tells that they stayed", () => {
  const disruptedPods = { r0: at(30), r1: at(121), gone: at(1) };
  const plan = planBudget({
    budget: budget({ minAvailable: 1 }, { disruptedPods }),
    pods: [...pods(3), pod("going", true, true)],
    expectedScale: 0,
    nowMs: NOW,
  });
  assert.deepEqual(plan.status.disruptedPods, { r0: at(30) });
  assert.equal(plan.status.currentHealthy, 2);
  assert.deepEqual(
    plan.notDeleted.map(({ metadata }) => metadata.name),
    ["r1"],
  );
  assert.equal(plan.requeueAfterMs, 90_001);
});

test("failedBudget() allows nothing and says why", () => {
  const status = failedBudget(
    budget({ maxUnavailable: 1 }, { disruptionsAllowed: 3, currentHealthy: 5, desiredHealthy: 2, expectedPods: 5 }),
    "no scale",
    NOW,
  );
  assert.deepEqual(
    [status.disruptionsAllowed, status.currentHealthy, status.conditions?.[0]?.reason, status.conditions?.[0]?.message],
    [0, 5, "SyncFailed", "no scale"],
  );
  assert.ok(
    needsScale(budget({ maxUnavailable: 1 })) &&
      needsScale(budget({ minAvailable: "1%" })) &&
      !needsScale(budget({ minAvailable: 1 })),
  );
});

test("staleMarkAfterMs() is two minutes after a mark that nothing followed", () => {
  const marked = (reason: string, secondsAgo: number): Pod => ({
    metadata: { name: "p" },
    status: {
      phase: "Running",
      conditions: [{ type: "DisruptionTarget", status: "True", reason, lastTransitionTime: at(secondsAgo) }],
    },
  });
  assert.equal(staleMarkAfterMs(marked("EvictionByEvictionAPI", 30), NOW), 90_000);
  assert.equal(staleMarkAfterMs(marked("EvictionByEvictionAPI", 300), NOW), 0);
  assert.equal(staleMarkAfterMs(marked("TerminationByKubelet", 300), NOW), undefined);
  assert.equal(staleMarkAfterMs(pod("p"), NOW), undefined);
});

test("planBudget() never allows so many that fewer than desired stay healthy (property)", () => {
  const amount = fc.oneof(
    fc.nat(12),
    fc.nat(100).map((n) => `${n}%`),
  );
  fc.assert(
    fc.property(amount, fc.boolean(), fc.nat(10), fc.nat(10), (value, isMin, ready, unready) => {
      const spec = isMin ? { minAvailable: value } : { maxUnavailable: value };
      const { status } = planBudget({
        budget: budget(spec),
        pods: pods(ready, unready),
        expectedScale: ready + unready,
        nowMs: NOW,
      });
      const { disruptionsAllowed = 0, desiredHealthy = 0, currentHealthy = 0 } = status;
      assert.ok(disruptionsAllowed === 0 || currentHealthy - disruptionsAllowed >= desiredHealthy);
    }),
  );
});
