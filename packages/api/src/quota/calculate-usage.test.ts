import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { PersistentVolumeClaim, ResourceQuota, Service } from "../generated/types/core-v1.ts";
import type { ResourceClaim } from "../generated/types/resource-v1.ts";
import { calculateUsage, quotaMatches } from "./calculate-usage.ts";
import { persistentVolumeClaimEvaluator, resourceClaimEvaluator } from "./claim-evaluators.ts";
import { evaluatorFor, evaluatorsOf } from "./evaluators.ts";
import {
  addResources,
  equalResources,
  maxResources,
  namesAbove,
  negativeNames,
  showResources,
  subtractResources,
} from "./resource-lists.ts";
import { serviceEvaluator } from "./service-evaluator.ts";

const service = (type: string, nodePorts: number[], allocate?: boolean): Service => ({
  metadata: {},
  spec: { type, ports: nodePorts.map((nodePort) => ({ port: 1, nodePort })), allocateLoadBalancerNodePorts: allocate },
});
for (const [name, object, nodePorts, balancers] of [
  ["ClusterIP", service("ClusterIP", [0]), "0", "0"],
  ["NodePort", service("NodePort", [0, 0]), "2", "0"],
  ["LoadBalancer", service("LoadBalancer", [0, 0]), "2", "1"],
  ["LoadBalancer without node ports", service("LoadBalancer", [0, 30001], false), "1", "1"],
] as const) {
  test(`serviceEvaluator.usage() measures a ${name}`, () => {
    assert.deepEqual(serviceEvaluator.usage(object, 0), {
      "count/services": "1",
      services: "1",
      "services.nodeports": nodePorts,
      "services.loadbalancers": balancers,
    });
  });
}

const claim = (storage: string, storageClassName?: string, allocated?: string): PersistentVolumeClaim => ({
  metadata: {},
  spec: { resources: { requests: { storage } }, storageClassName },
  status: allocated === undefined ? {} : { allocatedResources: { storage: allocated } },
});
test("persistentVolumeClaimEvaluator.usage() charges the storage class too", () => {
  assert.deepEqual(persistentVolumeClaimEvaluator.usage(claim("5Gi", "gold", "8Gi"), 0), {
    persistentvolumeclaims: "1",
    "count/persistentvolumeclaims": "1",
    "requests.storage": "8Gi",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    "gold.storageclass.storage.k8s.io/requests.storage": "8Gi",
  });
});
test("persistentVolumeClaimEvaluator.usage() counts whole bytes", () => {
  assert.equal(persistentVolumeClaimEvaluator.usage(claim("1500m"), 0)["requests.storage"], "2");
});
test("persistentVolumeClaimEvaluator.handles() status writes only when they change what counts", () => {
  const request = (oldObject: PersistentVolumeClaim) => ({
    operation: "UPDATE",
    subresource: "status",
    object: claim("5Gi", "gold", "8Gi"),
    oldObject,
  });
  assert.equal(persistentVolumeClaimEvaluator.handles(request(claim("5Gi", "gold", "8Gi"))), false);
  assert.equal(persistentVolumeClaimEvaluator.handles(request(claim("5Gi", "gold"))), true);
});
test("persistentVolumeClaimEvaluator.matchesScope() looks at wanted and current attributes classes", () => {
  const scope = { scopeName: "VolumeAttributesClass", operator: "In", values: ["fast"] };
  const moving = {
    metadata: {},
    spec: { volumeAttributesClassName: "slow" },
    status: { currentVolumeAttributesClassName: "fast" },
  };
  assert.equal(persistentVolumeClaimEvaluator.matchesScope(scope, moving), true);
  assert.equal(persistentVolumeClaimEvaluator.matchesScope(scope, claim("1Gi")), false);
});

test("resourceClaimEvaluator.usage() adds requests and takes the dearest alternative", () => {
  const object: ResourceClaim = {
    metadata: {},
    spec: {
      devices: {
        requests: [
          { name: "a", exactly: { deviceClassName: "gpu", count: 2 } },
          { name: "b", exactly: { deviceClassName: "nic", allocationMode: "All" } },
          {
            name: "c",
            firstAvailable: [
              { name: "x", deviceClassName: "gpu", count: 3 },
              { name: "y", deviceClassName: "gpu", count: 1 },
            ],
          },
        ],
      },
    },
  };
  assert.deepEqual(resourceClaimEvaluator.usage(object, 0), {
    "count/resourceclaims.resource.k8s.io": "1",
    "gpu.deviceclass.resource.k8s.io/devices": "5",
    "nic.deviceclass.resource.k8s.io/devices": "32",
  });
});

