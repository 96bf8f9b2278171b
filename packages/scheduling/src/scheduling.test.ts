import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, Node, Pod, Taint, Toleration } from "@knarr/api/generated/types/core-v1.ts";
import { hostPortsConflict, hostPortsOf } from "./host-ports.ts";
import { matchesRequiredNodeAffinity, preferredNodeAffinityWeight } from "./node-affinity.ts";
import { podNonZeroRequests, podRequests } from "./pod-requests.ts";
import { findUntoleratedTaint, toleratesTaint } from "./taints.ts";

const container = (name: string, cpu?: string, memory?: string, restartPolicy?: string): Container => ({
  name,
  restartPolicy,
  resources: { requests: { ...(cpu ? { cpu } : {}), ...(memory ? { memory } : {}) } },
});
const pod = (spec: Partial<NonNullable<Pod["spec"]>>): Pod => ({
  metadata: { name: "p" },
  spec: { containers: [], ...spec },
});
const node = (labels: Record<string, string>): Node => ({ metadata: { name: "n1", labels } });

const taint: Taint = { key: "k", value: "v", effect: "NoSchedule" };
const tolerations: { name: string; toleration: Toleration; taint?: Taint; want: boolean }[] = [
  { name: "key, value and effect are equal", toleration: { key: "k", value: "v", effect: "NoSchedule" }, want: true },
  { name: "the value differs", toleration: { key: "k", value: "w", effect: "NoSchedule" }, want: false },
  { name: "the effect is empty", toleration: { key: "k", operator: "Equal", value: "v" }, want: true },
  { name: "the effect differs", toleration: { key: "k", value: "v", effect: "NoExecute" }, want: false },
  { name: "Exists ignores the value", toleration: { key: "k", operator: "Exists" }, want: true },
  { name: "Exists without a key covers everything", toleration: { operator: "Exists" }, want: true },
  { name: "Equal without a key covers nothing", toleration: { operator: "Equal", value: "v" }, want: false },
  {
    name: "Gt compares numbers",
    toleration: { key: "k", operator: "Gt", value: "9" },
    taint: { ...taint, value: "10" },
    want: true,
  },
  {
    name: "Lt is not Gt",
    toleration: { key: "k", operator: "Lt", value: "9" },
    taint: { ...taint, value: "10" },
    want: false,
  },
];
for (const row of tolerations) {
  test(`toleratesTaint() is ${row.want} when ${row.name}`, () => {
    assert.equal(toleratesTaint(row.toleration, row.taint ?? taint), row.want);
  });
}

test("findUntoleratedTaint() looks only at the effects asked for when others are untolerated", () => {
  assert.equal(findUntoleratedTaint([taint], [], ["NoExecute"]), undefined);
  assert.equal(findUntoleratedTaint([taint], undefined, ["NoSchedule"]), taint);
});

const expression = (key: string, operator: string, ...values: string[]) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
    },
  },
});
const affinities: { name: string; pod: Pod; want: boolean }[] = [
  { name: "the pod asks for nothing", pod: pod({}), want: true },
  { name: "nodeSelector matches", pod: pod({ nodeSelector: { disk: "ssd" } }), want: true },
  { name: "nodeSelector does not match", pod: pod({ nodeSelector: { disk: "hdd" } }), want: false },
  { name: "In matches", pod: pod({ affinity: expression("disk", "In", "hdd", "ssd") }), want: true },
  { name: "NotIn matches an absent key", pod: pod({ affinity: expression("gpu", "NotIn", "x") }), want: true },
  { name: "DoesNotExist finds the key", pod: pod({ affinity: expression("disk", "DoesNotExist") }), want: false },
  { name: "Gt compares integers", pod: pod({ affinity: expression("cores", "Gt", "7") }), want: true },
  { name: "Lt on a word", pod: pod({ affinity: expression("disk", "Lt", "7") }), want: false },
  {
    name: "a selector has no terms",
    pod: pod({
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } },
    }),
    want: false,
  },
  {
    name: "matchFields names the node",
    pod: pod({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["n1"] }] }],
          },
        },
      },
    }),
    want: true,
  },
];
for (const row of affinities) {
  test(`matchesRequiredNodeAffinity() is ${row.want} when ${row.name}`, () => {
    assert.equal(matchesRequiredNodeAffinity(row.pod, node({ disk: "ssd", cores: "8" })), row.want);
  });
}

test("preferredNodeAffinityWeight() adds the weights of the terms when several match", () => {
  const preference = (key: string) => ({ matchExpressions: [{ key, operator: "Exists" }] });
  const affinity = {
    nodeAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 3, preference: preference("disk") },
        { weight: 4, preference: preference("cores") },
        { weight: 5, preference: preference("gpu") },
      ],
    },
  };
  assert.equal(preferredNodeAffinityWeight(pod({ affinity }), node({ disk: "ssd", cores: "8" })), 7);
});

const requests: { name: string; pod: Pod; want: Record<string, number> }[] = [
  {
    name: "containers add up",
    pod: pod({ containers: [container("a", "1"), container("b", "250m")] }),
    want: { cpu: 1250 },
  },
  {
    name: "the largest init container exceeds the sum",
    pod: pod({ containers: [container("a", "1")], initContainers: [container("i", "2"), container("j", "500m")] }),
    want: { cpu: 2000 },
  },
  {
    name: "a sidecar runs beside the containers and beside later init containers",
    pod: pod({
      containers: [container("a", "1")],
      initContainers: [container("s", "500m", undefined, "Always"), container("i", "2")],
    }),
    want: { cpu: 2500 },
  },
  {
    name: "pod-level requests replace the sum and overhead is added",
    pod: pod({
      containers: [container("a", "1", "1Gi")],
      resources: { requests: { cpu: "3" } },
      overhead: { cpu: "100m" },
    }),
    want: { cpu: 3100, memory: 2 ** 30 },
  },
];
for (const row of requests) {
  test(`podRequests() holds the peak when ${row.name}`, () => {
    assert.deepEqual(Object.fromEntries(podRequests(row.pod)), row.want);
  });
}

test("podRequests() takes the larger when a resize is under way", () => {
  const resizing: Pod = {
    ...pod({ containers: [container("a", "1")] }),
    status: {
      containerStatuses: [
        { name: "a", image: "", imageID: "", ready: true, restartCount: 0, allocatedResources: { cpu: "2" } },
      ],
    },
  };
  assert.equal(podRequests(resizing).get("cpu"), 2000);
});

test("podNonZeroRequests() counts 100m and 200Mi when a container asks for nothing", () => {
  assert.deepEqual(podNonZeroRequests(pod({ containers: [container("a"), container("b", "1")] })), {
    cpuMillis: 1100,
    memoryBytes: 400 * 2 ** 20,
  });
});

test("hostPortsConflict() is true when one of two equal ports is bound to every address", () => {
  const [all] = hostPortsOf(pod({ containers: [{ name: "a", ports: [{ containerPort: 80, hostPort: 80 }] }] }));
  assert.ok(all);
  assert.ok(hostPortsConflict(all, { ip: "10.0.0.1", protocol: "TCP", port: 80 }));
  assert.ok(!hostPortsConflict(all, { ip: "10.0.0.1", protocol: "UDP", port: 80 }));
  assert.ok(
    !hostPortsConflict({ ip: "10.0.0.2", protocol: "TCP", port: 80 }, { ip: "10.0.0.1", protocol: "TCP", port: 80 }),
  );
});
