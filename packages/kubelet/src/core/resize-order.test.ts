import assert from "node:assert/strict";
import test from "node:test";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { compareResizes, judgeResizes, type ResizeRequest } from "./resize-order.ts";
import { container, pod } from "./testing.ts";

const node = (cpu: string): Node => ({
  metadata: { name: "n" },
  status: { allocatable: { cpu, memory: "8Gi", pods: "110" } },
});
const asks = (cpu: string, more: Partial<Pod["spec"]> & { limit?: string } = {}): Pod => {
  const { limit, ...spec } = more;
  const limits = limit === undefined ? {} : { limits: { cpu: limit, memory: "1Mi" } };
  return pod({
    ...spec,
    containers: [container("main", { resources: { requests: { cpu, memory: "1Mi" }, ...limits } })],
  });
};

function request(uid: string, from: Pod, to: Pod, since?: number): ResizeRequest {
  return { uid, allocated: from, wanted: to, since };
}

const shrink = request("shrink", asks("500m"), asks("100m"), 90);
const urgent = request("urgent", asks("1"), asks("2", { priority: 10 }), 90);
const guaranteed = request("guaranteed", asks("1"), asks("2", { limit: "2" }), 90);
const early = request("early", asks("1"), asks("2"), 10);
const late = request("late", asks("1"), asks("2"), 20);
const fresh = request("fresh", asks("1"), asks("2"));

test("compareResizes() takes shrinking ones, then priority, then guaranteed ones, then who waits longest", () => {
  const order = [fresh, late, early, guaranteed, urgent, shrink].toSorted(compareResizes).map((r) => r.uid);
  assert.deepEqual(order, ["shrink", "urgent", "guaranteed", "early", "late", "fresh"]);
});

const verdicts = (requests: ResizeRequest[], cpu: string, others: Pod[] = []) =>
  Object.fromEntries([...judgeResizes(requests, node(cpu), others)].map(([uid, v]) => [uid, v?.reason ?? "granted"]));

test("judgeResizes() gives room that is for one to the first in order, whoever asks first", () => {
  const want = { early: "granted", late: "Deferred" };
  assert.deepEqual(verdicts([late, early], "3"), want);
  assert.deepEqual(verdicts([early, late], "3"), want);
});

test("judgeResizes() lets one that fits go ahead of one that does not", () => {
  const big = request("big", asks("1"), asks("4", { priority: 10 }), 10);
  assert.deepEqual(verdicts([big, late], "4"), { big: "Deferred", late: "granted" });
});

test("judgeResizes() counts what shrinking gives back, and tells what can never be", () => {
  const never = request("never", asks("100m"), asks("9"), 1);
  const grow = request("grow", asks("1"), asks("1400m"), 1);
  assert.deepEqual(verdicts([never, grow, shrink], "1600m"), {
    shrink: "granted",
    grow: "granted",
    never: "Infeasible",
  });
});

test("judgeResizes() never grants more than the node has, in whatever order it is asked", () => {
  const arbitrary = fc.array(fc.record({ from: fc.integer({ min: 1, max: 9 }), to: fc.integer({ min: 1, max: 30 }) }), {
    maxLength: 6,
  });
  fc.assert(
    fc.property(arbitrary, (sizes) => {
      const requests = sizes.map(({ from, to }, i) => request(`p${i}`, asks(`${from}00m`), asks(`${to}00m`), i));
      const capacity = sizes.reduce((sum, { from }) => sum + from, 0) + 5;
      const answer = judgeResizes(requests, node(`${capacity}00m`), []);
      const total = sizes.reduce((sum, { from, to }, i) => sum + (answer.get(`p${i}`) === undefined ? to : from), 0);
      assert.ok(total <= capacity, `${total} of ${capacity}`);
      assert.deepEqual(
        [...judgeResizes(requests.toReversed(), node(`${capacity}00m`), [])].toSorted(),
        [...answer].toSorted(),
      );
    }),
  );
});
