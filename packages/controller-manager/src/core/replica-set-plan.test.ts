import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { planClaims } from "./claim-plan.ts";
import { rankForDeletion } from "./deletion-ranking.ts";
import { isPodActive } from "./pod-state.ts";
import { nextAvailabilityMs, planReplicas, replicaSetStatus } from "./replica-set-plan.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const at = (secondsAgo: number) => new Date(NOW - secondsAgo * 1000).toISOString();

interface PodOptions {
  readonly node?: string;
  readonly phase?: string;
  readonly readySecondsAgo?: number;
  readonly createdSecondsAgo?: number;
  readonly cost?: string;
  readonly restarts?: number;
  readonly deleting?: boolean;
}
function pod(name: string, o: PodOptions = {}): Pod {
  const ready = o.readySecondsAgo;
  return {
    metadata: {
      name,
      uid: name,
      creationTimestamp: at(o.createdSecondsAgo ?? 100),
      labels: { app: "x" },
      ...(o.cost === undefined ? {} : { annotations: { "controller.kubernetes.io/pod-deletion-cost": o.cost } }),
      ...(o.deleting === true ? { deletionTimestamp: at(0) } : {}),
    },
    spec: { containers: [], nodeName: o.node ?? "n" },
    status: {
      phase: o.phase ?? "Running",
      conditions: ready === undefined ? [] : [{ type: "Ready", status: "True", lastTransitionTime: at(ready) }],
      containerStatuses: [
        { name: "c", image: "i", imageID: "", ready: ready !== undefined, restartCount: o.restarts ?? 0 },
      ],
    },
  } as Pod;
}
function set(replicas: number, spec: object = {}): ReplicaSet {
  return {
    metadata: { name: "rs", uid: "rs", generation: 2 },
    spec: {
      replicas,
      selector: { matchLabels: { app: "x" } },
      template: { metadata: { labels: { app: "x" } } },
      ...spec,
    },
  };
}

const pairs: { why: string; first: Pod; second: Pod; related?: Pod[] }[] = [
  { why: "it has no node", first: pod("z", { node: "" }), second: pod("a", { readySecondsAgo: 1 }) },
  { why: "it is pending", first: pod("z", { phase: "Pending" }), second: pod("a") },
  { why: "it is not ready", first: pod("z"), second: pod("a", { readySecondsAgo: 1 }) },
  {
    why: "its deletion cost is lower",
    first: pod("z", { readySecondsAgo: 900, cost: "-5" }),
    second: pod("a", { readySecondsAgo: 1 }),
  },
  {
    why: "its node is more crowded",
    first: pod("z", { readySecondsAgo: 900, node: "full" }),
    second: pod("a", { readySecondsAgo: 1 }),
    related: [pod("r1", { node: "full" }), pod("r2", { node: "full" }), pod("r3")],
  },
  {
    why: "it became ready much later",
    first: pod("z", { readySecondsAgo: 10 }),
    second: pod("a", { readySecondsAgo: 1000 }),
  },
  {
    why: "it restarted more often",
    first: pod("z", { readySecondsAgo: 10, restarts: 3 }),
    second: pod("a", { readySecondsAgo: 10 }),
  },
  {
    why: "it was created much later",
    first: pod("z", { createdSecondsAgo: 5 }),
    second: pod("a", { createdSecondsAgo: 500 }),
  },
  {
    why: "both are about as old and its uid comes first",
    first: pod("a", { readySecondsAgo: 1000 }),
    second: pod("z", { readySecondsAgo: 1001 }),
  },
];
for (const { why, first, second, related = [] } of pairs) {
  test(`rankForDeletion() puts a pod first when ${why}`, () => {
    for (const pods of [
      [first, second],
      [second, first],
    ]) {
      assert.equal(rankForDeletion({ pods, related, nowMs: NOW })[0]?.metadata.name, first.metadata.name);
    }
  });
}

test("planReplicas() creates what is missing, counting neither ended nor going pods", () => {
  const pods = [pod("a"), pod("b", { phase: "Failed" }), pod("c", { deleting: true })];
  assert.deepEqual(planReplicas({ replicaSet: set(3), pods, related: [], nowMs: NOW }), { kind: "create", count: 2 });
});

