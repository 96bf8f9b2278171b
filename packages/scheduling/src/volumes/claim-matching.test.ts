import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { bindVolumeToClaim, findBestMatch, findMatchingVolume, type MatchOptions } from "./claim-matching.ts";

function volume(name: string, storage: string, spec: PersistentVolume["spec"] = {}): PersistentVolume {
  return {
    metadata: { name, labels: { disk: name } },
    spec: { capacity: { storage }, accessModes: ["ReadWriteOnce"], storageClassName: "fast", ...spec },
    status: { phase: "Available" },
  };
}
function claim(storage: string, spec: PersistentVolumeClaim["spec"] = {}): PersistentVolumeClaim {
  return {
    metadata: { name: "data", namespace: "default", uid: "u1" },
    spec: {
      resources: { requests: { storage } },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "fast",
      ...spec,
    },
  };
}
const node: Node = { metadata: { name: "n1", labels: { zone: "a" } } };
const inZone = (zone: string) => ({
  required: { nodeSelectorTerms: [{ matchExpressions: [{ key: "zone", operator: "In", values: [zone] }] }] },
});
const boundTo = (name: string, uid = "") => ({ claimRef: { namespace: "default", name, uid } });

const cases: {
  name: string;
  claim?: PersistentVolumeClaim;
  volumes: PersistentVolume[];
  options?: MatchOptions;
  want: string | undefined;
}[] = [
  {
    name: "the smallest that is large enough",
    volumes: [volume("l", "9Gi"), volume("s", "2Gi"), volume("xs", "500Mi")],
    want: "s",
  },
  { name: "nothing large enough", volumes: [volume("xs", "500Mi")], want: undefined },
  { name: "another class", volumes: [volume("a", "2Gi", { storageClassName: "slow" })], want: undefined },
  { name: "another volume mode", volumes: [volume("a", "2Gi", { volumeMode: "Block" })], want: undefined },
  { name: "bound to another claim", volumes: [volume("a", "2Gi", boundTo("other"))], want: undefined },
  {
    name: "bound to an earlier claim of that name",
    volumes: [volume("a", "2Gi", boundTo("data", "u0"))],
    want: undefined,
  },
  {
    name: "bound in advance, though larger",
    volumes: [volume("s", "1Gi"), volume("b", "9Gi", boundTo("data"))],
    want: "b",
  },
  {
    name: "bound in advance, with delayed binding",
    volumes: [volume("b", "9Gi", boundTo("data"))],
    options: { delayBinding: true },
    want: "b",
  },
  { name: "delayed binding", volumes: [volume("s", "1Gi")], options: { delayBinding: true }, want: undefined },
  { name: "not available", volumes: [{ ...volume("s", "1Gi"), status: { phase: "Released" } }], want: undefined },
  {
    name: "excluded",
    volumes: [volume("s", "1Gi"), volume("t", "2Gi")],
    options: { excluded: new Set(["s"]) },
    want: "t",
  },
  {
    name: "a selector",
    claim: claim("1Gi", { selector: { matchLabels: { disk: "t" } } }),
    volumes: [volume("s", "1Gi"), volume("t", "2Gi")],
    want: "t",
  },
  {
    name: "out of the node's reach",
    volumes: [volume("s", "1Gi", { nodeAffinity: inZone("b") })],
    options: { node },
    want: undefined,
  },
  {
    name: "in the node's reach",
    volumes: [volume("s", "1Gi", { nodeAffinity: inZone("a") })],
    options: { node },
    want: "s",
  },
  {
    name: "bound in advance out of the node's reach",
    volumes: [volume("b", "1Gi", { ...boundTo("data"), nodeAffinity: inZone("b") }), volume("s", "1Gi")],
    options: { node },
    want: undefined,
  },
  {
    name: "missing access modes with a node",
    claim: claim("1Gi", { accessModes: ["ReadWriteMany"] }),
    volumes: [volume("s", "1Gi")],
    options: { node },
    want: undefined,
  },
  {
    name: "another attributes class",
    volumes: [volume("s", "1Gi", { volumeAttributesClassName: "gold" })],
    want: undefined,
  },
  {
    name: "on its way out",
    volumes: [{ ...volume("s", "1Gi"), metadata: { name: "s", deletionTimestamp: "2026-01-01T00:00:00Z" } }],
    want: undefined,
  },
];
for (const { name, claim: given = claim("1Gi"), volumes, options, want } of cases) {
  test(`findMatchingVolume() answers ${want ?? "nothing"} when: ${name}`, () => {
    assert.equal(findMatchingVolume(given, volumes, options)?.metadata.name, want);
  });
}

test("findBestMatch() prefers few access modes to a small volume", () => {
  const volumes = [
    volume("many", "1Gi", { accessModes: ["ReadWriteOnce", "ReadWriteMany"] }),
    volume("few", "5Gi"),
    volume("wrong", "1Gi", { accessModes: ["ReadOnlyMany"] }),
  ];
  assert.equal(findBestMatch(claim("1Gi"), volumes)?.metadata.name, "few");
});

test("bindVolumeToClaim() names the claim and marks its own choice", () => {
  const bound = bindVolumeToClaim(volume("a", "1Gi"), claim("1Gi"));
  assert.equal(bound.spec?.claimRef?.uid, "u1");
  assert.equal(bound.metadata.annotations?.["pv.kubernetes.io/bound-by-controller"], "yes");
  const byUser = bindVolumeToClaim(volume("a", "1Gi", boundTo("data")), claim("1Gi"));
  assert.equal(byUser.spec?.claimRef?.uid, "u1");
  assert.equal(byUser.metadata.annotations, undefined);
  assert.equal(bindVolumeToClaim(bound, claim("1Gi")), bound);
});
