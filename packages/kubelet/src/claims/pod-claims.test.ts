import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceClaim } from "@knarr/api/generated/types/resource-v1.ts";
import { ClaimError, checkClaim, claimsOfContainer, claimsOfPod, driversOf } from "./pod-claims.ts";

const pod: Pod = {
  metadata: { name: "p", namespace: "ns", uid: "u" },
  spec: {
    resourceClaims: [
      { name: "shared", resourceClaimName: "gpu" },
      { name: "own", resourceClaimTemplateName: "template" },
      { name: "none", resourceClaimTemplateName: "template" },
    ],
    containers: [{ name: "c", resources: { claims: [{ name: "own", request: "r" }, { name: "shared" }] } }],
  },
  status: { resourceClaimStatuses: [{ name: "own", resourceClaimName: "p-own-x" }, { name: "none" }] },
};
const container = pod.spec?.containers[0] as Container;

test("claimsOfPod() names claims by reference and by template, and leaves out what came to no claim", () => {
  assert.deepEqual(claimsOfPod(pod), [
    { entry: "shared", claimName: "gpu", mustOwn: false },
    { entry: "own", claimName: "p-own-x", mustOwn: true },
  ]);
  assert.deepEqual(claimsOfPod({ metadata: {}, spec: { containers: [] } }), []);
});

test("claimsOfPod() refuses while a claim is still to be made", () => {
  const { status: _, ...early } = pod;
  assert.throws(() => claimsOfPod(early), {
    message: 'pod "ns/p": ResourceClaim not created yet',
    constructor: ClaimError,
  });
});

test("claimsOfContainer() has the requests that the container names, all where it names none", () => {
  assert.deepEqual(claimsOfContainer(pod, container), [
    { claimName: "gpu", request: "" },
    { claimName: "p-own-x", request: "r" },
  ]);
  assert.deepEqual(claimsOfContainer(pod, { name: "other" }), []);
});

test("claimsOfContainer() gives extended resources the requests that the scheduler made for them", () => {
  const requestMappings = [
    { containerName: "c", resourceName: "example.com/gpu", requestName: "container-0-request-0" },
    { containerName: "c", resourceName: "example.com/other", requestName: "container-0-request-1" },
    { containerName: "d", resourceName: "example.com/gpu", requestName: "container-1-request-0" },
  ];
  const backed: Pod = {
    ...pod,
    spec: { containers: [] },
    status: { extendedResourceClaimStatus: { resourceClaimName: "p-extended", requestMappings } },
  };
  const asking: Container = { name: "c", resources: { requests: { "example.com/gpu": "1" } } };
  assert.deepEqual(claimsOfContainer(backed, asking), [{ claimName: "p-extended", request: "container-0-request-0" }]);
});

const results = ["a.example", "b.example", "a.example"].map((driver) => ({
  ...{ driver, pool: "pool", device: "d", request: "r" },
}));
const claim: ResourceClaim = {
  metadata: { name: "gpu", namespace: "ns", uid: "claim-u" },
  spec: {},
  status: { allocation: { devices: { results } }, reservedFor: [{ resource: "pods", name: "p", uid: "u" }] },
};

test("checkClaim() takes a claim that is allocated and reserved for the pod", () => {
  checkClaim(pod, { entry: "shared", claimName: "gpu", mustOwn: false }, claim);
  assert.deepEqual(driversOf(claim), ["a.example", "b.example"]);
});

for (const [what, changed, mustOwn, message] of [
  ["another pod's claim", claim, true, "ResourceClaim ns/gpu was not created for pod ns/p (pod is not owner)"],
  [
    "a claim that is reserved for others",
    { ...claim, status: { ...claim.status, reservedFor: [{ resource: "pods", name: "p", uid: "older" }] } },
    false,
    "pod p (u) is not allowed to use ResourceClaim gpu (claim-u)",
  ],
  [
    "a claim without allocation",
    { ...claim, status: { reservedFor: claim.status?.reservedFor } },
    false,
    "ResourceClaim gpu: not allocated",
  ],
] as const) {
  test(`checkClaim() refuses ${what}`, () => {
    assert.throws(() => checkClaim(pod, { entry: "e", claimName: "gpu", mustOwn }, changed as ResourceClaim), {
      message,
    });
  });
}
