import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { SchedulerCache } from "./snapshot.ts";

const pod = (uid: string, more: Partial<Pod> = {}): Pod => ({
  metadata: { name: "p", namespace: "default", uid },
  spec: { containers: [{ name: "c", resources: { requests: { cpu: "1" } } }] },
  ...more,
});
const cpuOn = (cache: SchedulerCache, name: string) => cache.snapshot().get(name)?.requested.get("cpu") ?? 0;
const bound = (uid: string, nodeName: string, phase?: string): Pod => ({
  ...pod(uid),
  spec: { ...pod(uid).spec, containers: pod(uid).spec?.containers ?? [], nodeName },
  ...(phase === undefined ? {} : { status: { phase } }),
});
const withNodes = () => {
  const cache = new SchedulerCache();
  for (const name of ["a", "b"]) cache.setNode({ metadata: { name } });
  return cache;
};

test("SchedulerCache counts an assumed pod once when the API confirms it", () => {
  const cache = withNodes();
  cache.assume(pod("1"), "a");
  cache.setPod(bound("1", "a"));
  assert.equal(cpuOn(cache, "a"), 1000);
  cache.forget(pod("1"));
  assert.equal(cpuOn(cache, "a"), 1000, "a confirmed pod is not forgotten");
});

test("SchedulerCache moves a pod when it was bound elsewhere than assumed", () => {
  const cache = withNodes();
  cache.assume(pod("1"), "a");
  cache.setPod(bound("1", "b"));
  assert.deepEqual([cpuOn(cache, "a"), cpuOn(cache, "b")], [0, 1000]);
});

test("SchedulerCache frees a node when a pod ends, or its assumption is forgotten", () => {
  const cache = withNodes();
  cache.setPod(bound("1", "a"));
  cache.setPod(bound("1", "a", "Succeeded"));
  cache.assume(pod("2"), "a");
  cache.forget(pod("2"));
  assert.equal(cpuOn(cache, "a"), 0);
});

test("SchedulerCache tells pods of one name apart by uid when one replaces the other", () => {
  const cache = withNodes();
  cache.setPod(bound("1", "a"));
  cache.setPod(bound("2", "b"));
  cache.removePod(bound("1", "a"));
  assert.deepEqual([cpuOn(cache, "a"), cpuOn(cache, "b")], [0, 1000]);
});

test("SchedulerCache offers no node that is gone, and keeps its pods' place when the node returns", () => {
  const cache = withNodes();
  cache.setPod(bound("1", "a"));
  cache.removeNode("a");
  assert.deepEqual(
    cache.snapshot().nodes.map((n) => n.name),
    ["b"],
  );
  cache.setNode({ metadata: { name: "a" } });
  assert.equal(cpuOn(cache, "a"), 1000);
});
