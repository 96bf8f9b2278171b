import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core, policy, scheduling } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { conditionOf, createNode, eventually, type Harness, pausePod, simulatedNode, startHarness } from "./harness.ts";

let harness: Harness;
before(async () => {
  harness = await startHarness();
  await createNode(harness.admin, simulatedNode("n1"));
  await harness.startScheduler({ args: ["--leader-elect=false"] });
});
after(async () => {
  await harness[Symbol.asyncDispose]();
});

const podNamed = (name: string) => harness.admin.get(core.pods, { namespace: "default", name });
const boundTo = (name: string) =>
  eventually(`pod ${name} to be bound`, async () => (await podNamed(name)).spec?.nodeName || undefined);
const eventOf = (name: string, reason: string) =>
  eventually(`event ${reason} of ${name}`, async () => {
    const { items } = await harness.admin.list(core.events, { namespace: "default" });
    return items.find((event) => event.involvedObject.name === name && event.reason === reason);
  });

test("the scheduler binds a pod, says so in an event and in its condition", async () => {
  await harness.admin.create(core.pods, pausePod("plain"));
  assert.equal(await boundTo("plain"), "n1");
  const event = await eventOf("plain", "Scheduled");
  assert.equal(event.message, "Successfully assigned default/plain to n1");
  assert.equal(event.source?.component ?? event.reportingComponent, "default-scheduler");
  assert.equal(conditionOf(await podNamed("plain"))?.status, "True");
});

test("the scheduler says in upstream's words why a pod does not fit, and places it once it does", async () => {
  await harness.admin.create(core.pods, pausePod("ssd", { nodeSelector: { disk: "ssd" } }));
  const pod = await eventually("the condition", async () => {
    const found = await podNamed("ssd");
    return conditionOf(found)?.reason === "Unschedulable" ? found : undefined;
  });
  const message =
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, " +
    "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
  assert.equal(conditionOf(pod)?.message, message);
  assert.equal((await eventOf("ssd", "FailedScheduling")).message, message);
  const body = { metadata: { labels: { disk: "ssd" } } };
  await harness.admin.patch(core.nodes, { namespace: "", name: "n1" }, { type: "merge", body });
  assert.equal(await boundTo("ssd"), "n1");
});

test("the scheduler leaves a gated pod alone until its gates are gone", async () => {
  await harness.admin.create(core.pods, pausePod("gated", { schedulingGates: [{ name: "example.com/wait" }] }));
  await harness.admin.create(core.pods, pausePod("after-gated"));
  await boundTo("after-gated");
  const gated = await podNamed("gated");
  assert.equal(gated.spec?.nodeName ?? "", "");
  assert.equal(conditionOf(gated)?.reason, "SchedulingGated");
  const key = { namespace: "default", name: "gated" };
  await harness.admin.patch(core.pods, key, { type: "merge", body: { spec: { schedulingGates: null } } });
  assert.equal(await boundTo("gated"), "n1");
});

test("the scheduler removes a pod of lower priority, as few as will do, and tells both", async () => {
  await createNode(harness.admin, simulatedNode("n2"));
  const onN2 = { nodeSelector: { "kubernetes.io/hostname": "n2" }, terminationGracePeriodSeconds: 0 };
  await harness.admin.create(core.pods, pausePod("small", { ...onN2 }, "1"));
  await harness.admin.create(core.pods, pausePod("large", { ...onN2 }, "2500m"));
  await boundTo("small");
  await boundTo("large");
  await harness.admin.create(scheduling.priorityclasses, {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: "high" },
    value: 1000,
  });
  await harness.admin.create(policy.poddisruptionbudgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "none", namespace: "default" },
    spec: { selector: { matchLabels: { app: "nothing" } } },
  });
  await harness.admin.create(core.pods, pausePod("urgent", { ...onN2, priorityClassName: "high" }, "2"));
  const event = await eventOf("large", "Preempted");
  const urgent = await podNamed("urgent");
  assert.equal(event.message, `Preempted by pod ${urgent.metadata.uid} on node n2`);
  // There is no kubelet here: the victim goes when its deletion is confirmed for it.
  const key = { namespace: "default", name: "large" };
  const victim = await podNamed("large").catch((error: unknown) => {
    // Already gone: deleted without grace.
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (victim !== undefined) {
    assert.equal(
      victim.status?.conditions?.find(({ type }) => type === "DisruptionTarget")?.reason,
      "PreemptionByScheduler",
    );
    assert.equal(urgent.status?.nominatedNodeName, "n2");
    await harness.admin.delete(core.pods, key, { gracePeriodSeconds: 0 });
  }
  assert.equal(await boundTo("urgent"), "n2");
  assert.equal((await podNamed("small")).metadata.deletionTimestamp, undefined);
});
