import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { apps, core, discovery } from "@knarr/api/generated/resources.ts";
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { retryOnConflict } from "@knarr/client/retry-on-conflict.ts";
import { eventually, type Harness, makeNamespace, runBinder, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;
const stop = new AbortController();

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager();
  for (const name of ["node-a", "node-b"]) await harness.addNode(name);
  void runBinder(client, ["node-a", "node-b"], stop.signal);
});
after(async () => {
  stop.abort();
  await harness.stop();
});

function deployment(namespace: string, name: string, spec: Partial<Deployment["spec"]> = {}): Deployment {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { namespace, name, labels, annotations: { note: "kept" } },
    spec: {
      replicas: 3,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: "c", image: "v1", ports: [{ name: "http", containerPort: 80 }] }] },
      },
      ...spec,
    },
  };
}

/** A busy machine needs its time for hundreds of pods. */
const PATIENCE_MS = 180_000;
const available = (namespace: string, name: string, count: number) =>
  eventually(
    `${name} has ${count} available`,
    async () => {
      const d = await client.get(apps.deployments, { namespace, name });
      const { status } = d;
      const settled =
        status?.observedGeneration === d.metadata.generation &&
        (status?.availableReplicas ?? 0) === count &&
        (status?.updatedReplicas ?? 0) === count &&
        (status?.replicas ?? 0) === count;
      return settled ? d : undefined;
    },
    PATIENCE_MS,
  );

const setImage = (namespace: string, name: string, image: string) => {
  const body = { spec: { template: { spec: { containers: [{ name: "c", image }] } } } };
  return client.patch(apps.deployments, { namespace, name }, { type: "strategic", body });
};

const replicaSets = async (namespace: string): Promise<ReplicaSet[]> =>
  (await client.list(apps.replicasets, { namespace })).items.sort(
    (a, b) =>
      Number(a.metadata.annotations?.["deployment.kubernetes.io/revision"] ?? 0) -
      Number(b.metadata.annotations?.["deployment.kubernetes.io/revision"] ?? 0),
  );

test("every namespace has its default ServiceAccount and root CA", async () => {
  const namespace = await makeNamespace(client, "basics");
  const map = await eventually("kube-root-ca.crt", () =>
    client.get(core.configmaps, { namespace, name: "kube-root-ca.crt" }),
  );
  assert.match(map.data?.["ca.crt"] ?? "", /BEGIN CERTIFICATE/);
  await client.delete(core.configmaps, { namespace, name: "kube-root-ca.crt" });
  await client.delete(core.serviceaccounts, { namespace, name: "default" });
  await eventually("both come back", async () => {
    await client.get(core.configmaps, { namespace, name: "kube-root-ca.crt" });
    return client.get(core.serviceaccounts, { namespace, name: "default" });
  });
});

test("a Deployment becomes available, with upstream's names, annotations and conditions", async () => {
  const namespace = await makeNamespace(client, "deploy");
  await client.create(apps.deployments, deployment(namespace, "web"));
  const d = await available(namespace, "web", 3);
  const conditions = Object.fromEntries((d.status?.conditions ?? []).map((c) => [c.type, [c.status, c.reason]]));
  assert.deepEqual(conditions, {
    Available: ["True", "MinimumReplicasAvailable"],
    Progressing: ["True", "NewReplicaSetAvailable"],
  });
  assert.equal(d.metadata.annotations?.["deployment.kubernetes.io/revision"], "1");
  const [rs] = await replicaSets(namespace);
  assert.match(rs?.metadata.name ?? "", /^web-[bcdfghjklmnpqrstvwxz2456789]{8,10}$/);
  assert.equal(rs?.metadata.labels?.["pod-template-hash"], rs?.metadata.name?.slice(4));
  assert.deepEqual(rs?.metadata.annotations, {
    note: "kept",
    "deployment.kubernetes.io/revision": "1",
    "deployment.kubernetes.io/desired-replicas": "3",
    "deployment.kubernetes.io/max-replicas": "4",
  });
  const reasons = await eventually("events", async () => {
    const { items } = await client.list(core.events, { namespace });
    const found = items.map((event) => `${event.involvedObject.kind} ${event.reason}: ${event.message}`).sort();
    // Of two controllers, each of which tells in its own time.
    const isTold = found.some((line) => line.includes("ScalingReplicaSet"));
    return isTold && found.filter((line) => line.includes("SuccessfulCreate")).length === 3 ? found : undefined;
  });
  assert.ok(
    reasons.includes(`Deployment ScalingReplicaSet: Scaled up replica set ${rs?.metadata.name} from 0 to 3`),
    reasons.join("\n"),
  );
});

