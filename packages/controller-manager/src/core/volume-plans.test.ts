import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { CSIDriver, StorageClass, VolumeAttachment } from "@knarr/api/generated/types/storage-v1.ts";
import { type AttachView, planAttachments } from "./attach-detach-plan.ts";
import { bindClaim, type ClaimBinderPlan, claimStatus, planClaim } from "./claim-binder-plan.ts";
import { planVolume, unbindVolume } from "./volume-binder-plan.ts";
import { CLAIM_FINALIZER, isClaimUsed, planProtection } from "./volume-protection-plan.ts";

type ClaimParts = { annotations?: Record<string, string>; spec?: object; status?: PersistentVolumeClaim["status"] };
const claim = ({ annotations = {}, spec = {}, status }: ClaimParts = {}): PersistentVolumeClaim => ({
  metadata: { name: "data", namespace: "default", uid: "c1", annotations },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
  status,
});
const volume = (name: string, spec: object = {}, phase = "Available", annotations = {}): PersistentVolume => ({
  metadata: { name, uid: name, annotations },
  spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "2Gi" }, ...spec },
  status: { phase },
});
const storageClass = (name: string, own: Partial<StorageClass> = {}): StorageClass => ({
  metadata: { name },
  provisioner: "example.com/disk",
  ...own,
});
const ref = (uid?: string, name = "data") => ({
  claimRef: { namespace: "default", name, ...(uid === undefined ? {} : { uid }) },
});
const done = { "pv.kubernetes.io/bind-completed": "yes" };
const late = storageClass("late", { volumeBindingMode: "WaitForFirstConsumer" });
const preferred = storageClass("std", {
  metadata: { name: "std", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
});

interface ClaimRow {
  readonly name: string;
  readonly claim?: ClaimParts;
  readonly volumes?: readonly PersistentVolume[];
  readonly classes?: readonly StorageClass[];
  readonly pods?: readonly Pod[];
  readonly want: string;
}
const claimRows: ClaimRow[] = [
  { name: "there is nothing", want: "pending FailedBinding" },
  { name: "a volume suits", volumes: [volume("a")], want: "bind a", claim: { spec: { storageClassName: "" } } },
  {
    name: "two suit: the smaller",
    volumes: [volume("big", { capacity: { storage: "9Gi" } }), volume("small")],
    want: "bind small",
  },
  {
    name: "all are too small",
    volumes: [volume("a", { capacity: { storage: "1Mi" } })],
    want: "pending FailedBinding",
  },
  { name: "it is taken", volumes: [volume("a", ref("c2", "other"), "Bound")], want: "pending FailedBinding" },
  { name: "it was reserved for the claim", volumes: [volume("a"), volume("b", ref())], want: "bind b" },
  { name: "no class is named and one is the default", classes: [preferred], want: "assign-class std" },
  { name: "the class is unknown", claim: { spec: { storageClassName: "x" } }, want: "pending ProvisioningFailed" },
  {
    name: "a provisioner is to make it",
    claim: { spec: { storageClassName: "std" } },
    classes: [preferred],
    want: "provision example.com/disk",
  },
  {
    name: "nobody makes such volumes",
    claim: { spec: { storageClassName: "n" } },
    classes: [storageClass("n", { provisioner: "kubernetes.io/no-provisioner" })],
    want: "pending ProvisioningFailed",
  },
  {
    name: "the class waits for a pod",
    claim: { spec: { storageClassName: "late" } },
    classes: [late],
    volumes: [volume("a", { storageClassName: "late" })],
    want: "pending WaitForFirstConsumer",
  },
  {
    name: "the class waits and a pod is there",
    claim: { spec: { storageClassName: "late" } },
    classes: [late],
    pods: [{ metadata: { name: "p" } }],
    want: "pending WaitForPodScheduled",
  },
  {
    name: "the scheduler chose a node",
    claim: { spec: { storageClassName: "late" }, annotations: { "volume.kubernetes.io/selected-node": "n" } },
    classes: [late],
    want: "provision example.com/disk",
  },
  { name: "the user named a volume that isn't there", claim: { spec: { volumeName: "a" } }, want: "pending" },
  {
    name: "the user named a volume that suits",
    claim: { spec: { volumeName: "a" } },
    volumes: [volume("a")],
    want: "bind a",
  },
  {
    name: "the user named one that is too small",
    claim: { spec: { volumeName: "a" } },
    volumes: [volume("a", { capacity: { storage: "1" } })],
    want: "pending VolumeMismatch",
  },
  {
    name: "the user named another's",
    claim: { spec: { volumeName: "a" } },
    volumes: [volume("a", ref("c2", "o"))],
    want: "pending FailedBinding",
  },
  {
    name: "bound and well",
    claim: { annotations: done, spec: { volumeName: "a" } },
    volumes: [volume("a", ref("c1"))],
    want: "bind a",
  },
  { name: "bound to what is gone", claim: { annotations: done, spec: { volumeName: "a" } }, want: "lost ClaimLost" },
  {
    name: "bound to another's",
    claim: { annotations: done, spec: { volumeName: "a" } },
    volumes: [volume("a", ref("c2"))],
    want: "lost ClaimMisbound",
  },
];
const short = (plan: ClaimBinderPlan): string => {
  switch (plan.kind) {
    case "bind":
      return `bind ${plan.volume.metadata.name}`;
    case "assign-class":
      return `assign-class ${plan.className}`;
    case "provision":
      return `provision ${plan.provisioner}`;
    default:
      return [plan.kind, plan.event?.reason].filter((part) => part !== undefined).join(" ");
  }
};
for (const { name, claim: parts, volumes = [], classes = [], pods = [], want } of claimRows) {
  test(`planClaim() says "${want}" when ${name}`, () => {
    const find = (wanted: string) => volumes.find(({ metadata }) => metadata.name === wanted);
    assert.equal(short(planClaim({ claim: claim(parts), volumes, volume: find, classes, pods })), want);
  });
}

test("bindClaim() marks what the user didn't choose, and leaves alone what is bound", () => {
  const chosen = bindClaim(claim(), volume("a"));
  assert.deepEqual(chosen.metadata.annotations, { ...done, "pv.kubernetes.io/bound-by-controller": "yes" });
  assert.deepEqual(bindClaim(claim({ spec: { volumeName: "a" } }), volume("a")).metadata.annotations, done);
  assert.equal(bindClaim(chosen, volume("a")), chosen);
});

test("claimStatus() takes modes and size from the volume once, and drops them when there is none", () => {
  const bound = claimStatus(claim(), "Bound", volume("a"));
  assert.deepEqual(bound, { phase: "Bound", accessModes: ["ReadWriteOnce"], capacity: { storage: "2Gi" } });
  const larger = volume("a", { capacity: { storage: "9Gi" } });
  assert.equal(claimStatus(claim({ status: bound }), "Bound", larger), undefined, "the resizer says the size");
  assert.deepEqual(claimStatus(claim({ status: bound }), "Lost", undefined), { phase: "Lost" });
});

const volumeRows = [
  { name: "nobody wants it", volume: volume("a"), want: { phase: "Available" } },
  { name: "it is reserved", volume: volume("a", ref()), want: { phase: "Available", wakeClaim: true } },
  { name: "its claim isn't bound yet", volume: volume("a", ref("c1")), claim: claim(), want: { wakeClaim: true } },
  {
    name: "all is well",
    volume: volume("a", ref("c1")),
    claim: claim({ spec: { volumeName: "a" } }),
    want: { phase: "Bound" },
  },
  {
    name: "its claim took another",
    volume: volume("a", ref("c1")),
    claim: claim({ spec: { volumeName: "b" } }),
    want: { unbind: true },
  },
  { name: "its claim is gone", volume: volume("a", ref("c1"), "Bound"), want: { phase: "Released" } },
  {
    name: "its claim is gone and a deleter knows it",
    volume: volume("a", { ...ref("c1"), persistentVolumeReclaimPolicy: "Delete" }, "Bound", {
      "pv.kubernetes.io/provisioned-by": "example.com/disk",
    }),
    want: { phase: "Released" },
  },
];
for (const { name, volume: one, claim: its, want } of volumeRows) {
  test(`planVolume() plans ${JSON.stringify(want)} when ${name}`, () => assert.deepEqual(planVolume(one, its), want));
}
for (const [policy, reason] of [
  ["Delete", "VolumeFailedDelete"],
  ["Recycle", "VolumeFailedRecycle"],
  ["Burn", "VolumeUnknownReclaimPolicy"],
]) {
  test(`planVolume() fails a released volume when nothing here carries out ${policy}`, () => {
    const plan = planVolume(
      volume("a", { ...ref("c1"), persistentVolumeReclaimPolicy: policy }, "Released"),
      undefined,
    );
    assert.deepEqual([plan.phase, plan.event?.reason], ["Failed", reason]);
  });
}
test("unbindVolume() keeps the name that the user reserved the volume for", () => {
  assert.deepEqual(unbindVolume(volume("a", ref("c1"))).spec?.claimRef, { namespace: "default", name: "data" });
  const ours = volume("a", ref("c1"), "Bound", { "pv.kubernetes.io/bound-by-controller": "yes" });
  assert.equal(unbindVolume(ours).spec?.claimRef, undefined);
});

const user = (name: string, nodeName: string, own: object = {}): Pod =>
  ({
    metadata: { name, namespace: "default", uid: name, ...own },
    spec: { nodeName, containers: [], volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] },
  }) as Pod;
