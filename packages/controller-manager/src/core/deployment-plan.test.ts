import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import fc from "fast-check";
import {
  desiredReplicas,
  MAX_REPLICAS_ANNOTATION,
  maxSurge,
  maxUnavailable,
  scaleProportionally,
} from "./deployment-math.ts";
import { type DeploymentPlan, planDeployment } from "./deployment-plan.ts";
import { newReplicaSet } from "./replica-set-of-deployment.ts";

const NOW = Date.UTC(2026, 0, 1);

function deployment(spec: Partial<NonNullable<Deployment["spec"]>> = {}, image = "v1"): Deployment {
  const labels = { app: "web" };
  return {
    metadata: { name: "web", namespace: "default", uid: "d", generation: 1 },
    spec: {
      replicas: 10,
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: 10,
      selector: { matchLabels: labels },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image }] } },
      ...spec,
    },
  };
}

let serial = 0;
function replicaSet(
  of: Deployment,
  replicas: number,
  more: { available?: number; revision?: string } = {},
): ReplicaSet {
  const { available = replicas, revision = "1" } = more;
  const rs = newReplicaSet(of, replicas, revision);
  const created = `2025-01-01T00:${String(serial++ % 60).padStart(2, "0")}:00Z`;
  rs.metadata = { ...rs.metadata, uid: `rs-${serial}`, generation: 1, creationTimestamp: created };
  rs.status = {
    replicas,
    readyReplicas: available,
    availableReplicas: available,
    terminatingReplicas: 0,
    observedGeneration: 1,
  };
  return rs;
}

function plan(d: Deployment, replicaSets: ReplicaSet[], nowMs = NOW): DeploymentPlan {
  return planDeployment({ deployment: d, replicaSets, podsOf: () => [], nowMs });
}
const sizes = ({ steps }: DeploymentPlan) =>
  steps.map(
    (s) => `${s.kind} ${s.replicaSet.spec?.template?.spec?.containers[0]?.image} ${s.replicaSet.spec?.replicas}`,
  );

const rows: { name: string; deployment: Deployment; sets: ReplicaSet[]; want: string[] }[] = [
  { name: "there is no ReplicaSet", deployment: deployment(), sets: [], want: ["create v1 10"] },
  {
    name: "the template is new: as many as the surge allows",
    deployment: deployment({}, "v2"),
    sets: [replicaSet(deployment(), 10)],
    want: ["create v2 3"],
  },
  {
    name: "new pods are up: old ones go as far as availability allows",
    deployment: deployment({}, "v2"),
    sets: [replicaSet(deployment(), 10), replicaSet(deployment({}, "v2"), 3, { revision: "2" })],
    // 13 available, 8 needed.
    want: ["update v1 5"],
  },
  {
    name: "old pods are unhealthy: they go first",
    deployment: deployment({}, "v2"),
    sets: [
      replicaSet(deployment(), 10, { available: 6 }),
      replicaSet(deployment({}, "v2"), 3, { revision: "2", available: 0 }),
    ],
    want: ["update v1 8"],
  },
  {
    name: "nothing may surge nor be missing: one may be missing after all",
    deployment: deployment(
      { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } },
      "v2",
    ),
    sets: [
      replicaSet(deployment(), 10),
      replicaSet(
        deployment({ strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } }, "v2"),
        0,
        { revision: "2" },
      ),
    ],
    want: ["update v1 9"],
  },
  {
    name: "it is Recreate and old pods run",
    deployment: deployment({ strategy: { type: "Recreate" } }, "v2"),
    sets: [replicaSet(deployment({ strategy: { type: "Recreate" } }), 10)],
    want: ["update v1 0"],
  },
  {
    name: "it is paused and unscaled",
    deployment: deployment({ paused: true }, "v2"),
    sets: [replicaSet(deployment(), 10)],
    want: [],
  },
  {
    name: "it is scaled up with a single ReplicaSet",
    deployment: deployment({ replicas: 20 }),
    sets: [replicaSet(deployment(), 10)],
    want: ["update v1 20"],
  },
];
for (const { name, deployment: d, sets, want } of rows) {
  test(`planDeployment() plans ${want.join(", ") || "nothing"} when ${name}`, () => {
    assert.deepEqual(sizes(plan(d, sets)), want);
  });
}