test("a rolling update never has fewer available pods or more pods than allowed, and can be undone", async () => {
  const namespace = await makeNamespace(client, "roll");
  await client.create(apps.deployments, deployment(namespace, "web", { replicas: 6 }));
  await available(namespace, "web", 6);
  const watching = new AbortController();
  const violations: string[] = [];
  const guard = (async () => {
    while (!watching.signal.aborted) {
      const pods = (await client.list(core.pods, { namespace })).items;
      const alive = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined);
      const ready = alive.filter((pod) =>
        pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
      );
      // 25% of 6: surge 2, unavailable 1.
      if (alive.length > 8) violations.push(`${alive.length} pods`);
      if (ready.length < 5) violations.push(`${ready.length} ready`);
    }
  })();
  await setImage(namespace, "web", "v2");
  await available(namespace, "web", 6);
  watching.abort();
  await guard;
  assert.deepEqual(violations, []);
  const [first, second] = await replicaSets(namespace);
  assert.deepEqual([first?.spec?.replicas, second?.spec?.replicas], [0, 6]);
  await setImage(namespace, "web", "v1");
  const d = await available(namespace, "web", 6);
  assert.equal(d.metadata.annotations?.["deployment.kubernetes.io/revision"], "3");
  const [, back] = await replicaSets(namespace);
  assert.equal(back?.metadata.uid, first?.metadata.uid);
  assert.equal(back?.metadata.annotations?.["deployment.kubernetes.io/revision-history"], "1");
});

test("scaling, pausing and the history limit are followed", async () => {
  const namespace = await makeNamespace(client, "scale");
  await client.create(apps.deployments, deployment(namespace, "web", { replicas: 2, revisionHistoryLimit: 1 }));
  await available(namespace, "web", 2);
  const key = { namespace, name: "web" };
  await client.patch(apps.deployments, key, { type: "merge", body: { spec: { replicas: 10 } } });
  await available(namespace, "web", 10);
  await client.patch(apps.deployments, key, { type: "merge", body: { spec: { replicas: 2 } } });
  await available(namespace, "web", 2);
  for (const image of ["v2", "v3", "v4"]) {
    await setImage(namespace, "web", image);
    await available(namespace, "web", 2);
  }
  await eventually("old revisions are removed", async () => (await replicaSets(namespace)).length === 2);
  await client.patch(apps.deployments, key, { type: "merge", body: { spec: { paused: true } } });
  await setImage(namespace, "web", "v5");
  await eventually("the pause is told", async () => {
    const d = await client.get(apps.deployments, key);
    return d.status?.conditions?.some((c) => c.type === "Progressing" && c.reason === "DeploymentPaused");
  });
  const images = (await replicaSets(namespace)).map((rs) => rs.spec?.template?.spec?.containers[0]?.image);
  assert.ok(!images.includes("v5"), images.join());
  await client.patch(apps.deployments, key, { type: "merge", body: { spec: { paused: false } } });
  await available(namespace, "web", 2);
});

test("Recreate starts no new pod before the old ones are gone", async () => {
  const namespace = await makeNamespace(client, "recreate");
  await client.create(apps.deployments, deployment(namespace, "web", { strategy: { type: "Recreate" } }));
  await available(namespace, "web", 3);
  const seen: string[] = [];
  const watching = new AbortController();
  const guard = (async () => {
    while (!watching.signal.aborted) {
      const images = (await client.list(core.pods, { namespace })).items.map((pod) => pod.spec?.containers[0]?.image);
      if (new Set(images).size > 1) seen.push(images.join());
    }
  })();
  await setImage(namespace, "web", "v2");
  await available(namespace, "web", 3);
  watching.abort();
  await guard;
  assert.deepEqual(seen, []);
});

test("a rollout that can't progress says so after its deadline", async () => {
  const namespace = await makeNamespace(client, "stuck");
  const spec = { progressDeadlineSeconds: 2, replicas: 1 };
  const stuck = deployment(namespace, "web", spec);
  const template = stuck.spec?.template;
  if (template?.metadata !== undefined) template.metadata.annotations = { "test/never-ready": "" };
  await client.create(apps.deployments, stuck);
  await eventually("ProgressDeadlineExceeded", async () => {
    const d = await client.get(apps.deployments, { namespace, name: "web" });
    return d.status?.conditions?.find(
      (c) => c.type === "Progressing" && c.status === "False" && c.reason === "ProgressDeadlineExceeded",
    );
  });
});

