import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CollectionPlan,
  type Owner,
  type OwnerState,
  planCollection,
  stateOfOwner,
} from "./garbage-collection.ts";

const reference = (uid: string, blockOwnerDeletion?: boolean) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  name: uid,
  uid,
  ...(blockOwnerDeletion === undefined ? {} : { blockOwnerDeletion }),
});
const owner = (state: OwnerState, uid: string = state, block?: boolean): Owner => ({
  state,
  reference: reference(uid, block),
});

interface Row {
  name: string;
  owners: Owner[];
  finalizers?: string[];
  hasDependents?: boolean;
  mayBeInCycle?: boolean;
  want: CollectionPlan;
}

const rows: Row[] = [
  { name: "it has no owners", owners: [], want: { kind: "keep" } },
  { name: "its owner lives", owners: [owner("solid")], want: { kind: "keep" } },
  {
    name: "its owner is absent",
    owners: [owner("absent")],
    hasDependents: true,
    want: { kind: "delete", propagationPolicy: "Background" },
  },
  {
    name: "its owner is absent and it asks to orphan its own",
    owners: [owner("absent")],
    finalizers: ["example.com/mine", "orphan"],
    want: { kind: "delete", propagationPolicy: "Orphan" },
  },
  {
    name: "its owner is absent and it asks for the foreground",
    owners: [owner("absent")],
    finalizers: ["foregroundDeletion"],
    want: { kind: "delete", propagationPolicy: "Foreground" },
  },
  {
    name: "one owner lives and one is absent",
    owners: [owner("absent"), owner("solid")],
    want: { kind: "release", ownerReferences: [reference("solid")] },
  },
  {
    name: "one owner lives and one waits",
    owners: [owner("solid"), owner("waiting", "w", true)],
    hasDependents: true,
    want: { kind: "release", ownerReferences: [reference("solid")] },
  },
  {
    name: "one owner is absent and one is beyond judgement",
    owners: [owner("absent"), owner("unknown")],
    want: { kind: "keep" },
  },
  {
    name: "its owner waits and it has nothing of its own",
    owners: [owner("waiting", "w", true)],
    want: { kind: "delete", propagationPolicy: "Background" },
  },
  {
    name: "its owner waits and it has dependents",
    owners: [owner("waiting", "w", true), owner("absent")],
    hasDependents: true,
    want: { kind: "delete", propagationPolicy: "Foreground" },
  },
  {
    name: "it and its owner may wait for each other",
    owners: [owner("waiting", "w", true)],
    hasDependents: true,
    mayBeInCycle: true,
    want: { kind: "delete", propagationPolicy: "Foreground", unblock: [reference("w", false)] },
  },
  {
    name: "it was unblocked before",
    owners: [owner("waiting", "w", false)],
    hasDependents: true,
    mayBeInCycle: true,
    want: { kind: "delete", propagationPolicy: "Foreground" },
  },
];

for (const { name, owners, finalizers = [], hasDependents = false, mayBeInCycle = false, want } of rows) {
  const verb = want.kind === "delete" ? `deletes in the ${want.propagationPolicy} way` : `says ${want.kind}`;
  test(`planCollection() ${verb} when ${name}`, () => {
    const live = { metadata: { uid: "me", finalizers } };
    assert.deepEqual(planCollection({ live, owners, hasDependents, mayBeInCycle }), want);
  });
}

test("planCollection() never deletes what an owner holds, or what nobody can judge (property)", () => {
  const states = fc.array(fc.constantFrom<OwnerState>("solid", "waiting", "absent", "unknown"), { maxLength: 5 });
  fc.assert(
    fc.property(states, fc.boolean(), fc.boolean(), (given, hasDependents, mayBeInCycle) => {
      const owners = given.map((state, i) => owner(state, `${state}-${i}`, i % 2 === 0));
      const plan = planCollection({ live: { metadata: {} }, owners, hasDependents, mayBeInCycle });
      const held = given.length === 0 || given.includes("solid") || given.includes("unknown");
      assert.equal(plan.kind === "delete", !held);
      if (plan.kind !== "release") return;
      // What is released keeps exactly the owners that live.
      assert.deepEqual(
        plan.ownerReferences.map(({ uid }) => uid),
        owners.filter(({ state }) => state === "solid").map((one) => one.reference.uid),
      );
      assert.ok(plan.ownerReferences.length > 0 && plan.ownerReferences.length < owners.length);
    }),
  );
});

const going = { deletionTimestamp: "2026-01-01T00:00:00Z" };
const owners: { name: string; metadata: object; want: "solid" | "waiting" }[] = [
  { name: "it lives", metadata: {}, want: "solid" },
  { name: "it lives with the finalizer", metadata: { finalizers: ["foregroundDeletion"] }, want: "solid" },
  { name: "it goes in the background", metadata: going, want: "solid" },
  { name: "it goes and orphans", metadata: { ...going, finalizers: ["orphan"] }, want: "solid" },
  { name: "it goes in the foreground", metadata: { ...going, finalizers: ["foregroundDeletion"] }, want: "waiting" },
];
for (const { name, metadata, want } of owners) {
  test(`stateOfOwner() is ${want} when ${name}`, () => {
    assert.equal(stateOfOwner({ metadata }), want);
  });
}
