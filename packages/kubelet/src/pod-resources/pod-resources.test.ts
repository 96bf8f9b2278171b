import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { allocatableDevices, podResources } from "./pod-resources.ts";

const ANSWER = { envs: {}, mounts: [], devices: [], annotations: {}, cdiDevices: [] };

test("podResources() lists each device with each of its NUMA nodes, of sidecars and containers alone", () => {
  const pod: Pod = {
    metadata: { name: "p", namespace: "n", uid: "u" },
    spec: {
      initContainers: [{ name: "init" }, { name: "sidecar", restartPolicy: "Always" }],
      containers: [{ name: "main" }],
    },
  };
  const devices = new Map([
    [-1, ["a"]],
    [1, ["b"]],
  ]);
  const grantsOf = (podUid: string, container: string) =>
    container === "main" ? [{ podUid, container, resource: "example.com/thing", devices, answer: ANSWER }] : [];
  const cpusOf = (_: string, container: string) => (container === "sidecar" ? [2, 3] : []);
  assert.deepEqual(podResources(pod, { grantsOf, cpusOf }), {
    name: "p",
    namespace: "n",
    containers: [
      { name: "sidecar", devices: [], cpuIds: [2, 3] },
      {
        name: "main",
        devices: [
          { resourceName: "example.com/thing", deviceIds: ["a"] },
          { resourceName: "example.com/thing", deviceIds: ["b"], topology: { nodes: [{ ID: 1 }] } },
        ],
        cpuIds: [],
      },
    ],
  });
});

test("allocatableDevices() lists what is healthy", () => {
  const healthy = new Map([
    [
      "example.com/thing",
      [
        { id: "a", healthy: true, numaNodes: [] },
        { id: "b", healthy: true, numaNodes: [0, 1] },
      ],
    ],
  ]);
  assert.deepEqual(allocatableDevices(healthy), [
    { resourceName: "example.com/thing", deviceIds: ["a"] },
    { resourceName: "example.com/thing", deviceIds: ["b"], topology: { nodes: [{ ID: 0 }] } },
    { resourceName: "example.com/thing", deviceIds: ["b"], topology: { nodes: [{ ID: 1 }] } },
  ]);
});
