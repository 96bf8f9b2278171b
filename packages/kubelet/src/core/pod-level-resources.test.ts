import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { podLevelResources } from "./pod-level-resources.ts";
import { container, pod } from "./testing.ts";

const asks = (name: string, cpu: string, limit?: string, more = {}) =>
  container(name, {
    resources: { requests: { cpu }, ...(limit === undefined ? {} : { limits: { cpu: limit } }) },
    ...more,
  });
const sidecar = { restartPolicy: "Always" };

const cases: { name: string; pod: Pod; requests?: object; limits?: object }[] = [
  { name: "asks for nothing", pod: pod() },
  {
    name: "has two containers",
    pod: pod({ containers: [asks("a", "250m", "1"), asks("b", "750m")] }),
    requests: { cpu: "1" },
    limits: { cpu: "1" },
  },
  {
    name: "has an init container that needs more beside the sidecar before it",
    pod: pod({ initContainers: [asks("s", "1", undefined, sidecar), asks("i", "3")], containers: [asks("a", "500m")] }),
    requests: { cpu: "4" },
  },
  {
    name: "has resources of its own and overhead",
    pod: pod({
      resources: { requests: { cpu: "2" }, limits: { memory: "1Gi" } },
      overhead: { cpu: "100m", memory: "64Mi" },
      containers: [asks("a", "500m")],
    }),
    requests: { cpu: "2100m", memory: "64Mi" },
    limits: { memory: "1088Mi" },
  },
];

for (const { name, pod: thePod, requests, limits } of cases) {
  test(`podLevelResources() sums up a pod that ${name}`, () => {
    const got = podLevelResources(thePod);
    assert.deepEqual(got.allocatedResources, requests);
    assert.deepEqual(got.resources?.requests, requests);
    assert.deepEqual(got.resources?.limits, limits);
  });
}
