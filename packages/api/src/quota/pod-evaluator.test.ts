import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, Pod, PodSpec, ScopedResourceSelectorRequirement } from "../generated/types/core-v1.ts";
import { podEvaluator } from "./pod-evaluator.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const container = (requests: Record<string, string>, limits: Record<string, string> = {}, name = "c"): Container => ({
  name,
  image: "i",
  resources: { requests, limits },
});
const pod = (spec: Partial<PodSpec>, more: Partial<Pod> = {}): Pod => ({
  metadata: {},
  spec: { containers: [], ...spec },
  ...more,
});

const usages: { name: string; pod: Pod; want: Record<string, string> }[] = [
  {
    name: "a pod without resources",
    pod: pod({ containers: [container({})] }),
    want: { "count/pods": "1", pods: "1" },
  },
  {
    name: "containers that are added up",
    pod: pod({ containers: [container({ cpu: "100m" }, { cpu: "1" }), container({ cpu: "400m", memory: "1Gi" })] }),
    want: {
      "count/pods": "1",
      pods: "1",
      cpu: "500m",
      "requests.cpu": "500m",
      "limits.cpu": "1",
      memory: "1Gi",
      "requests.memory": "1Gi",
    },
  },
  {
    name: "an init container that takes more, a sidecar that stays",
    pod: pod({
      containers: [container({ cpu: "1" })],
      initContainers: [
        { ...container({ cpu: "500m" }), restartPolicy: "Always" },
        container({ cpu: "2" }),
        container({ memory: "1Gi" }),
      ],
    }),
    want: {
      "count/pods": "1",
      pods: "1",
      cpu: "2500m",
      "requests.cpu": "2500m",
      memory: "1Gi",
      "requests.memory": "1Gi",
    },
  },
  {
    name: "overhead, which widens only limits that exist",
    pod: pod({
      containers: [container({ cpu: "1" }, { memory: "1Gi" })],
      overhead: { cpu: "250m", memory: "1Gi" },
    }),
    want: {
      "count/pods": "1",
      pods: "1",
      cpu: "1250m",
      "requests.cpu": "1250m",
      memory: "1Gi",
      "requests.memory": "1Gi",
      "limits.memory": "2Gi",
    },
  },
  {
    name: "pod-level resources, which replace the sum",
    pod: pod({ containers: [container({ cpu: "1" })], resources: { requests: { cpu: "3" }, limits: { cpu: "4" } } }),
    want: { "count/pods": "1", pods: "1", cpu: "3", "requests.cpu": "3", "limits.cpu": "4" },
  },
  {
    name: "extended resources, huge pages, ephemeral storage",
    pod: pod({
      containers: [
        container(
          { "example.com/gpu": "2", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi" },
          { "ephemeral-storage": "2Gi" },
        ),
      ],
    }),
    want: {
      "count/pods": "1",
      pods: "1",
      "requests.example.com/gpu": "2",
      "hugepages-2Mi": "4Mi",
      "requests.hugepages-2Mi": "4Mi",
      "ephemeral-storage": "1Gi",
      "requests.ephemeral-storage": "1Gi",
      "limits.ephemeral-storage": "2Gi",
    },
  },
  {
    name: "a resize under way: the larger of wanted and allocated",
    pod: pod(
      { containers: [container({ cpu: "1" })] },
      { status: { containerStatuses: [{ name: "c", allocatedResources: { cpu: "2" } } as never] } },
    ),
    want: { "count/pods": "1", pods: "1", cpu: "2", "requests.cpu": "2" },
  },
  {
    name: "a pod that succeeded",
    pod: pod({ containers: [container({ cpu: "1" })] }, { status: { phase: "Succeeded" } }),
    want: { "count/pods": "1" },
  },
  {
    name: "a pod that should have ended",
    pod: pod(
      { containers: [container({ cpu: "1" })] },
      { metadata: { deletionTimestamp: "2025-12-31T23:59:00Z", deletionGracePeriodSeconds: 30 } },
    ),
    want: { "count/pods": "1" },
  },
  {
    name: "a pod that is still ending",
    pod: pod(
      { containers: [container({})] },
      { metadata: { deletionTimestamp: "2025-12-31T23:59:45Z", deletionGracePeriodSeconds: 30 } },
    ),
    want: { "count/pods": "1", pods: "1" },
  },
];
for (const { name, pod: object, want } of usages) {
  test(`podEvaluator.usage() measures ${name}`, () => assert.deepEqual(podEvaluator.usage(object, NOW), want));
}

const exists = (scopeName: string): ScopedResourceSelectorRequirement => ({ scopeName, operator: "Exists" });
const priority = (operator: string, ...values: string[]) => ({ scopeName: "PriorityClass", operator, values });
const cross = pod({
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 1, podAffinityTerm: { topologyKey: "zone", namespaceSelector: {} } },
      ],
    },
  },
});
const scopes: { name: string; scope: ScopedResourceSelectorRequirement; pod: Pod; want: boolean }[] = [
  { name: "Terminating", scope: exists("Terminating"), pod: pod({ activeDeadlineSeconds: 0 }), want: true },
  { name: "Terminating, no deadline", scope: exists("Terminating"), pod: pod({}), want: false },
  { name: "NotTerminating", scope: exists("NotTerminating"), pod: pod({}), want: true },
  { name: "BestEffort", scope: exists("BestEffort"), pod: pod({ containers: [container({})] }), want: true },
  {
    name: "BestEffort, burstable",
    scope: exists("BestEffort"),
    pod: pod({ containers: [container({ cpu: "1" })] }),
    want: false,
  },
  {
    name: "NotBestEffort",
    scope: exists("NotBestEffort"),
    pod: pod({ containers: [container({ cpu: "1" })] }),
    want: true,
  },
  { name: "PriorityClass In", scope: priority("In", "high"), pod: pod({ priorityClassName: "high" }), want: true },
  {
    name: "PriorityClass In, another",
    scope: priority("In", "high"),
    pod: pod({ priorityClassName: "low" }),
    want: false,
  },
  { name: "PriorityClass NotIn, none", scope: priority("NotIn", "high"), pod: pod({}), want: true },
  { name: "PriorityClass Exists, none", scope: priority("Exists"), pod: pod({}), want: false },
  { name: "PriorityClass DoesNotExist", scope: priority("DoesNotExist"), pod: pod({}), want: true },
  { name: "CrossNamespacePodAffinity", scope: exists("CrossNamespacePodAffinity"), pod: cross, want: true },
  { name: "CrossNamespacePodAffinity, none", scope: exists("CrossNamespacePodAffinity"), pod: pod({}), want: false },
  { name: "VolumeAttributesClass", scope: exists("VolumeAttributesClass"), pod: pod({}), want: false },
];
for (const { name, scope, pod: object, want } of scopes) {
  test(`podEvaluator.matchesScope() is ${want} for ${name}`, () =>
    assert.equal(podEvaluator.matchesScope(scope, object), want));
}

