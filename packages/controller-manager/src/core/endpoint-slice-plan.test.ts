import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import fc from "fast-check";
import { type EndpointSlicePlan, planEndpointSlices } from "./endpoint-slice-plan.ts";
import { planEndpoints } from "./endpoints-plan.ts";

function service(spec: Partial<NonNullable<Service["spec"]>> = {}): Service {
  return {
    metadata: { name: "web", namespace: "default", uid: "s", labels: { team: "a" } },
    spec: {
      clusterIP: "10.96.0.7",
      ipFamilies: ["IPv4"],
      selector: { app: "web" },
      ports: [{ port: 80, protocol: "TCP", targetPort: "http" }],
      ...spec,
    },
  };
}
interface PodOptions {
  readonly ready?: boolean;
  readonly deleting?: boolean;
  readonly phase?: string;
  readonly port?: number;
  readonly node?: string;
}
function pod(index: number, o: PodOptions = {}): Pod {
  const ip = `10.0.${index >> 8}.${index & 255}`;
  return {
    metadata: {
      name: `p${index}`,
      namespace: "default",
      uid: `u${index}`,
      ...(o.deleting === true ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: {
      nodeName: o.node ?? "n1",
      containers: [{ name: "c", ports: [{ name: "http", containerPort: o.port ?? 8080 }] }],
    },
    status: {
      phase: o.phase ?? "Running",
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: o.ready === false ? "False" : "True" }],
    },
  } as Pod;
}
const node: Node = { metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "z1" } } };
const nodes = (name: string) => (name === "n1" ? node : undefined);
const plan = (s: Service, pods: readonly Pod[], slices: readonly EndpointSlice[] = [], max = 100) =>
  planEndpointSlices({ service: s, pods, nodes, slices, maxEndpointsPerSlice: max });

let serial = 0;
/** The slices after a plan was carried out. */
function carryOut(before: readonly EndpointSlice[], p: EndpointSlicePlan): EndpointSlice[] {
  const kept = before
    .filter((slice) => !p.delete.includes(slice))
    .map((slice) => p.update.find(({ metadata }) => metadata.uid === slice.metadata.uid) ?? slice);
  return [
    ...kept,
    ...p.create.map((slice) => ({ ...slice, metadata: { ...slice.metadata, uid: `slice-${serial++}` } })),
  ];
}
const writes = (p: EndpointSlicePlan) => [p.create.length, p.update.length, p.delete.length];

const conditionRows: { name: string; pod: Pod; spec?: object; want: unknown }[] = [
  { name: "ready", pod: pod(1), want: { ready: true, serving: true, terminating: false } },
  { name: "not ready", pod: pod(1, { ready: false }), want: { ready: false, serving: false, terminating: false } },
  {
    name: "terminating and ready",
    pod: pod(1, { deleting: true }),
    want: { ready: false, serving: true, terminating: true },
  },
  {
    name: "not ready but published",
    pod: pod(1, { ready: false }),
    spec: { publishNotReadyAddresses: true },
    want: { ready: true, serving: false, terminating: false },
  },
  { name: "ended", pod: pod(1, { phase: "Succeeded" }), want: undefined },
];
for (const { name, pod: one, spec, want } of conditionRows) {
  test(`planEndpointSlices() shows the conditions ${JSON.stringify(want)} when the pod is ${name}`, () => {
    const [slice] = plan(service(spec), [one]).create;
    assert.deepEqual(slice?.endpoints?.[0]?.conditions, want);
  });
}

test("planEndpointSlices() describes an endpoint in full", () => {
  const [slice] = plan(service(), [pod(1)]).create;
  assert.deepEqual(slice?.endpoints, [
    {
      addresses: ["10.0.0.1"],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: "Pod", namespace: "default", name: "p1", uid: "u1" },
      nodeName: "n1",
      zone: "z1",
    },
  ]);
  assert.deepEqual(slice?.ports, [{ name: "", protocol: "TCP", port: 8080 }]);
  assert.equal(slice?.metadata.generateName, "web-");
  assert.deepEqual(slice?.metadata.labels, {
    team: "a",
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  });
});

test("planEndpointSlices() writes nothing when nothing changed", () => {
  const pods = [pod(1), pod(2)];
  const slices = carryOut([], plan(service(), pods));
  assert.deepEqual(writes(plan(service(), pods, slices)), [0, 0, 0]);
});