test("planDeployment() waits for Recreate's old pods when they are still being deleted", () => {
  const d = deployment({ strategy: { type: "Recreate" } }, "v2");
  const old = replicaSet(deployment({ strategy: { type: "Recreate" } }), 0);
  const pod = { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" }, status: { phase: "Running" } };
  const view = { deployment: d, replicaSets: [old], nowMs: NOW };
  assert.deepEqual(sizes(planDeployment({ ...view, podsOf: () => [pod] })), []);
  assert.deepEqual(sizes(planDeployment({ ...view, podsOf: () => [] })), ["create v2 10"]);
});

test("planDeployment() shares a change of scale in proportion when a rollout is under way", () => {
  const d = deployment({ replicas: 15 }, "v2");
  const before = deployment({}, "v2");
  // 10 + 25% = 13 pods: 8 old, 5 new; then 15 + 25% = 19.
  const sets = [replicaSet(deployment(), 8), replicaSet(before, 5, { revision: "2", available: 0 })];
  assert.deepEqual(sizes(plan(d, sets)), ["update v1 12", "update v2 7"]);
});

test("planDeployment() gives a ReplicaSet that comes back a new revision, and remembers the old one", () => {
  const d = deployment();
  const sets = [replicaSet(d, 0), replicaSet(deployment({}, "v2"), 10, { revision: "2" })];
  const { steps, revision } = plan(d, sets);
  const back = steps.find(({ replicaSet: rs }) => rs.metadata.name === sets[0]?.metadata.name)?.replicaSet;
  assert.equal(revision, "3");
  assert.equal(back?.metadata.annotations?.["deployment.kubernetes.io/revision"], "3");
  assert.equal(back?.metadata.annotations?.["deployment.kubernetes.io/revision-history"], "1");
});

test("planDeployment() counts revisions beyond 2^53", () => {
  const d = deployment({}, "v2");
  const old = replicaSet(deployment(), 10, { revision: "9007199254740993" });
  assert.equal(plan(d, [old]).revision, "9007199254740994");
});

test("planDeployment() removes the oldest ReplicaSets beyond the history limit when complete", () => {
  const d = { ...deployment({ revisionHistoryLimit: 1 }, "v3"), status: { observedGeneration: 1 } };
  const sets = [
    replicaSet(deployment({}, "v1"), 0, { revision: "1" }),
    replicaSet(deployment({}, "v2"), 0, { revision: "2" }),
    replicaSet(d, 10, { revision: "3" }),
  ];
  d.metadata.annotations = { "deployment.kubernetes.io/revision": "3" };
  assert.deepEqual(sizes(plan(d, sets)), ["delete v1 0"]);
});

test("planDeployment() tells of progress, of its end, and of its deadline", () => {
  const d = deployment({ replicas: 2 });
  const reason = (p: DeploymentPlan) => p.status.conditions?.find(({ type }) => type === "Progressing")?.reason;
  const created = plan(d, []);
  assert.equal(reason(created), "NewReplicaSetCreated");
  const rs = replicaSet(d, 2, { available: 0 });
  const waiting: Deployment = { ...d, status: created.status };
  const step = plan(waiting, [rs], NOW + 1000);
  assert.equal(reason(step), "ReplicaSetUpdated");
  assert.ok((step.requeueAfterMs ?? 0) > 590_000);
  const stuck: Deployment = { ...d, status: step.status };
  assert.equal(reason(plan(stuck, [rs], NOW + 602_000)), "ProgressDeadlineExceeded");
  const ready = replicaSet(d, 2);
  const end = plan(stuck, [ready], NOW + 602_000);
  assert.equal(reason(end), "NewReplicaSetAvailable");
  assert.equal(end.requeueAfterMs, undefined);
});

test("scaleProportionally() hands out exactly the difference (property)", () => {
  const arbitrary = fc.record({
    sizes: fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 }),
    desired: fc.integer({ min: 0, max: 200 }),
    before: fc.integer({ min: 1, max: 250 }),
  });
  fc.assert(
    fc.property(arbitrary, ({ sizes: given, desired, before }) => {
      const d = deployment({ replicas: desired });
      const old = given.reduce((a, b) => a + b, 0);
      // The annotation is what all ReplicaSets together might have had, so it is never less than what they have.
      const most = String(Math.max(before, old));
      const sets = given.map((replicas) => {
        const rs = replicaSet(d, replicas);
        rs.metadata.annotations = { ...rs.metadata.annotations, [MAX_REPLICAS_ANNOTATION]: most };
        return { replicaSet: rs, replicas };
      });
      scaleProportionally(d, sets);
      const total = sets.reduce((n, set) => n + set.replicas, 0);
      const allowed = desired > 0 ? desired + maxSurge(d) : 0;
      assert.ok(sets.every(({ replicas }) => replicas >= 0));
      if (allowed >= old) assert.equal(total, allowed);
      else assert.ok(total >= allowed && total <= old, `${total} not in [${allowed}, ${old}]`);
    }),
    { verbose: 1 },
  );
});

