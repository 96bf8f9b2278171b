import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { prioritySort } from "../plugins/priority-sort.ts";
import { schedulingGates } from "../plugins/scheduling-gates.ts";
import type { Framework, Plugin } from "./framework.ts";
import { SchedulingQueue } from "./queue.ts";

const pod = (name: string, spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod => ({
  metadata: { name, namespace: "default", uid: name },
  spec: { containers: [], ...spec },
});
const onNodes: Plugin = { name: "OnNodes", worthRetry: (_pod, event) => event.resource === "Node" };
const framework = {
  preEnqueue: [schedulingGates()],
  plugins: new Map<string, Plugin>([["OnNodes", onNodes]]),
} as unknown as Framework;
const queue = () =>
  new SchedulingQueue({
    frameworkFor: () => framework,
    compare: (a, b) => prioritySort().compare?.(a, b) ?? 0,
    initialBackoffMs: 1000,
    maxBackoffMs: 10_000,
    maxUnschedulableMs: 300_000,
  });
const nodeAdded = { resource: "Node", action: "Add", node: { metadata: { name: "n" } } } as const;
const names = (q: SchedulingQueue, nowMs: number) => {
  const popped: string[] = [];
  for (let entry = q.pop(nowMs); entry !== undefined; entry = q.pop(nowMs)) popped.push(entry.pod.metadata.name ?? "");
  return popped;
};

test("SchedulingQueue.pop() gives higher priority first, then first come first served", () => {
  const q = queue();
  q.upsert(pod("a"), 1);
  q.upsert(pod("b"), 2);
  q.upsert(pod("c", { priority: 10 }), 3);
  assert.deepEqual(names(q, 4), ["c", "a", "b"]);
});

test("SchedulingQueue.failed() backs off 1 s, 2 s, ... up to 10 s when errors repeat", () => {
  const q = queue();
  q.upsert(pod("a"), 0);
  let now = 0;
  for (const wait of [1000, 2000, 4000, 8000, 10_000, 10_000]) {
    assert.ok(q.pop(now));
    q.failed(pod("a"), new Set(), now);
    assert.equal(q.pop(now + wait - 1), undefined);
    now += wait;
  }
});

test("SchedulingQueue.onEvent() moves only pods whose refusing plugin thinks it worth a retry", () => {
  const q = queue();
  q.upsert(pod("a"), 0);
  q.pop(0);
  q.failed(pod("a"), new Set(["OnNodes"]), 0);
  assert.equal(q.onEvent({ resource: "AssignedPod", action: "Delete", pod: pod("x") }, 1), 0);
  assert.equal(q.sizes.unschedulable, 1);
  assert.equal(q.onEvent(nodeAdded, 5000), 1);
  assert.deepEqual(names(q, 5000), ["a"]);
});

test("SchedulingQueue.failed() sends a pod to back-off when the event that helps came while it was in flight", () => {
  const q = queue();
  q.upsert(pod("a"), 0);
  q.pop(0);
  q.onEvent(nodeAdded, 1);
  q.failed(pod("a"), new Set(["OnNodes"]), 2);
  assert.deepEqual(q.sizes, { active: 0, backoff: 1, unschedulable: 0, gated: 0, "in flight": 0 });
  assert.equal(q.nextFlushMs(), 1002);
});

test("SchedulingQueue.pop() retries an unschedulable pod when five minutes have passed", () => {
  const q = queue();
  q.upsert(pod("a"), 0);
  q.pop(0);
  q.failed(pod("a"), new Set(["OnNodes"]), 0);
  assert.equal(q.pop(299_999), undefined);
  assert.equal(q.pop(300_000)?.pod.metadata.name, "a");
});

test("SchedulingQueue.upsert() keeps a gated pod out until its gates are gone", () => {
  const q = queue();
  q.upsert(pod("a", { schedulingGates: [{ name: "wait" }] }), 0);
  assert.equal(q.pop(1), undefined);
  assert.equal(q.sizes.gated, 1);
  q.upsert(pod("a"), 2);
  assert.deepEqual(names(q, 3), ["a"]);
});

test("SchedulingQueue.upsert() does not wake an unschedulable pod when only its status changed", () => {
  const q = queue();
  q.upsert(pod("a"), 0);
  q.pop(0);
  q.failed(pod("a"), new Set(["Unknown"]), 0);
  q.upsert({ ...pod("a"), status: { phase: "Pending" } }, 20_000);
  assert.equal(q.sizes.unschedulable, 1);
  q.upsert(pod("a", { priority: 1 }), 20_000);
  assert.equal(q.sizes.unschedulable, 0);
});

test("SchedulingQueue.failed() forgets a pod that was deleted while in flight", () => {
  const q = queue();
  q.upsert(pod("a"), 0);
  q.pop(0);
  q.delete(pod("a"));
  q.failed(pod("a"), new Set(), 1);
  assert.deepEqual(q.sizes, { active: 0, backoff: 0, unschedulable: 0, gated: 0, "in flight": 0 });
});

test("SchedulingQueue keeps every pod in exactly one place whatever happens (seed printed)", () => {
  const seed = 20_261_121;
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
  const q = queue();
  const flying = new Set<string>();
  const alive = new Set<string>();
  for (let step = 0; step < 3000; step++) {
    const name = `p${Math.floor(random() * 20)}`;
    const choice = random();
    if (choice < 0.3) {
      q.upsert(pod(name, { priority: Math.floor(random() * 3) }), step);
      alive.add(name);
    } else if (choice < 0.6) {
      const entry = q.pop(step);
      if (entry !== undefined) flying.add(entry.pod.metadata.name ?? "");
    } else if (choice < 0.8) {
      const [one] = flying;
      if (one !== undefined) {
        flying.delete(one);
        q.failed(pod(one), new Set(random() < 0.5 ? ["OnNodes"] : []), step);
      }
    } else if (choice < 0.9) q.onEvent(nodeAdded, step);
    else {
      q.delete(pod(name));
      alive.delete(name);
      flying.delete(name);
    }
    const { active, backoff, unschedulable, gated } = q.sizes;
    assert.equal(active + backoff + unschedulable + gated + flying.size, alive.size, `seed ${seed}, step ${step}`);
  }
});

test("SchedulingQueue.pop() takes a refused pod out of back-off early when nothing else waits, a failed one not", () => {
  const q = queue();
  q.upsert(pod("refused"), 0);
  q.upsert(pod("failed"), 0);
  q.pop(0);
  q.pop(0);
  q.onEvent(nodeAdded, 0);
  q.failed(pod("refused"), new Set(["OnNodes"]), 0);
  q.failed(pod("failed"), new Set(), 0);
  assert.equal(q.sizes.backoff, 2);
  assert.deepEqual(names(q, 10), ["refused"]);
  assert.deepEqual(names(q, 1000), ["failed"]);
});

test("SchedulingQueue.onEvent() asks no plugin that does not care for the kind of event", () => {
  let asked = 0;
  const picky: Plugin = { name: "Picky", events: ["Node/Add"], worthRetry: () => ++asked > 0 };
  const q = new SchedulingQueue({
    frameworkFor: () => ({ preEnqueue: [], plugins: new Map([["Picky", picky]]) }) as unknown as Framework,
    compare: () => 0,
    initialBackoffMs: 1000,
    maxBackoffMs: 10_000,
    maxUnschedulableMs: 300_000,
  });
  q.upsert(pod("a"), 0);
  q.pop(0);
  q.failed(pod("a"), new Set(["Picky"]), 0);
  q.onEvent({ resource: "AssignedPod", action: "Delete", pod: pod("x") }, 1);
  assert.equal(asked, 0);
  assert.equal(q.onEvent(nodeAdded, 2), 1);
});