test("planReplicas() makes at most 500 pods in one go", () => {
  assert.deepEqual(planReplicas({ replicaSet: set(2000), pods: [], related: [], nowMs: NOW }), {
    kind: "create",
    count: 500,
  });
});

test("planReplicas() does nothing when the ReplicaSet is being deleted", () => {
  const replicaSet = set(3);
  replicaSet.metadata.deletionTimestamp = at(0);
  assert.deepEqual(planReplicas({ replicaSet, pods: [], related: [], nowMs: NOW }), { kind: "none" });
});

test("planReplicas() brings the number of active pods to the desired one (property)", () => {
  const options = fc.record({
    node: fc.constantFrom("", "n1", "n2"),
    phase: fc.constantFrom("Pending", "Running", "Failed", "Succeeded"),
    deleting: fc.boolean(),
    readySecondsAgo: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: 0 }),
  });
  fc.assert(
    fc.property(fc.array(options, { maxLength: 20 }), fc.integer({ min: 0, max: 20 }), (all, replicas) => {
      const pods = all.map((o, i) => pod(`p${i}`, o));
      const plan = planReplicas({ replicaSet: set(replicas), pods, related: pods, nowMs: NOW });
      const active = pods.filter(isPodActive).length;
      const change = plan.kind === "create" ? plan.count : plan.kind === "delete" ? -plan.pods.length : 0;
      assert.equal(active + change, replicas);
      if (plan.kind === "delete") assert.ok(plan.pods.every(isPodActive));
    }),
  );
});

test("replicaSetStatus() counts ready, available, labelled and terminating pods", () => {
  const replicaSet = set(4, { minReadySeconds: 60 });
  const pods = [
    pod("a", { readySecondsAgo: 90 }),
    pod("b", { readySecondsAgo: 20 }),
    pod("c"),
    pod("d", { deleting: true }),
  ];
  const view = { replicaSet, pods, related: [], nowMs: NOW };
  assert.deepEqual(replicaSetStatus(view, undefined), {
    replicas: 3,
    fullyLabeledReplicas: 3,
    readyReplicas: 2,
    availableReplicas: 1,
    terminatingReplicas: 1,
    observedGeneration: 2,
  });
  assert.equal(nextAvailabilityMs(view), 40_000);
});

test("replicaSetStatus() bears a failure as a condition and drops it afterwards", () => {
  const replicaSet = set(1);
  const view = { replicaSet, pods: [], related: [], nowMs: NOW };
  const status = replicaSetStatus(view, { reason: "FailedCreate", message: "quota" });
  assert.equal(status.conditions?.[0]?.reason, "FailedCreate");
  const healed = replicaSetStatus({ ...view, replicaSet: { ...replicaSet, status } }, undefined);
  assert.equal(healed.conditions, undefined);
});

test("replicaSetStatus() keeps the first failure's condition while attempts fail with ever new names", () => {
  const replicaSet = set(1);
  const view = { replicaSet, pods: [], related: [], nowMs: NOW };
  const status = replicaSetStatus(view, { reason: "FailedCreate", message: 'pods "x-abcde" is forbidden' });
  const later = { ...view, replicaSet: { ...replicaSet, status }, nowMs: NOW + 60_000 };
  assert.deepEqual(replicaSetStatus(later, { reason: "FailedCreate", message: 'pods "x-vwxyz" is forbidden' }), status);
});

test("planClaims() adopts matching orphans and releases what no longer matches", () => {
  const mine = pod("mine");
  const foreign = { ...pod("foreign"), metadata: { ...pod("foreign").metadata, labels: { app: "y" } } };
  const going = pod("going", { deleting: true });
  const owner = { ...set(1), apiVersion: "apps/v1", kind: "ReplicaSet" };
  const plan = planClaims({
    owner,
    selector: owner.spec?.selector,
    owned: [mine, foreign],
    orphans: [pod("o"), foreign, going],
  });
  const names = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.name);
  assert.deepEqual([names(plan.owned), names(plan.adopt), names(plan.release)], [["mine"], ["o"], ["foreign"]]);
});
