import assert from "node:assert/strict";
import { test } from "node:test";
import { ProxyHealth } from "./proxy-health.ts";

const atMs = Date.UTC(2026, 4, 1, 10, 0, 0, 123);

test("answer() is 200 with upstream's body while nothing waits", () => {
  assert.deepEqual(new ProxyHealth(60_000).answer("healthz", atMs), {
    status: 200,
    body: '{"lastUpdated": "2026-05-01 10:00:00.123 +0000 UTC","currentTime": "2026-05-01 10:00:00.123 +0000 UTC", "nodeEligible": true}',
  });
});

test("answer() is 503 once a change has waited for the limit, and 200 again after a sync", () => {
  const health = new ProxyHealth(60_000);
  health.queued(atMs);
  health.queued(atMs + 50_000);
  assert.equal(health.answer("healthz", atMs + 59_999).status, 200);
  assert.equal(health.answer("healthz", atMs + 60_000).status, 503);
  assert.equal(health.answer("livez", atMs + 60_000).status, 503);
  health.updated(atMs + 60_001, atMs + 60_000);
  assert.equal(health.answer("healthz", atMs + 60_002).status, 200);
});

test("updated() leaves a change waiting that arrived after the sync began", () => {
  const health = new ProxyHealth(1000);
  health.queued(atMs + 10);
  health.updated(atMs + 20, atMs);
  assert.equal(health.isHealthy(atMs + 2000), false);
});

for (const [what, node] of [
  ["is tainted for removal", { spec: { taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }] } }],
  ["is being deleted", { metadata: { deletionTimestamp: "2026-05-01T10:00:00Z" } }],
] as const) {
  test(`answer() is 503 for healthz and 200 for livez when the node ${what}`, () => {
    const health = new ProxyHealth(60_000);
    const spec = "spec" in node ? { spec: { taints: [...node.spec.taints] } } : {};
    health.nodeSeen({ metadata: { name: "n", ...("metadata" in node ? node.metadata : {}) }, ...spec });
    assert.equal(health.answer("healthz", atMs).status, 503);
    assert.match(health.answer("healthz", atMs).body, /"nodeEligible": false}$/);
    assert.equal(health.answer("livez", atMs).status, 200);
  });
}