test("podEvaluator.matchingResources() takes compute names, huge pages and extended resources", () => {
  const names = ["cpu", "limits.cpu", "pods", "count/pods", "hugepages-2Mi", "requests.hugepages-2Mi"];
  const extended = "requests.example.com/gpu";
  assert.deepEqual(podEvaluator.matchingResources([...names, extended, "services", "requests.storage"]), [
    ...names,
    extended,
  ]);
});

const complaints: { name: string; required: string[]; pod: Pod; want: string | undefined }[] = [
  {
    name: "containers lack what the quota is about",
    required: ["pods", "limits.memory", "cpu"],
    pod: pod({ containers: [container({}, {}, "b"), container({ cpu: "1" }, {}, "a")] }),
    want: "must specify cpu for: b; limits.memory for: a,b",
  },
  {
    name: "nothing obliging is asked for",
    required: ["requests.ephemeral-storage"],
    pod: pod({ containers: [container({})] }),
    want: undefined,
  },
  {
    name: "the pod says it as a whole",
    required: ["cpu"],
    pod: pod({ containers: [container({})], resources: { requests: { cpu: "1" } } }),
    want: undefined,
  },
];
for (const { name, required, pod: object, want } of complaints) {
  test(`podEvaluator.complaint() says ${want} when ${name}`, () =>
    assert.equal(podEvaluator.complaint?.(required, object), want));
}
