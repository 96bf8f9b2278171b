import assert from "node:assert/strict";
import { test } from "node:test";
import type { HorizontalPodAutoscalerBehavior, HPAScalingRules } from "@knarr/api/generated/types/autoscaling-v2.ts";
import fc from "fast-check";
import { chooseReplicas, type MetricOutcome } from "./autoscaler-conditions.ts";
import { applyRules, type RulesInput, remember, type ScalingHistory } from "./scaling-rules.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const none: ScalingHistory = { recommendations: [], ups: [], downs: [] };
const input = (o: Partial<RulesInput>): RulesInput => ({
  current: 10,
  desired: 10,
  min: 1,
  max: 100,
  behavior: undefined,
  history: none,
  downscaleStabilizationMs: 300_000,
  nowMs: NOW,
  ...o,
});
const rule = (type: string, value: number, periodSeconds = 60) => ({ type, value, periodSeconds });
const rules = (policies: HPAScalingRules["policies"], o: Partial<HPAScalingRules> = {}): HPAScalingRules => ({
  selectPolicy: "Max",
  stabilizationWindowSeconds: 0,
  ...(policies === undefined ? {} : { policies }),
  ...o,
});
const behavior = (
  scaleUp: HPAScalingRules,
  scaleDown: HPAScalingRules = rules([rule("Percent", 100)]),
): HorizontalPodAutoscalerBehavior => ({ scaleUp, scaleDown });
const ago = (seconds: number) => NOW - seconds * 1000;

const rows: { name: string; of: Partial<RulesInput>; want: number; limit: string; able?: string }[] = [
  { name: "nothing is in the way", of: { desired: 12 }, want: 12, limit: "DesiredWithinRange" },
  { name: "more than twice as many are wanted", of: { desired: 50 }, want: 20, limit: "ScaleUpLimit" },
  { name: "one may become four", of: { current: 1, desired: 50 }, want: 4, limit: "ScaleUpLimit" },
  { name: "the maximum is nearer", of: { desired: 50, max: 15 }, want: 15, limit: "TooManyReplicas" },
  { name: "fewer than the minimum are wanted", of: { desired: 0, min: 2 }, want: 2, limit: "TooFewReplicas" },
  {
    name: "more were wanted lately",
    of: { desired: 4, history: { ...none, recommendations: [{ replicas: 8, atMs: ago(100) }] } },
    want: 8,
    limit: "DesiredWithinRange",
    able: "ScaleDownStabilized",
  },
  {
    name: "more were wanted long ago",
    of: { desired: 4, history: { ...none, recommendations: [{ replicas: 8, atMs: ago(301) }] } },
    want: 4,
    limit: "DesiredWithinRange",
  },
  {
    name: "four pods a minute may come",
    of: { desired: 30, behavior: behavior(rules([rule("Pods", 4)])) },
    want: 14,
    limit: "ScaleUpLimit",
  },
  {
    name: "the greater of two policies counts",
    of: { desired: 30, behavior: behavior(rules([rule("Pods", 4), rule("Percent", 75)])) },
    want: 18,
    limit: "ScaleUpLimit",
  },
  {
    name: "the lesser of two policies counts",
    of: { desired: 30, behavior: behavior(rules([rule("Pods", 4), rule("Percent", 75)], { selectPolicy: "Min" })) },
    want: 14,
    limit: "ScaleUpLimit",
  },
  {
    name: "some came within the period",
    of: {
      desired: 30,
      behavior: behavior(rules([rule("Pods", 4)])),
      history: { ...none, ups: [{ change: 3, atMs: ago(30) }] },
    },
    want: 11,
    limit: "ScaleUpLimit",
  },
  {
    name: "growing is disabled",
    of: { desired: 30, behavior: behavior(rules([], { selectPolicy: "Disabled" })) },
    want: 10,
    limit: "ScaleUpLimit",
  },
  {
    name: "a tenth may go",
    of: { desired: 1, behavior: behavior(rules([]), rules([rule("Percent", 10)])) },
    want: 9,
    limit: "ScaleDownLimit",
  },
  {
    name: "two may go, one went",
    of: {
      desired: 1,
      behavior: behavior(rules([]), rules([rule("Pods", 2)])),
      history: { ...none, downs: [{ change: 1, atMs: ago(30) }] },
    },
    want: 9,
    limit: "ScaleDownLimit",
  },
  {
    name: "growing is to be sure",
    of: {
      desired: 15,
      behavior: behavior(rules([rule("Pods", 50)], { stabilizationWindowSeconds: 60 })),
      history: { ...none, recommendations: [{ replicas: 12, atMs: ago(30) }] },
    },
    want: 12,
    limit: "DesiredWithinRange",
    able: "ScaleUpStabilized",
  },
];
for (const { name, of, want, limit, able = "ReadyForNewScale" } of rows) {
  test(`applyRules() gives ${want}, ${limit} when ${name}`, () => {
    const got = applyRules(input(of));
    assert.deepEqual([got.replicas, got.limit.reason, got.ableToScale.reason], [want, limit, able]);
    assert.equal(got.limited, limit !== "DesiredWithinRange");
  });
}

