import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceClaim } from "@knarr/api/generated/types/resource-v1.ts";
import {
  claimFromTemplate,
  isLeftOver,
  mayDropFinalizer,
  missingClaims,
  releasedStatus,
  validConsumers,
} from "./resource-claim-plan.ts";

const FINALIZER = "resource.kubernetes.io/delete-protection";
const pod = (own: { phase?: string; deleted?: boolean; node?: string; uid?: string } = {}): Pod => ({
  metadata: {
    namespace: "default",
    name: "p",
    uid: own.uid ?? "p1",
    ...(own.deleted === true ? { deletionTimestamp: "t" } : {}),
  },
  spec: {
    containers: [],
    nodeName: own.node ?? "",
    resourceClaims: [
      { name: "gpu", resourceClaimTemplateName: "gpus" },
      { name: "own", resourceClaimName: "mine" },
    ],
  },
  status: { phase: own.phase ?? "Pending" },
});
const reference = (uid: string) => ({ resource: "pods", name: "p", uid });
const claim = (
  own: { uids?: string[]; allocated?: boolean; finalizer?: boolean; deleted?: boolean; entry?: string } = {},
): ResourceClaim => ({
  metadata: {
    namespace: "default",
    name: "p-gpu-x",
    annotations: { "resource.kubernetes.io/pod-claim-name": own.entry ?? "gpu" },
    ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: "p1", controller: true }],
    ...(own.finalizer === false ? {} : { finalizers: [FINALIZER] }),
    ...(own.deleted === true ? { deletionTimestamp: "t" } : {}),
  },
  spec: {},
  status: {
    ...(own.allocated === false ? {} : { allocation: {} }),
    ...(own.uids === undefined ? {} : { reservedFor: own.uids.map(reference) }),
  },
});

const missing = [
  { name: "it has none", pod: pod(), owned: [], want: ["gpu"] },
  { name: "it has it", pod: pod(), owned: [claim()], want: [] },
  { name: "it has another's", pod: pod(), owned: [claim({ entry: "fpga" })], want: ["gpu"] },
  { name: "it has ended", pod: pod({ phase: "Failed" }), owned: [], want: [] },
  { name: "it is being deleted", pod: pod({ deleted: true, node: "n" }), owned: [], want: [] },
];
for (const { name, pod: one, owned, want } of missing) {
  test(`missingClaims() wants ${want.join() || "nothing"} for a pod when ${name}`, () =>
    assert.deepEqual(
      missingClaims(one, owned).map((entry) => entry.name),
      want,
    ));
}

test("claimFromTemplate() takes spec and labels from the template and shortens both names", () => {
  const template = { metadata: { name: "gpus" }, spec: { metadata: { labels: { a: "b" } }, spec: { devices: {} } } };
  const [entry = { name: "" }] = pod().spec?.resourceClaims ?? [];
  const made = claimFromTemplate(pod(), entry, template);
  assert.equal(made.metadata.generateName, "p-gpu-");
  assert.deepEqual([made.metadata.labels, made.spec], [{ a: "b" }, { devices: {} }]);
  const long = claimFromTemplate({ ...pod(), metadata: { name: "p".repeat(80) } }, { name: "c".repeat(40) }, template);
  assert.match(long.metadata.generateName ?? "", /^p{30,}-c{15,}$/);
  assert.ok((long.metadata.generateName ?? "").length <= 58);
});

const holders = [
  { name: "the pod runs", found: pod({ node: "n" }), want: ["p1"] },
  { name: "the pod is gone", found: undefined, want: [] },
  { name: "it was replaced", found: pod({ uid: "p2" }), want: [] },
  { name: "it has ended", found: pod({ phase: "Succeeded" }), want: [] },
  { name: "it is going but was scheduled", found: pod({ deleted: true, node: "n" }), want: ["p1"] },
];
for (const { name, found, want } of holders) {
  test(`validConsumers() keeps ${want.join() || "nobody"} when ${name}`, () => {
    const consumer = () => (found === undefined ? ({ kind: "gone" } as const) : ({ kind: "pod", pod: found } as const));
    assert.deepEqual(
      validConsumers(claim({ uids: ["p1"] }), consumer).map(({ uid }) => uid),
      want,
    );
  });
}

test("releasedStatus() frees the device with its last holder, and not before", () => {
  const two = claim({ uids: ["p1", "p2"] });
  assert.equal(releasedStatus(two, two.status?.reservedFor ?? []), undefined);
  assert.deepEqual(releasedStatus(two, [reference("p2")]), { allocation: {}, reservedFor: [reference("p2")] });
  assert.deepEqual(releasedStatus(two, []), {});
  assert.equal(releasedStatus(claim(), []), undefined, "never held: its driver may not have said so yet");
  assert.deepEqual(releasedStatus(claim({ deleted: true }), []), {});
});

const finalizers = [
  { name: "still allocated", claim: claim({ uids: [] }), released: true, want: false },
  { name: "just freed", claim: claim({ allocated: false }), released: true, want: true },
  { name: "not allocated yet", claim: claim({ allocated: false }), released: false, want: false },
  { name: "deleted and free", claim: claim({ allocated: false, deleted: true }), released: false, want: true },
  { name: "not protected", claim: claim({ allocated: false, finalizer: false }), released: true, want: false },
];
for (const { name, claim: one, released, want } of finalizers) {
  test(`mayDropFinalizer() is ${want} when the claim is ${name}`, () =>
    assert.equal(mayDropFinalizer(one, released), want));
}

test("isLeftOver() is true for a made claim whose pod has ended or was replaced, and nobody holds", () => {
  const free = claim({ allocated: false });
  const rows: [ResourceClaim, Pod | undefined][] = [
    [free, pod({ phase: "Succeeded" })],
    [free, pod({ uid: "p2" })],
    [free, pod()],
    [free, undefined],
    [claim({ uids: ["x"] }), pod({ phase: "Succeeded" })],
  ];
  assert.deepEqual(
    rows.map(([one, owner]) => isLeftOver(one, owner)),
    [true, true, false, false, false],
  );
});