const protectionRows = [
  { name: "new", object: {}, used: true, want: "protect" },
  { name: "protected", object: { finalizers: [CLAIM_FINALIZER] }, used: false, want: "keep" },
  {
    name: "deleted while used",
    object: { finalizers: [CLAIM_FINALIZER], deletionTimestamp: "t" },
    used: true,
    want: "keep",
  },
  {
    name: "deleted and free",
    object: { finalizers: [CLAIM_FINALIZER], deletionTimestamp: "t" },
    used: false,
    want: "release",
  },
  { name: "deleted and never protected", object: { deletionTimestamp: "t" }, used: false, want: "keep" },
];
for (const { name, object, used, want } of protectionRows) {
  test(`planProtection() says ${want} when the object is ${name}`, () =>
    assert.equal(
      planProtection({ metadata: object }, CLAIM_FINALIZER, () => used),
      want,
    ));
}
test("isClaimUsed() counts pods with a node only", () => {
  assert.equal(isClaimUsed(claim(), [user("p", "")]), false);
  assert.equal(isClaimUsed(claim(), [user("p", "n1")]), true);
});

const csi = { csi: { driver: "d", volumeHandle: "h" } };
const managed = { "volumes.kubernetes.io/controller-managed-attach-detach": "true" };
const node = (status = {}, spec = {}): Node => ({ metadata: { name: "n1", annotations: managed }, spec, status });
const attachment = (nodeName: string, attached = true): VolumeAttachment => ({
  metadata: { name: `va-${nodeName}` },
  spec: { attacher: "d", nodeName, source: { persistentVolumeName: "a" } },
  status: { attached },
});
const disk = volume("a", { ...csi, ...ref("c1") });
const LISTED = [{ name: "kubernetes.io/csi/d^h", devicePath: "" }];
const attachView = (own: Partial<AttachView>): AttachView => ({
  nodeName: "n1",
  node: node(),
  pods: [user("p", "n1")],
  volumesOf: () => [disk],
  driver: () => undefined,
  attachments: [],
  elsewhere: () => [],
  usersElsewhere: () => [],
  volume: () => disk,
  isOverdue: () => false,
  ...own,
});
const inUse = { volumesInUse: ["kubernetes.io/csi/d^h"], volumesAttached: LISTED };
const outOfService = { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] };
const attachRows: { name: string; view: Partial<AttachView>; want: object }[] = [
  { name: "a pod came", view: {}, want: { attach: 1 } },
  {
    name: "the driver needs no attaching",
    view: { driver: () => ({ metadata: {}, spec: { attachRequired: false } }) as CSIDriver },
    want: {},
  },
  { name: "the kubelet attaches by itself", view: { node: { metadata: { name: "n1" } } }, want: {} },
  { name: "the pod has ended", view: { pods: [{ ...user("p", "n1"), status: { phase: "Succeeded" } }] }, want: {} },
  { name: "it is being attached", view: { attachments: [attachment("n1", false)] }, want: {} },
  { name: "it is attached", view: { attachments: [attachment("n1")] }, want: { listed: LISTED } },
  { name: "it is attached elsewhere", view: { elsewhere: () => [attachment("n2")] }, want: { blocked: 1 } },
  {
    name: "no pod is left",
    view: { pods: [], node: node({ volumesAttached: LISTED }), attachments: [attachment("n1")] },
    want: { detach: 1, listed: [] },
  },
  {
    name: "no pod is left but it is mounted",
    view: { pods: [], node: node(inUse), attachments: [attachment("n1")] },
    want: { mounted: 1 },
  },
  {
    name: "it is mounted for too long",
    view: { pods: [], node: node(inUse), attachments: [attachment("n1")], isOverdue: () => true },
    want: { detach: 1, listed: [] },
  },
  {
    name: "the node is out of service",
    view: { pods: [], node: node(inUse, outOfService), attachments: [attachment("n1")] },
    want: { detach: 1, listed: [] },
  },
  { name: "the node is gone", view: { node: undefined, attachments: [attachment("n1")] }, want: { detach: 1 } },
];
for (const { name, view, want } of attachRows) {
  test(`planAttachments() plans ${JSON.stringify(want)} when ${name}`, () => {
    const plan = planAttachments(attachView(view));
    const counts = Object.entries({
      attach: plan.attach,
      detach: plan.detach,
      blocked: plan.blocked,
      mounted: plan.mounted,
    });
    const got = Object.fromEntries(
      counts.filter(([, list]) => list.length > 0).map(([key, list]) => [key, list.length]),
    );
    assert.deepEqual({ ...got, ...(plan.volumesAttached === undefined ? {} : { listed: plan.volumesAttached }) }, want);
  });
}