test("remember() keeps what a window or a period still reaches", () => {
  const history = {
    recommendations: [
      { replicas: 3, atMs: ago(299) },
      { replicas: 4, atMs: ago(300) },
    ],
    ups: [
      { change: 1, atMs: ago(59) },
      { change: 2, atMs: ago(61) },
    ],
    downs: [],
  };
  const {
    max: _max,
    min: _min,
    desired: _desired,
    ...base
  } = input({ history, behavior: behavior(rules([rule("Pods", 1)], {}), { selectPolicy: "Max" }) });
  assert.deepEqual(remember(base, { recommended: 7, scaledBy: -2 }), {
    recommendations: [
      { replicas: 3, atMs: ago(299) },
      { replicas: 7, atMs: NOW },
    ],
    ups: [{ change: 1, atMs: ago(59) }],
    downs: [{ change: 2, atMs: NOW }],
  });
});

test("applyRules() keeps to the spec's limits, and never the other way than wanted (property)", () => {
  const policy = fc.record({
    type: fc.constantFrom("Pods", "Percent"),
    value: fc.integer({ min: 1, max: 100 }),
    periodSeconds: fc.constantFrom(15, 60),
  });
  const side = fc.record({
    policies: fc.array(policy, { maxLength: 2 }),
    selectPolicy: fc.constantFrom("Max", "Min", "Disabled"),
    stabilizationWindowSeconds: fc.constantFrom(0, 60),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.nat(200),
      fc.option(fc.tuple(side, side), { nil: undefined }),
      (current, desired, sides) => {
        const got = applyRules(
          input({
            current,
            desired,
            min: 1,
            max: 50,
            behavior: sides === undefined ? undefined : { scaleUp: sides[0], scaleDown: sides[1] },
          }),
        );
        assert.ok(got.replicas >= 1 && got.replicas <= 50);
        if (desired >= current) assert.ok(got.replicas >= current);
        else assert.ok(got.replicas <= current);
      },
    ),
  );
});

test("chooseReplicas() takes the most, and scales nothing down while a metric is invalid", () => {
  const valid = (replicas: number, name: string): MetricOutcome => ({
    ok: true,
    replicas,
    name,
    status: { type: name },
  });
  const invalid: MetricOutcome = { ok: false, reason: "FailedGetPodsMetric", message: "no", summary: "failed: no" };
  const choose = (...outcomes: MetricOutcome[]) => {
    const { replicas, name, active, error } = chooseReplicas(outcomes, 5);
    return [replicas, name, active.reason, error?.message];
  };
  assert.deepEqual(choose(valid(3, "a"), valid(7, "b")), [7, "b", "ValidMetricFound", undefined]);
  const message = "invalid metrics (1 invalid out of 2), first error is: failed: no";
  assert.deepEqual(choose(valid(3, "a"), invalid), [undefined, "", "FailedGetPodsMetric", message]);
  assert.deepEqual(choose(valid(7, "a"), invalid), [7, "a", "ValidMetricFound", message]);
  assert.equal(chooseReplicas([invalid], 5).active.message, "the HPA was unable to compute the replica count: no");
});