test("evaluatorFor() counts what has no evaluator of its own", () => {
  const deployments = evaluatorFor("apps", "deployments");
  assert.deepEqual(deployments.usage({ metadata: {} }, 0), { "count/deployments.apps": "1" });
  assert.deepEqual(evaluatorFor("", "secrets").usage({ metadata: {} }, 0), { "count/secrets": "1", secrets: "1" });
  const write = { subresource: "", object: { metadata: {} }, oldObject: undefined };
  assert.equal(deployments.handles({ ...write, operation: "CREATE" }), true);
  assert.equal(deployments.handles({ ...write, operation: "UPDATE" }), false);
});
test("evaluatorsOf() names each evaluator once", () => {
  const of = evaluatorsOf(["count/pods", "pods", "secrets", "count/secrets", "count/widgets.example.com", "nobody"]);
  assert.deepEqual(
    of.map((e) => e.resource),
    ["pods", "secrets", "widgets"],
  );
});

const objects: Record<string, readonly KubeObject[]> = {
  pods: [
    { metadata: {}, spec: { containers: [{ name: "c", resources: { requests: { cpu: "500m" } } }] } } as KubeObject,
    { metadata: {}, spec: { containers: [{ name: "c" }], activeDeadlineSeconds: 5 } } as KubeObject,
    {
      metadata: {},
      status: { phase: "Failed" },
      spec: { containers: [{ name: "c", resources: { requests: { cpu: "4" } } }] },
    } as KubeObject,
  ],
  secrets: [{ metadata: {} }, { metadata: {} }],
};
const objectsOf = (_group: string, resource: string) =>
  resource === "widgets" ? undefined : (objects[resource] ?? []);
for (const [name, spec, want] of [
  [
    "several resources",
    { hard: { pods: "5", cpu: "4", secrets: "9", services: "1", "count/widgets.example.com": "1", unheard: "1" } },
    { pods: "2", cpu: "500m", secrets: "2", services: "0" },
  ],
  ["a scope", { hard: { pods: "5", "count/pods": "5" }, scopes: ["Terminating"] }, { pods: "1", "count/pods": "1" }],
  [
    "a scope selector that nothing else has",
    {
      hard: { pods: "5", secrets: "5" },
      scopeSelector: { matchExpressions: [{ scopeName: "NotTerminating", operator: "Exists" }] },
    },
    { pods: "1", secrets: "0" },
  ],
] as const) {
  test(`calculateUsage() counts ${name}`, () => {
    assert.deepEqual(calculateUsage(spec as ResourceQuota["spec"] & {}, objectsOf, 0), want);
  });
}

test("quotaMatches() wants a measured name in status.hard and every scope", () => {
  const quota = (hard: Record<string, string>, scopes: string[] = []): ResourceQuota => ({
    metadata: {},
    spec: { scopes },
    status: { hard },
  });
  const pods = evaluatorFor("", "pods");
  const pod = { metadata: {}, spec: { containers: [] } };
  assert.equal(quotaMatches(pods, quota({ pods: "1" }), pod), true);
  assert.equal(quotaMatches(pods, quota({ services: "1" }), pod), false);
  assert.equal(quotaMatches(pods, quota({ pods: "1" }, ["Terminating"]), pod), false);
  assert.equal(
    quotaMatches(evaluatorFor("", "secrets"), quota({ secrets: "1" }, ["BestEffort"]), { metadata: {} }),
    false,
  );
});

test("resource lists are added, subtracted, compared and shown by value", () => {
  assert.deepEqual(addResources({ cpu: "500m", a: "1" }, { cpu: "1500m", b: "2" }), { cpu: "2", a: "1", b: "2" });
  assert.deepEqual(subtractResources({ cpu: "1" }, { cpu: "3", b: "1" }), { cpu: "-2", b: "-1" });
  assert.deepEqual(maxResources({ cpu: "1", a: "1" }, { cpu: "2", b: "1" }), { cpu: "2", a: "1", b: "1" });
  assert.deepEqual(namesAbove({ b: "2", a: "2", c: "1" }, { a: "1", b: "1000m", c: "1" }), ["a", "b"]);
  assert.deepEqual(negativeNames({ a: "-1", b: "0" }), ["a"]);
  assert.equal(equalResources({ a: "1" }, { a: "1000m" }), true);
  assert.equal(equalResources({ a: "1" }, { b: "1" }), false);
  assert.equal(showResources({ pods: "3", cpu: "1000m" }), "cpu=1,pods=3");
});
