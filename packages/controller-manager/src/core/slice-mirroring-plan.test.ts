import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointSubset, Endpoints, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { type MirrorPlan, planMirror, shouldMirror } from "./slice-mirroring-plan.ts";

const endpoints = (subsets: EndpointSubset[], metadata = {}): Endpoints => ({
  metadata: { name: "db", namespace: "default", uid: "e", labels: { team: "a" }, ...metadata },
  subsets,
});
const service: Service = { metadata: { name: "db" }, spec: {} };
const subset = (ips: readonly string[], port = 5432, notReady: readonly string[] = []): EndpointSubset => ({
  addresses: ips.map((ip) => ({ ip })),
  ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.map((ip) => ({ ip })) }),
  ports: [{ name: "sql", port, protocol: "TCP" }],
});
const plan = (of: Endpoints, slices: readonly EndpointSlice[] = [], maxPerSubset = 1000) =>
  planMirror({ endpoints: of, slices, maxPerSubset });
let serial = 0;
const carryOut = (p: MirrorPlan): EndpointSlice[] =>
  [...p.update, ...p.create].map((slice) => ({ ...slice, metadata: { uid: `s${serial++}`, ...slice.metadata } }));
const writes = (p: MirrorPlan) => [p.create.length, p.update.length, p.delete.length];

const skipRows = [
  { name: "plain", of: endpoints([]), service, want: true },
  { name: "without a Service", of: endpoints([]), service: undefined, want: false },
  {
    name: "of a Service with a selector",
    of: endpoints([]),
    service: { metadata: {}, spec: { selector: { a: "b" } } },
    want: false,
  },
  {
    name: "a lock",
    of: endpoints([], { annotations: { "control-plane.alpha.kubernetes.io/leader": "{}" } }),
    service,
    want: false,
  },
  {
    name: "labelled to be skipped",
    of: endpoints([], { labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } }),
    service,
    want: false,
  },
];
for (const { name, of, service: own, want } of skipRows) {
  test(`shouldMirror() is ${want} when the Endpoints are ${name}`, () => assert.equal(shouldMirror(of, own), want));
}

test("planMirror() makes one slice per family and set of ports, with what the Endpoints say", () => {
  const annotations = {
    "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z",
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
    note: "x",
  };
  const made = plan(endpoints([subset(["10.0.0.1", "fd00::1"], 5432, ["10.0.0.2"])], { annotations }));
  assert.deepEqual(
    made.create.map(({ addressType }) => addressType),
    ["IPv4", "IPv6"],
  );
  const [v4] = made.create;
  assert.deepEqual(v4?.endpoints, [
    { addresses: ["10.0.0.1"], conditions: { ready: true } },
    { addresses: ["10.0.0.2"], conditions: { ready: false } },
  ]);
  assert.deepEqual(v4?.metadata.labels, {
    team: "a",
    "kubernetes.io/service-name": "db",
    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
  });
  assert.deepEqual(v4?.metadata.annotations, {
    note: "x",
    "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z",
  });
  assert.equal(v4?.metadata.ownerReferences?.[0]?.kind, "Endpoints");
});

test("planMirror() writes nothing when nothing changed, and changes slices instead of replacing them", () => {
  const first = endpoints([subset(["10.0.0.1"])]);
  const slices = carryOut(plan(first));
  assert.deepEqual(writes(plan(first, slices)), [0, 0, 0]);
  assert.deepEqual(writes(plan(endpoints([subset(["10.0.0.2"])]), slices)), [0, 1, 0]);
  assert.deepEqual(writes(plan(endpoints([subset(["10.0.0.1"], 5433)]), slices)), [0, 1, 0]);
  assert.deepEqual(writes(plan(endpoints([]), slices)), [0, 0, 1]);
  assert.deepEqual(writes(plan(endpoints([subset(["fd00::1"])]), slices)), [1, 0, 1]);
});

test("planMirror() leaves out what is no address and what is beyond the limit, and counts them", () => {
  const made = plan(endpoints([subset(["10.0.0.1", "nonsense", "10.0.0.2", "10.0.0.3"])]), [], 2);
  assert.deepEqual([made.invalid, made.skipped], [1, 2]);
  assert.equal(made.create[0]?.endpoints?.length, 2);
});
