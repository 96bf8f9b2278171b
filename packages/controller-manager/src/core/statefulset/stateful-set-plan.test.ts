import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  ControllerRevision,
  StatefulSet,
  StatefulSetSpec,
  StatefulSetStatus,
} from "@knarr/api/generated/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { revisionDataOf } from "../revision-plan.ts";
import { claimOwned, ordinalIn, podRevision, statefulPod } from "./stateful-pod.ts";
import { planStatefulSet, type StatefulSetView, type StatefulStep } from "./stateful-set-plan.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const at = (secondsAgo: number) => new Date(NOW - secondsAgo * 1000).toISOString();
const revision = (name: string): ControllerRevision => ({
  metadata: { name },
  data: revisionDataOf({
    metadata: { labels: { app: "web" } },
    spec: { containers: [{ name: "c", image: name }] },
  }) as never,
  revision: 1,
});
const [v1, v2] = [revision("v1"), revision("v2")];

function set(spec: Partial<StatefulSetSpec> = {}, status?: StatefulSetStatus): StatefulSet {
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { namespace: "ns", name: "web", uid: "set", generation: 3 },
    spec: {
      replicas: 3,
      serviceName: "svc",
      selector: { matchLabels: { app: "web" } },
      template: {},
      podManagementPolicy: "OrderedReady",
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}
type State = "ready" | "pending" | "running" | "failed" | "succeeded" | "going";
function pod(
  of: StatefulSet,
  ordinal: number,
  state: State = "ready",
  rev: ControllerRevision = v1,
  readyAgo = 60,
): Pod {
  const made = statefulPod(of, rev, ordinal);
  const phases = {
    pending: "Pending",
    failed: "Failed",
    succeeded: "Succeeded",
    ready: "Running",
    running: "Running",
    going: "Running",
  };
  const ready = state === "ready" || state === "going";
  return {
    ...made,
    metadata: {
      ...made.metadata,
      uid: `${made.metadata.name}/${rev.metadata.name}`,
      ...(state === "going" ? { deletionTimestamp: at(1) } : {}),
    },
    status: {
      phase: phases[state],
      conditions: ready ? [{ type: "Ready", status: "True", lastTransitionTime: at(readyAgo) }] : [],
    },
  };
}
const plan = (of: StatefulSet, pods: readonly Pod[], more: Partial<StatefulSetView> = {}) =>
  planStatefulSet({
    set: of,
    pods,
    claim: () => undefined,
    current: v1,
    update: v1,
    collisionCount: 0,
    nowMs: NOW,
    ...more,
  });
const nameOf = (step: StatefulStep) =>
  "pod" in step && step.kind !== "createClaim"
    ? step.pod.metadata.name
    : "claim" in step
      ? step.claim.metadata.name
      : "";
const told = ({ groups }: ReturnType<typeof plan>) => groups.flat().map((step) => `${step.kind} ${nameOf(step)}`);

const parallel = { podManagementPolicy: "Parallel" };
const rows: {
  when: string;
  set?: StatefulSet;
  pods: (of: StatefulSet) => Pod[];
  update?: ControllerRevision;
  want: string[];
}[] = [
  { when: "there is none", pods: () => [], want: ["createPod web-0"] },
  {
    when: "there is none, with Parallel",
    set: set(parallel),
    pods: () => [],
    want: ["createPod web-0", "createPod web-1", "createPod web-2"],
  },
  { when: "the first isn't ready", pods: (s) => [pod(s, 0, "running")], want: [] },
  { when: "the first is ready", pods: (s) => [pod(s, 0)], want: ["createPod web-1"] },
  {
    when: "the first is not ready for long enough",
    set: set({ minReadySeconds: 61 }),
    pods: (s) => [pod(s, 0)],
    want: [],
  },
  { when: "a lower one is missing", pods: (s) => [pod(s, 0), pod(s, 2)], want: ["createPod web-1"] },
  { when: "one failed", pods: (s) => [pod(s, 0, "failed"), pod(s, 1)], want: ["deletePod web-0"] },
  { when: "one succeeded", pods: (s) => [pod(s, 0, "succeeded")], want: ["deletePod web-0"] },
  { when: "one goes", pods: (s) => [pod(s, 0, "going"), pod(s, 1)], want: [] },
  {
    when: "it starts at 5",
    set: set({ ordinals: { start: 5 }, replicas: 2 }),
    pods: (s) => [pod(s, 5), pod(s, 0)],
    want: ["createPod web-6"],
  },
  {
    when: "too many are there",
    set: set({ replicas: 1 }),
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2)],
    want: ["deletePod web-2"],
  },
  {
    when: "too many are there, with Parallel",
    set: set({ replicas: 1, ...parallel }),
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2)],
    want: ["deletePod web-2", "deletePod web-1"],
  },
  {
    when: "too many are there, but one that stays isn't ready",
    set: set({ replicas: 1 }),
    pods: (s) => [pod(s, 0, "running"), pod(s, 1)],
    want: [],
  },
  {
    when: "a surplus one is broken",
    set: set({ replicas: 0 }),
    pods: (s) => [pod(s, 0), pod(s, 1, "running")],
    want: ["deletePod web-1"],
  },
  {
    when: "a surplus one goes already",
    set: set({ replicas: 0 }),
    pods: (s) => [pod(s, 0), pod(s, 1, "going")],
    want: [],
  },
  {
    when: "the template changed",
    update: v2,
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2)],
    want: ["deletePod web-2"],
  },
  {
    when: "the updated one isn't ready",
    update: v2,
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2, "running", v2)],
    want: [],
  },
  {
    when: "the updated one is ready",
    update: v2,
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2, "ready", v2)],
    want: ["deletePod web-1"],
  },
  {
    when: "the partition holds the rest back",
    set: set({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } } }),
    update: v2,
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2, "ready", v2)],
    want: [],
  },
  {
    when: "two may be unavailable",
    set: set({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "70%" } } }),
    update: v2,
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2)],
    want: ["deletePod web-2", "deletePod web-1"],
  },
  {
    when: "with Parallel an old one is broken",
    set: set(parallel),
    update: v2,
    pods: (s) => [pod(s, 0, "running"), pod(s, 1), pod(s, 2)],
    want: ["deletePod web-0"],
  },
  {
    when: "the strategy is OnDelete",
    set: set({ updateStrategy: { type: "OnDelete" } }),
    update: v2,
    pods: (s) => [pod(s, 0), pod(s, 1), pod(s, 2)],
    want: [],
  },
  {
    when: "a label of its identity is gone",
    pods: (s) => [{ ...pod(s, 0), metadata: { ...pod(s, 0).metadata, labels: { app: "web" } } }],
    want: ["updatePod web-0", "createPod web-1"],
  },
];
for (const { when, set: of = set(), pods, update = v1, want } of rows) {
  test(`planStatefulSet() says ${want.join(", ") || "nothing"} when ${when}`, () => {
    assert.deepEqual(told(plan(of, pods(of), { update })), want);
  });
}

