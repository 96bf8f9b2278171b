import assert from "node:assert/strict";
import test from "node:test";
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { type ClaimView, planClaim } from "./plan-claim.ts";

const storageClass: StorageClass = {
  metadata: { name: "local-path" },
  provisioner: "knarr.dev/local-path",
  volumeBindingMode: "WaitForFirstConsumer",
};
const immediate: StorageClass = { ...storageClass, volumeBindingMode: "Immediate" };
const node = (labels: Record<string, string> = {}, ready = "True", unschedulable = false): Node => ({
  metadata: { name: "a", labels },
  spec: { unschedulable },
  status: { conditions: [{ type: "Ready", status: ready }] },
});
const claim = (
  annotations: Record<string, string>,
  spec: PersistentVolumeClaim["spec"] = {},
  status: PersistentVolumeClaim["status"] = { phase: "Pending" },
): PersistentVolumeClaim => ({
  metadata: { name: "c", namespace: "d", uid: "u", annotations },
  spec: {
    accessModes: ["ReadWriteOnce"],
    storageClassName: "local-path",
    resources: { requests: { storage: "1Gi" } },
    ...spec,
  },
  status,
});
const asked = { "volume.kubernetes.io/storage-provisioner": "knarr.dev/local-path" };
const onNode = (name: string) => ({ ...asked, "volume.kubernetes.io/selected-node": name });
const volume = (node: string, storage: string): PersistentVolume => ({
  metadata: {
    name: "pvc-u",
    annotations: { "pv.kubernetes.io/provisioned-by": "knarr.dev/local-path", "local-path.knarr.dev/node": node },
  },
  spec: { capacity: { storage }, claimRef: { uid: "u" } },
});
const bound = (storage: string) => ({ phase: "Bound", capacity: { storage } });

const view = (more: Partial<ClaimView>): ClaimView => ({
  claim: claim(asked),
  provisioner: "knarr.dev/local-path",
  nodeName: "a",
  node: node(),
  storageClass,
  volume: undefined,
  ...more,
});

const rows: { name: string; view: Partial<ClaimView>; want: object }[] = [
  { name: "waits when no node is chosen", view: {}, want: { kind: "none" } },
  { name: "provisions when this node is chosen", view: { claim: claim(onNode("a")) }, want: { kind: "provision" } },
  { name: "leaves other nodes' claims", view: { claim: claim(onNode("b")) }, want: { kind: "none" } },
  {
    name: "leaves other provisioners' claims",
    view: { claim: claim({ "volume.kubernetes.io/selected-node": "a" }) },
    want: { kind: "none" },
  },
  { name: "waits for its class", view: { claim: claim(onNode("a")), storageClass: undefined }, want: { kind: "none" } },
  { name: "offers when the class does not wait", view: { storageClass: immediate }, want: { kind: "offer" } },
  {
    name: "offers nothing when not ready",
    view: { storageClass: immediate, node: node({}, "False") },
    want: { kind: "none" },
  },
  {
    name: "offers nothing when cordoned",
    view: { storageClass: immediate, node: node({}, "True", true) },
    want: { kind: "none" },
  },
  {
    name: "offers nothing outside of the class's topology",
    view: {
      storageClass: { ...immediate, allowedTopologies: [{ matchLabelExpressions: [{ key: "zone", values: ["z"] }] }] },
    },
    want: { kind: "none" },
  },
  {
    name: "offers inside of the class's topology",
    view: {
      node: node({ zone: "z" }),
      storageClass: { ...immediate, allowedTopologies: [{ matchLabelExpressions: [{ key: "zone", values: ["z"] }] }] },
    },
    want: { kind: "offer" },
  },
  {
    name: "refuses shared access",
    view: { claim: claim(onNode("a"), { accessModes: ["ReadWriteMany"] }) },
    want: { kind: "refuse" },
  },
  { name: "refuses devices", view: { claim: claim(onNode("a"), { volumeMode: "Block" }) }, want: { kind: "refuse" } },
  { name: "refuses selectors", view: { claim: claim(onNode("a"), { selector: {} }) }, want: { kind: "refuse" } },
  {
    name: "refuses clones",
    view: { claim: claim(onNode("a"), { dataSource: { kind: "X", name: "x" } }) },
    want: { kind: "refuse" },
  },
  {
    name: "refuses parameters that it does not know",
    view: { claim: claim(onNode("a")), storageClass: { ...storageClass, parameters: { size: "1" } } },
    want: { kind: "refuse" },
  },
  {
    name: "grows what asks for more",
    view: { claim: claim(asked, { volumeName: "pvc-u" }, bound("512Mi")), volume: volume("a", "512Mi") },
    want: { kind: "expand", size: "1Gi" },
  },
  {
    name: "finishes what a crash left half grown",
    view: { claim: claim(asked, { volumeName: "pvc-u" }, bound("512Mi")), volume: volume("a", "1Gi") },
    want: { kind: "expand", size: "1Gi" },
  },
  {
    name: "is content with equal sizes in other words",
    view: { claim: claim(asked, { volumeName: "pvc-u" }, bound("1024Mi")), volume: volume("a", "1024Mi") },
    want: { kind: "none" },
  },
  {
    name: "leaves other nodes' volumes",
    view: { claim: claim(asked, { volumeName: "pvc-u" }, bound("512Mi")), volume: volume("b", "512Mi") },
    want: { kind: "none" },
  },
];

for (const row of rows) {
  test(`planClaim() ${row.name}`, () => {
    const plan = planClaim(view(row.view));
    assert.deepEqual({ ...plan, ...row.want }, plan);
  });
}