test("planEndpointSlices() writes one slice when a few endpoints change among many", () => {
  const pods = Array.from({ length: 250 }, (_, i) => pod(i));
  const slices = carryOut([], plan(service(), pods));
  assert.equal(slices.length, 3);
  const changed = [...pods.slice(1), ...[300, 301].map((i) => pod(i))];
  assert.deepEqual(writes(plan(service(), changed, slices)), [0, 2, 0]);
  assert.deepEqual(writes(plan(service(), [...pods, pod(400)], slices)), [0, 1, 0]);
});

test("planEndpointSlices() keeps one empty slice when there are no pods", () => {
  const first = plan(service(), []);
  assert.deepEqual(writes(first), [1, 0, 0]);
  const slices = carryOut([], first);
  assert.deepEqual(writes(plan(service(), [], slices)), [0, 0, 0]);
  const full = carryOut(slices, plan(service(), [pod(1)], slices));
  assert.deepEqual(
    full.map(({ endpoints }) => endpoints?.length),
    [1],
  );
});

test("planEndpointSlices() separates pods whose named port has another number", () => {
  const { create } = plan(service(), [pod(1), pod(2, { port: 9090 })]);
  assert.deepEqual(create.map(({ ports }) => ports?.[0]?.port).sort(), [8080, 9090]);
});

test("planEndpointSlices() leaves out pods of unknown nodes and says so", () => {
  const p = plan(service(), [pod(1, { node: "gone" })]);
  assert.equal(p.withoutNode.length, 1);
  assert.deepEqual(p.create[0]?.endpoints, []);
});

test("planEndpointSlices() labels the slices of a headless Service", () => {
  const [slice] = plan(service({ clusterIP: "None", ports: [] }), [pod(1)]).create;
  assert.equal(slice?.metadata.labels?.["service.kubernetes.io/headless"], "");
  assert.deepEqual(slice?.ports, []);
});

test("planEndpointSlices() removes slices of a family that the Service no longer has", () => {
  const slices = carryOut([], plan(service(), [pod(1)]));
  const six = slices.map((slice) => ({ ...slice, addressType: "IPv6" }));
  assert.deepEqual(writes(plan(service(), [pod(1)], six)), [1, 0, 1]);
});

test("planEndpointSlices() ends with every pod exactly once and no slice too full (property)", () => {
  const options = fc.record({
    index: fc.integer({ min: 0, max: 40 }),
    ready: fc.boolean(),
    port: fc.constantFrom(80, 81),
  });
  const round = fc.uniqueArray(options, { selector: ({ index }) => index, maxLength: 30 });
  fc.assert(
    fc.property(fc.array(round, { minLength: 1, maxLength: 5 }), (rounds) => {
      let slices: EndpointSlice[] = [];
      for (const wanted of rounds) {
        const pods = wanted.map(({ index, ready, port }) => pod(index, { ready, port }));
        slices = carryOut(slices, plan(service(), pods, slices, 7));
        const names = slices.flatMap(({ endpoints }) => (endpoints ?? []).map(({ targetRef }) => targetRef?.name));
        assert.deepEqual(names.sort(), pods.map(({ metadata }) => metadata.name).sort());
        assert.ok(slices.every(({ endpoints }) => (endpoints ?? []).length <= 7));
        assert.deepEqual(writes(plan(service(), pods, slices, 7)), [0, 0, 0]);
      }
    }),
  );
});

test("planEndpoints() sorts addresses into ready and not ready, leaving out those that go", () => {
  const pods = [pod(2), pod(1), pod(3, { ready: false }), pod(4, { deleting: true })];
  const endpoints = planEndpoints(service(), pods, undefined);
  const [subset] = endpoints?.subsets ?? [];
  assert.deepEqual(
    subset?.addresses?.map(({ ip }) => ip),
    ["10.0.0.1", "10.0.0.2"],
  );
  assert.deepEqual(
    subset?.notReadyAddresses?.map(({ ip }) => ip),
    ["10.0.0.3"],
  );
  assert.deepEqual(subset?.ports, [{ port: 8080, protocol: "TCP" }]);
  assert.equal(planEndpoints(service(), pods, endpoints), undefined);
});

test("planEndpoints() cuts at 1000 addresses and says so", () => {
  const endpoints = planEndpoints(
    service(),
    Array.from({ length: 1100 }, (_, i) => pod(i)),
    undefined,
  );
  assert.equal(endpoints?.subsets?.[0]?.addresses?.length, 1000);
  assert.equal(endpoints?.metadata.annotations?.["endpoints.kubernetes.io/over-capacity"], "truncated");
});