test("planStatefulSet() makes pods below the partition at the old revision", () => {
  const of = set({ ...parallel, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } } });
  const made = plan(of, [], { update: v2 }).groups.flat();
  assert.deepEqual(
    made.map((step) => (step.kind === "createPod" ? podRevision(step.pod) : "")),
    ["v1", "v1", "v2"],
  );
});

test("planStatefulSet() makes claims before their pod, once, and not from one that is going", () => {
  const of = set({
    volumeClaimTemplates: [{ metadata: { name: "www", labels: { a: "b" } }, spec: { accessModes: ["ReadWriteOnce"] } }],
  });
  const [group] = plan(of, []).groups;
  assert.deepEqual(told({ ...plan(of, []), groups: group === undefined ? [] : [group] }), [
    "createClaim www-web-0",
    "createPod web-0",
  ]);
  const [claim, made] = group ?? [];
  assert.deepEqual(claim?.kind === "createClaim" && claim.claim.metadata.labels, { a: "b", app: "web" });
  assert.deepEqual(made?.kind === "createPod" && made.pod.spec?.volumes, [
    { name: "www", persistentVolumeClaim: { claimName: "www-web-0", readOnly: false } },
  ]);
  const existing: PersistentVolumeClaim = { metadata: { name: "www-web-0" } };
  assert.deepEqual(told(plan(of, [], { claim: () => existing })), ["createPod web-0"]);
  const ownerReferences = [{ apiVersion: "v1", kind: "Pod", name: "web-0", uid: "old", controller: true }];
  assert.deepEqual(told(plan(of, [], { claim: () => ({ metadata: { name: "www-web-0", ownerReferences } }) })), []);
});

test("claimOwned() gives a claim the owner that its retention policy wants", () => {
  const policy = (whenDeleted: string, whenScaled: string) =>
    set({ persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled } });
  const owners = (of: StatefulSet, ordinal: number, claim: PersistentVolumeClaim = { metadata: { name: "c" } }) =>
    claimOwned(of, pod(of, ordinal), claim)?.metadata.ownerReferences?.map(
      ({ kind, controller }) => `${kind} ${controller}`,
    );
  assert.equal(owners(policy("Retain", "Retain"), 0), undefined);
  assert.deepEqual(owners(policy("Delete", "Retain"), 0), ["StatefulSet true"]);
  assert.deepEqual(owners(policy("Delete", "Retain"), 9), ["StatefulSet true"]);
  assert.equal(owners(policy("Retain", "Delete"), 0), undefined);
  assert.deepEqual(owners(policy("Retain", "Delete"), 9), ["Pod true"]);
  assert.deepEqual(owners(policy("Delete", "Delete"), 9), ["Pod true"]);
  const foreign = { apiVersion: "x/v1", kind: "Db", name: "d", uid: "d", controller: true };
  assert.equal(
    owners(policy("Delete", "Delete"), 0, { metadata: { name: "c", ownerReferences: [foreign] } }),
    undefined,
  );
  const ours = { apiVersion: "apps/v1", kind: "StatefulSet", name: "web", uid: "set", controller: true };
  assert.deepEqual(owners(policy("Retain", "Retain"), 0, { metadata: { name: "c", ownerReferences: [ours] } }), []);
});