/** A ReplicaSet's life in the simulation: pods become available at random; ReplicaSets delete unavailable ones first. */
interface SimulatedSet {
  object: ReplicaSet;
  pods: number;
  available: number;
}

test("planDeployment() keeps the limits of a rolling update and gets there, whatever the pods do (property)", () => {
  const percentOrNumber = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom("0%", "10%", "25%", "50%", "100%"));
  const arbitrary = fc.record({
    replicas: fc.integer({ min: 1, max: 12 }),
    surge: percentOrNumber,
    unavailable: percentOrNumber,
    luck: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 20, maxLength: 20 }),
    images: fc.array(fc.constantFrom("v1", "v2", "v3"), { minLength: 1, maxLength: 3 }),
  });
  fc.assert(
    fc.property(arbitrary, ({ replicas, surge, unavailable, luck, images }) => {
      const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable } };
      let d = deployment({ replicas, strategy }, "v0");
      const sets: SimulatedSet[] = [{ object: replicaSet(d, replicas), pods: replicas, available: replicas }];
      for (const image of images) {
        d = { ...deployment({ replicas, strategy }, image), ...(d.status === undefined ? {} : { status: d.status }) };
        for (let turn = 0; turn < 200; turn++) {
          d = simulate(d, sets, luck[turn % luck.length] ?? 1);
          const pods = sets.reduce((n, s) => n + s.pods, 0);
          const available = sets.reduce((n, s) => n + s.available, 0);
          assert.ok(pods <= replicas + maxSurge(d), `${pods} pods`);
          assert.ok(available >= replicas - maxUnavailable(d), `${available} available`);
        }
      }
      const last = images.at(-1);
      const current = sets.find(({ object }) => object.spec?.template?.spec?.containers[0]?.image === last);
      assert.equal(current?.available, replicas);
      assert.equal(
        sets.reduce((n, s) => n + s.pods, 0),
        replicas,
      );
    }),
    { numRuns: 60 },
  );
});

function simulate(d: Deployment, sets: SimulatedSet[], luck: number): Deployment {
  const { steps, status } = plan(
    d,
    sets.map(({ object }) => object),
  );
  for (const step of steps) {
    const known = sets.find(({ object }) => object.metadata.name === step.replicaSet.metadata.name);
    if (step.kind === "create") {
      const metadata = {
        ...step.replicaSet.metadata,
        uid: `u${sets.length}`,
        creationTimestamp: `2026-01-0${sets.length}T00:00:00Z`,
      };
      sets.push({ object: { ...step.replicaSet, metadata }, pods: 0, available: 0 });
    } else if (step.kind === "update" && known !== undefined) known.object = step.replicaSet;
  }
  let left = luck;
  for (const set of sets) {
    const want = desiredReplicas(set.object);
    set.pods = want;
    const more = Math.min(left, Math.max(0, want - set.available));
    left -= more;
    set.available = Math.min(want, set.available + more);
    const { pods, available } = set;
    set.object = { ...set.object, status: { replicas: pods, readyReplicas: available, availableReplicas: available } };
  }
  return { ...d, status };
}
