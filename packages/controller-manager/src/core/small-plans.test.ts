import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { namespaceConditions, nextRoundMs } from "./namespace-plan.ts";
import { CidrAllocator, formatCidr, parseCidr } from "./node-ipam-plan.ts";
import { planPodGc, QUARANTINE_MS } from "./pod-gc-plan.ts";
import { fnv32a, safeEncode, sameTemplate, templateHash } from "./template-hash.ts";

const NOW = Date.UTC(2026, 0, 1);

const cidrs: [text: string, want: string][] = [
  ["10.244.3.7/16", "10.244.0.0/16"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["fd00:1:2::/48", "fd00:1:2::/48"],
  ["2001:db8:0:0:1:0:0:1/128", "2001:db8::1:0:0:1/128"],
  ["::1/128", "::1/128"],
  ["::/0", "::/0"],
];
for (const [text, want] of cidrs) {
  test(`formatCidr() writes ${want} when given ${text}`, () => assert.equal(formatCidr(parseCidr(text)), want));
}
for (const text of [
  "10.244.0.0",
  "10.244.0/16",
  "10.244.0.256/16",
  "10.0.0.0/33",
  "fd00::1::/64",
  "x/8",
  "10.0.0.0/",
]) {
  test(`parseCidr() throws when given ${text}`, () => assert.throws(() => parseCidr(text), RangeError));
}

test("CidrAllocator.allocate() hands out each range once, around what is taken", () => {
  const allocator = new CidrAllocator(parseCidr("10.244.0.0/22"), 24);
  allocator.occupy(parseCidr("10.244.1.0/24"));
  allocator.occupy(parseCidr("10.96.0.0/12"));
  const got = Array.from({ length: 4 }, () => allocator.allocate()).map((cidr) => cidr && formatCidr(cidr));
  assert.deepEqual(got, ["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24", undefined]);
  allocator.release(parseCidr("10.244.2.0/24"));
  assert.equal(formatCidr(allocator.allocate() ?? parseCidr("::/0")), "10.244.2.0/24");
});

test("CidrAllocator refuses masks that don't fit", () => {
  assert.throws(() => new CidrAllocator(parseCidr("10.244.0.0/24"), 16), RangeError);
  assert.throws(() => new CidrAllocator(parseCidr("fd00::/32"), 64), RangeError);
});

test("templateHash() is stable, differs by content and by collision, and ignores key order and nulls", () => {
  const template = { metadata: { labels: { a: "1", b: "2" } }, spec: { containers: [{ name: "c", image: "i" }] } };
  const same = {
    spec: { containers: [{ image: "i", name: "c" }] },
    metadata: { labels: { b: "2", a: "1" }, creationTimestamp: null },
  };
  assert.equal(templateHash(template, undefined), templateHash(same as unknown as typeof template, undefined));
  assert.notEqual(templateHash(template, undefined), templateHash(template, 1));
  assert.match(templateHash(template, undefined), /^[bcdfghjklmnpqrstvwxz2456789]+$/);
});

test("fnv32a() gives the published values", () => {
  const hash = (text: string) => fnv32a(new TextEncoder().encode(text));
  assert.deepEqual([hash(""), hash("a"), hash("foobar")], [0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  assert.equal(safeEncode("0123456789").length, 10);
});

test("sameTemplate() ignores the hash label", () => {
  const spec = { containers: [{ name: "c" }] };
  assert.ok(
    sameTemplate(
      { metadata: { labels: { a: "1", "pod-template-hash": "x" } }, spec },
      { metadata: { labels: { a: "1" } }, spec },
    ),
  );
  assert.ok(!sameTemplate({ metadata: { labels: { a: "1" } }, spec }, { metadata: { labels: { a: "2" } }, spec }));
});

test("namespaceConditions() says what remains, and keeps the time of what did not change", () => {
  const remaining = [{ resource: "pods.", count: 2, finalizers: { "x/y": 1 }, waitSeconds: 30 }];
  const outcome = { discoveryFailures: [], contentFailures: [], remaining };
  const first = namespaceConditions([], outcome, NOW);
  const of = (type: string, all = first) => all.find((condition) => condition.type === type);
  assert.equal(
    of("NamespaceContentRemaining")?.message,
    "Some resources are remaining: pods. has 2 resource instances",
  );
  assert.equal(
    of("NamespaceFinalizersRemaining")?.message,
    "Some content in the namespace has finalizers remaining: x/y in 1 resource instances",
  );
  assert.equal(of("NamespaceDeletionDiscoveryFailure")?.reason, "ResourcesDiscovered");
  const second = namespaceConditions(first, { ...outcome, remaining: [] }, NOW + 60_000);
  assert.equal(of("NamespaceContentRemaining", second)?.status, "False");
  assert.equal(of("NamespaceContentRemaining", second)?.lastTransitionTime, "2026-01-01T00:01:00Z");
  assert.equal(of("NamespaceDeletionDiscoveryFailure", second)?.lastTransitionTime, "2026-01-01T00:00:00Z");
  assert.equal(nextRoundMs(remaining, 0), 16_000);
});

test("nextRoundMs() looks often for finalizers that go soon, and slows down while one stays", () => {
  const held = [{ resource: "configmaps.", count: 1, finalizers: { "x/y": 1 }, waitSeconds: 0 }];
  const waits = [0, 7_000, 16_000, 60_000, 3_600_000].map((ms) => nextRoundMs(held, ms));
  assert.deepEqual(waits, [1_000, 1_000, 3_000, 8_000, 8_000]);
  const going = [{ resource: "jobs.batch", count: 1, finalizers: {}, waitSeconds: 0 }];
  assert.equal(nextRoundMs(going, 3_600_000), 1_000);
});

test("planPodGc() removes orphans after their quarantine, the unscheduled that go, and the oldest ended", () => {
  const pod = (
    name: string,
    spec: object,
    more: { phase?: string; deleting?: boolean; created?: string } = {},
  ): Pod => ({
    metadata: {
      name,
      creationTimestamp: more.created ?? "2026-01-01T00:00:00Z",
      ...(more.deleting === true ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { containers: [], ...spec },
    status: { phase: more.phase ?? "Running" },
  });
  const pods = [
    pod("fine", { nodeName: "n" }),
    pod("orphan", { nodeName: "gone" }),
    pod("new-orphan", { nodeName: "just-gone" }),
    pod("unscheduled", {}, { deleting: true }),
    pod("old-ended", { nodeName: "n" }, { phase: "Succeeded", created: "2025-01-01T00:00:00Z" }),
    pod("ended", { nodeName: "n" }, { phase: "Failed" }),
  ];
  const node: Node = { metadata: { name: "n" } };
  const removals = planPodGc({
    pods,
    nodes: new Map([["n", node]]),
    missingSinceMs: new Map([
      ["gone", NOW - QUARANTINE_MS],
      ["just-gone", NOW - 1000],
    ]),
    terminatedThreshold: 1,
    nowMs: NOW,
  });
  assert.deepEqual(
    removals.map(({ pod: { metadata }, why }) => `${metadata.name} ${why}`),
    ["old-ended terminated", "orphan orphaned", "unscheduled unscheduled-terminating"],
  );
});