test("planStatefulSet() counts, and moves the current revision when the update is complete", () => {
  const of = set({ minReadySeconds: 30 });
  const pods = [pod(of, 0), pod(of, 1, "ready", v2, 10), pod(of, 2, "ready", v2)];
  const got = plan(of, pods, { update: v2 });
  assert.deepEqual(got.status, {
    observedGeneration: 3,
    replicas: 3,
    readyReplicas: 3,
    currentReplicas: 1,
    updatedReplicas: 2,
    availableReplicas: 2,
    currentRevision: "v1",
    updateRevision: "v2",
    collisionCount: 0,
  });
  assert.equal(got.requeueAfterMs, 20_000);
  const done = plan(of, [pod(of, 0, "ready", v2), ...pods.slice(1)], { update: v2 }).status;
  assert.deepEqual([done.currentRevision, done.currentReplicas], ["v2", 3]);
});

test("a StatefulSet never has two pods of one ordinal, keeps its order, and gets where it should (property)", () => {
  const changes = fc.array(
    fc.record({
      replicas: fc.integer({ min: 0, max: 5 }),
      update: fc.boolean(),
      parallel: fc.boolean(),
      max: fc.integer({ min: 1, max: 3 }),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const noise = fc.infiniteStream(fc.nat(9));
  fc.assert(
    fc.property(changes, noise, (wanted, random) => {
      let pods: Pod[] = [];
      let target = v1;
      let current = v1;
      for (const change of wanted) {
        if (change.update) target = target === v1 ? v2 : v1;
        const of = set({
          replicas: change.replicas,
          podManagementPolicy: change.parallel ? "Parallel" : "OrderedReady",
          updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: change.max, partition: 0 } },
        });
        for (let i = 0; i < 200; i++) {
          const got = plan(of, pods, { update: target, current });
          if (got.status.currentRevision === target.metadata.name) current = target;
          pods = carryOut(of, pods, { steps: got.groups.flat(), parallel: change.parallel, max: change.max });
          pods = live(of, pods, i < 120 ? (random.next().value as number) : 0);
        }
        const ordinals = pods.map((p) => ordinalIn(of, p)).sort();
        assert.deepEqual(
          ordinals,
          Array.from({ length: change.replicas }, (_, n) => n),
        );
        assert.ok(pods.every((p) => podRevision(p) === target.metadata.name));
      }
    }),
    { numRuns: 60 },
  );
});

function carryOut(
  of: StatefulSet,
  pods: Pod[],
  o: { steps: readonly StatefulStep[]; parallel: boolean; max: number },
): Pod[] {
  const up = (p: Pod) => p.metadata.deletionTimestamp === undefined && p.status?.conditions?.[0]?.status === "True";
  let next = [...pods];
  const updates = o.steps.filter((step) => step.kind === "deletePod" && step.because === "update");
  if (updates.length > 0) {
    const left = pods.filter((p) => up(p) && !updates.some((step) => "pod" in step && step.pod === p)).length;
    const before = pods.filter(up).length;
    assert.ok(left >= Math.min(before, (of.spec?.replicas ?? 0) - o.max), "too many unavailable");
  }
  for (const step of o.steps) {
    if (step.kind === "createPod") {
      assert.ok(!next.some((p) => p.metadata.name === step.pod.metadata.name), "an ordinal twice");
      const ordinal = ordinalIn(of, step.pod) ?? 0;
      if (!o.parallel)
        for (let lower = 0; lower < ordinal; lower++) assert.ok(pods.some((p) => ordinalIn(of, p) === lower && up(p)));
      next.push({ ...step.pod, status: { phase: "Pending" } });
    } else if (step.kind === "deletePod") {
      next = next.map((p) => (p === step.pod ? { ...p, metadata: { ...p.metadata, deletionTimestamp: at(0) } } : p));
    }
  }
  return next;
}

/** A kubelet's doing: what goes is gone, what is new gets ready, now and then one fails. */
function live(of: StatefulSet, pods: readonly Pod[], dice: number): Pod[] {
  const left = dice < 7 ? pods.filter((p) => p.metadata.deletionTimestamp === undefined) : [...pods];
  return left.map((p, i) => {
    if (p.metadata.deletionTimestamp !== undefined) return p;
    if (dice === 9 && i === 0) return { ...p, status: { phase: "Failed" } };
    if (p.status?.phase !== "Pending" || dice === 8) return p;
    return { ...p, status: pod(of, 0).status as NonNullable<Pod["status"]> };
  });
}
