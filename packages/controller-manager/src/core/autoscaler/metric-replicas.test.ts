import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import {
  averageReplicas,
  type PodsView,
  perPodReplicas,
  ratioReplicas,
  type Samples,
  utilizationReplicas,
} from "./metric-replicas.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const at = (secondsAgo: number) => new Date(NOW - secondsAgo * 1000).toISOString();
interface PodOptions {
  readonly phase?: string;
  readonly ready?: boolean;
  readonly readySecondsAgo?: number;
  readonly startedSecondsAgo?: number;
  readonly going?: boolean;
}
function pod(name: string, o: PodOptions = {}): Pod {
  const { phase = "Running", ready = true, readySecondsAgo = 900, startedSecondsAgo = 1000 } = o;
  return {
    metadata: { name, ...(o.going === true ? { deletionTimestamp: at(1) } : {}) },
    spec: { containers: [{ name: "c", resources: { requests: { cpu: "1", memory: "1Gi" } } }] },
    status: {
      phase,
      startTime: at(startedSecondsAgo),
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: at(readySecondsAgo) }],
    },
  };
}
const view = (pods: readonly Pod[], currentReplicas = pods.length): PodsView => ({
  pods,
  currentReplicas,
  tolerances: { up: 0.1, down: 0.1 },
  cpuInitializationMs: 300_000,
  initialReadinessMs: 30_000,
  nowMs: NOW,
});
/** undefined: the pod has no sample. */
const samples = (...milli: (number | undefined)[]): Samples =>
  new Map(
    milli.flatMap((m, i) =>
      m === undefined ? [] : [[`p${i}`, { milli: m, atMs: NOW - 5000, windowMs: 30_000 }] as const],
    ),
  );
const pods = (count: number, options: Record<number, PodOptions> = {}) =>
  Array.from({ length: count }, (_, i) => pod(`p${i}`, options[i]));

// Those of upstream's replica_calculator_test.go with a request of 1 CPU a pod.
const rows: { name: string; pods: Pod[]; usage: (number | undefined)[]; target: number; want: number }[] = [
  { name: "the usage is above the target", pods: pods(3), usage: [300, 500, 700], target: 30, want: 5 },
  { name: "the usage is below the target", pods: pods(5), usage: [100, 300, 500, 250, 250], target: 50, want: 3 },
  { name: "the usage is within the tolerance", pods: pods(3), usage: [1010, 1030, 1020], target: 100, want: 3 },
  {
    name: "one is unready and too young",
    pods: pods(3, { 0: { ready: false, startedSecondsAgo: 60, readySecondsAgo: 50 } }),
    usage: [100, 500, 700],
    target: 30,
    want: 4,
  },
  {
    name: "one is pending",
    pods: pods(3, { 2: { phase: "Pending" } }),
    usage: [500, 700, undefined],
    target: 30,
    want: 4,
  },
  {
    name: "one failed",
    pods: pods(4, { 0: { phase: "Failed" } }),
    usage: [undefined, 300, 500, 700],
    target: 30,
    want: 5,
  },
  { name: "one goes", pods: pods(4, { 0: { going: true } }), usage: [undefined, 300, 500, 700], target: 30, want: 5 },
  { name: "one has no sample, scaling up", pods: pods(3), usage: [600, 600, undefined], target: 30, want: 4 },
  { name: "one has no sample, scaling down", pods: pods(3), usage: [100, 100, undefined], target: 50, want: 3 },
  {
    name: "many have no sample and the direction would turn",
    pods: pods(4),
    usage: [200, undefined, undefined, undefined],
    target: 50,
    want: 4,
  },
];
for (const { name, pods: list, usage, target, want } of rows) {
  test(`utilizationReplicas() asks for ${want} when ${name}`, () => {
    assert.equal(
      utilizationReplicas(view(list), { samples: samples(...usage), resource: "cpu", target }).replicas,
      want,
    );
  });
}

test("utilizationReplicas() tells utilisation and average", () => {
  const got = utilizationReplicas(view(pods(2)), { samples: samples(400, 601), resource: "cpu", target: 50 });
  assert.deepEqual([got.utilization, got.averageMilli], [50, 500]);
});
test("utilizationReplicas() refuses what it can't judge", () => {
  const judge = (list: Pod[], s: Samples) => () =>
    utilizationReplicas(view(list), { samples: s, resource: "cpu", target: 50 });
  assert.throws(judge([], samples()), /no pods returned by selector/);
  assert.throws(judge(pods(1), samples(undefined)), /did not receive metrics for targeted pods/);
  const bare = { ...pod("p0"), spec: { containers: [{ name: "c" }] } };
  assert.throws(judge([bare], samples(1)), /missing request for cpu in container c of Pod p0/);
});

test("averageReplicas() goes by the mean, and only CPU by the age", () => {
  const young = { 0: { ready: false, startedSecondsAgo: 5, readySecondsAgo: 4 } };
  const judge = (resource: string, list: Pod[]) =>
    averageReplicas(view(list), { samples: samples(20_000, 10_000, 30_000), resource, targetMilli: 10_000 });
  assert.deepEqual(judge("", pods(3)), { replicas: 6, averageMilli: 20_000 });
  assert.equal(judge("", pods(3, young)).replicas, 6);
  assert.equal(judge("cpu", pods(3, young)).replicas, 4);
});

test("ratioReplicas() and perPodReplicas() follow one value for all", () => {
  assert.equal(ratioReplicas(view(pods(3)), 2), 6);
  assert.equal(ratioReplicas(view(pods(3)), 1.05), 3);
  assert.equal(ratioReplicas(view(pods(3, { 0: { ready: false } })), 2), 4);
  assert.equal(ratioReplicas(view([], 0), 2.5), 3);
  assert.equal(perPodReplicas(view(pods(3)), 3, { milli: 40_000, targetMilli: 10_000 }), 4);
  assert.equal(perPodReplicas(view(pods(3)), 3, { milli: 31_000, targetMilli: 10_000 }), 3);
});

test("missing and unready pods never turn the direction round or make it greater (property)", () => {
  const usage = fc.array(fc.option(fc.integer({ min: 0, max: 3000 }), { nil: undefined }), {
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(usage, fc.integer({ min: 10, max: 200 }), (values, target) => {
      const known = values.filter((v) => v !== undefined);
      fc.pre(known.length > 0);
      const list = pods(values.length);
      const { replicas } = utilizationReplicas(view(list), { samples: samples(...values), resource: "cpu", target });
      const ratio = known.reduce((a, b) => a + b, 0) / known.length / 10 / target;
      if (ratio > 1) assert.ok(replicas >= list.length && replicas <= Math.ceil(ratio * list.length + 1e-6));
      else assert.ok(replicas <= list.length);
    }),
  );
});