test("a ReplicaSet replaces, adopts and releases pods", async () => {
  const namespace = await makeNamespace(client, "adopt");
  const labels = { app: "x" };
  const pod = (name: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, labels },
    spec: { containers: [{ name: "c", image: "v1" }] },
  });
  await client.create(core.pods, pod("mine"));
  await client.create(apps.replicasets, {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { namespace, name: "x" },
    spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod("x").spec } },
  });
  const key = { namespace, name: "x" };
  const ready = () =>
    eventually("two ready", async () => (await client.get(apps.replicasets, key)).status?.readyReplicas === 2);
  await ready();
  const adopted = await client.get(core.pods, { namespace, name: "mine" });
  assert.equal(adopted.metadata.ownerReferences?.[0]?.name, "x");
  await client.patch(
    core.pods,
    { namespace, name: "mine" },
    { type: "merge", body: { metadata: { labels: { app: "y" } } } },
  );
  await eventually("mine is released", async () => {
    const released = await client.get(core.pods, { namespace, name: "mine" });
    return (released.metadata.ownerReferences ?? []).length === 0;
  });
  await ready();
  await eventually("three pods in all", async () => (await client.list(core.pods, { namespace })).items.length === 3);
});

test("endpoints follow readiness, in slices and in the old form", async () => {
  const namespace = await makeNamespace(client, "endpoints");
  await client.create(core.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace, name: "web", labels: { team: "a" } },
    spec: { selector: { app: "web" }, ports: [{ name: "web", port: 8080, targetPort: "http" }] },
  });
  const slicesOf = async () =>
    (await client.list(discovery.endpointslices, { namespace, labelSelector: "kubernetes.io/service-name=web" })).items;
  await eventually("an empty slice", async () => (await slicesOf()).length === 1);
  await client.create(apps.deployments, deployment(namespace, "web"));
  await available(namespace, "web", 3);
  const slice = await eventually("three ready endpoints", async () => {
    const [only, ...more] = await slicesOf();
    return more.length === 0 && only?.endpoints?.filter((e) => e.conditions?.ready === true).length === 3
      ? only
      : undefined;
  });
  assert.deepEqual(slice.ports, [{ name: "web", port: 80, protocol: "TCP" }]);
  assert.equal(slice.metadata.labels?.team, "a");
  assert.match(slice.metadata.name ?? "", /^web-/);
  await eventually("three addresses", async () => {
    const object = await client.get(core.endpoints, { namespace, name: "web" });
    return object.subsets?.[0]?.addresses?.length === 3 && object.subsets[0].ports?.[0]?.port === 80;
  });
  await client.delete(core.services, { namespace, name: "web" });
  await eventually("slices and Endpoints go with the Service", async () => {
    const gone = await client.get(core.endpoints, { namespace, name: "web" }).then(() => false, isNotFound);
    return gone && (await slicesOf()).length === 0;
  });
});

test("a Deployment of 200 pods is created and removed in the foreground", async () => {
  const namespace = await makeNamespace(client, "many");
  await client.create(apps.deployments, deployment(namespace, "web", { replicas: 200 }));
  await available(namespace, "web", 200);
  await client.delete(apps.deployments, { namespace, name: "web" }, { propagationPolicy: "Foreground" });
  const allGone = async () => {
    const pods = (await client.list(core.pods, { namespace })).items.length;
    const gone = await client.get(apps.deployments, { namespace, name: "web" }).then(() => false, isNotFound);
    return pods === 0 && gone && (await replicaSets(namespace)).length === 0;
  };
  await eventually("everything is gone", allGone, PATIENCE_MS);
});

test("a status update storm loses no update of the Deployment's spec", async () => {
  const namespace = await makeNamespace(client, "storm");
  await client.create(apps.deployments, deployment(namespace, "web", { replicas: 1 }));
  for (let n = 2; n <= 12; n++) {
    await retryOnConflict(async () => {
      const d = await client.get(apps.deployments, { namespace, name: "web" });
      if (d.spec !== undefined) d.spec.replicas = n;
      await client.update(apps.deployments, d);
    });
  }
  await available(namespace, "web", 12);
});
