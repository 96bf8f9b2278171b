import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { apps, core, policy } from "@knarr/api/generated/resources.ts";
import type { PodDisruptionBudgetSpec, PodDisruptionBudgetStatus } from "@knarr/api/generated/types/policy-v1.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, runBinder, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;
const stop = new AbortController();

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager();
  await harness.addNode("node-a");
  void runBinder(client, ["node-a"], stop.signal);
});
after(async () => {
  stop.abort();
  await harness.stop();
});

const labels = { app: "web" };
const podSpec = { containers: [{ name: "c", image: "i" }] };
const createBudget = (namespace: string, spec: PodDisruptionBudgetSpec) =>
  client.create(policy.poddisruptionbudgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { namespace, name: "b" },
    spec: { selector: { matchLabels: labels }, ...spec },
  });
const status = (namespace: string, is: (status: PodDisruptionBudgetStatus) => boolean) =>
  eventually("the budget's status", async () => {
    const budget = await client.get(policy.poddisruptionbudgets, { namespace, name: "b" });
    const found = budget.status;
    return found !== undefined && found.observedGeneration === budget.metadata.generation && is(found)
      ? found
      : undefined;
  });
const pods = async (namespace: string) => (await client.list(core.pods, { namespace })).items;
const evict = (namespace: string, name: string) =>
  client.createSubresource(core.pods, { namespace, name }, "eviction", {
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { namespace, name },
  });

test("a budget follows its Deployment's scale and lets one eviction pass at a time", async () => {
  const namespace = await makeNamespace(client, "budget");
  await client.create(apps.deployments, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { namespace, name: "web" },
    spec: { replicas: 4, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } },
  });
  await createBudget(namespace, { maxUnavailable: "25%" });
  const full = await status(namespace, ({ disruptionsAllowed }) => disruptionsAllowed === 1);
  assert.deepEqual([full.currentHealthy, full.desiredHealthy, full.expectedPods], [4, 3, 4]);
  assert.deepEqual(
    full.conditions?.map((c) => [c.type, c.status, c.reason]),
    [["DisruptionAllowed", "True", "SufficientPods"]],
  );
  const body = { spec: { template: { metadata: { annotations: { "test/never-ready": "" } } } } };
  await client.patch(apps.deployments, { namespace, name: "web" }, { type: "merge", body: { spec: { paused: true } } });
  await client.patch(apps.deployments, { namespace, name: "web" }, { type: "merge", body });
  const [first, second] = await pods(namespace);
  await evict(namespace, first?.metadata.name ?? "");
  const refused = await evict(namespace, second?.metadata.name ?? "").then(
    () => undefined,
    (error: unknown) => error,
  );
  if (refused !== undefined) assert.ok(refused instanceof StatusError && refused.code === 429, String(refused));
  await status(namespace, ({ disruptionsAllowed, currentHealthy }) => disruptionsAllowed === 1 && currentHealthy === 4);
  await client.patch(apps.deployments, { namespace, name: "web" }, { type: "merge", body: { spec: { replicas: 8 } } });
  await status(namespace, ({ expectedPods, disruptionsAllowed }) => expectedPods === 8 && disruptionsAllowed === 2);
});

test("bare pods count for a number, and make percentages impossible", async () => {
  const namespace = await makeNamespace(client, "bare");
  for (const name of ["one", "two"]) {
    await client.create(core.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name, labels },
      spec: podSpec,
    });
  }
  await createBudget(namespace, { minAvailable: 1 });
  await status(namespace, ({ disruptionsAllowed, expectedPods }) => disruptionsAllowed === 1 && expectedPods === 2);
  await client.patch(
    policy.poddisruptionbudgets,
    { namespace, name: "b" },
    { type: "merge", body: { spec: { minAvailable: null, maxUnavailable: 1 } } },
  );
  const none = await status(namespace, ({ expectedPods }) => expectedPods === 0);
  assert.equal(none.conditions?.[0]?.reason, "InsufficientPods");
  await eventually("the event", async () =>
    (await client.list(core.events, { namespace })).items.some(({ reason }) => reason === "UnmanagedPods"),
  );
});

test("a mark of a disruption that never came is taken back", async () => {
  const namespace = await makeNamespace(client, "stale");
  const key = { namespace, name: "one" };
  await client.create(core.pods, { apiVersion: "v1", kind: "Pod", metadata: { ...key, labels }, spec: podSpec });
  const condition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
    lastTransitionTime: rfc3339Seconds(Date.now() - 150_000),
  };
  await client.patch(
    core.pods,
    key,
    { type: "strategic", body: { status: { conditions: [condition] } } },
    { subresource: "status" },
  );
  await eventually("it is False", async () => {
    const pod = await client.get(core.pods, key);
    return pod.status?.conditions?.some(({ type, status: is }) => type === "DisruptionTarget" && is === "False");
  });
});
