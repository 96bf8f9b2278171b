import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { batch, core } from "@knarr/api/generated/resources.ts";
import type { Job, JobSpec } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { endPod } from "./end-pod.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;
let manager: ChildDaemon;
/** There is one at a time: who follows a killed one has nobody to wait for, and none loses its place to a busy machine. */
const ALONE = ["--leader-elect=false"];

before(async () => {
  harness = await startHarness();
  client = harness.client;
  manager = await harness.startManager(ALONE);
});
after(() => harness.stop());

const create = (namespace: string, name: string, spec: Partial<JobSpec> = {}): Promise<Job> =>
  client.create(batch.jobs, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { namespace, name },
    spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } }, ...spec },
  });
const podsOf = async (namespace: string): Promise<Pod[]> =>
  (await client.list(core.pods, { namespace })).items.sort((a, b) => indexOf(a) - indexOf(b));
const indexOf = (pod: Pod) => Number(pod.metadata.annotations?.["batch.kubernetes.io/job-completion-index"] ?? 0);
const running = (namespace: string, count: number) =>
  eventually(`${count} pods run in ${namespace}`, async () => {
    const pods = (await podsOf(namespace)).filter(
      ({ metadata, status }) =>
        metadata.deletionTimestamp === undefined && status?.phase !== "Failed" && status?.phase !== "Succeeded",
    );
    return pods.length === count ? pods : undefined;
  });
const condition = (namespace: string, name: string, type: string) =>
  eventually(`${name} is ${type}`, async () => {
    const job = await client.get(batch.jobs, { namespace, name });
    const found = job.status?.conditions?.find((c) => c.type === type && c.status === "True");
    return found === undefined ? undefined : { job, reason: found.reason };
  });
const events = async (namespace: string, kind = "Job") =>
  (await client.list(core.events, { namespace })).items
    .filter((event) => event.involvedObject.kind === kind)
    .map(({ type, reason, message }) => `${type} ${reason} ${message}`);

test("a Job runs to its end: counts, conditions, events, finalizers", async () => {
  const namespace = await makeNamespace(client, "plain");
  await create(namespace, "work", { completions: 3, parallelism: 2 });
  const first = await running(namespace, 2);
  for (const pod of first) {
    assert.deepEqual(pod.metadata.finalizers, ["batch.kubernetes.io/job-tracking"]);
    assert.equal(pod.metadata.labels?.["batch.kubernetes.io/job-name"], "work");
    assert.match(pod.metadata.name ?? "", /^work-[a-z0-9]{5}$/);
  }
  const started = await eventually("the status tells two active pods", async () => {
    const job = await client.get(batch.jobs, { namespace, name: "work" });
    return job.status?.active === 2 ? job : undefined;
  });
  assert.deepEqual(
    [started.status?.ready, started.status?.terminating, started.status?.uncountedTerminatedPods],
    [0, 0, {}],
  );
  for (const pod of first) await endPod(client, pod, 0);
  const [last] = await running(namespace, 1);
  await endPod(client, last as Pod, 0);
  const { job } = await condition(namespace, "work", "Complete");
  assert.equal(job.status?.succeeded, 3);
  assert.ok(job.status?.completionTime !== undefined && job.status.startTime !== undefined);
  assert.deepEqual(
    job.status.conditions?.map(({ type, reason }) => `${type} ${reason}`),
    ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"],
  );
  assert.ok((await podsOf(namespace)).every(({ metadata }) => metadata.finalizers === undefined));
  await eventually("events", async () => {
    const told = await events(namespace);
    const created = told.filter((line) => line.startsWith("Normal SuccessfulCreate Created pod: work-")).length;
    return created === 3 && told.includes("Normal Completed Job completed");
  });
});

test("a failing Job backs off, gives up and says why", async () => {
  const namespace = await makeNamespace(client, "failing");
  await create(namespace, "bad", { backoffLimit: 0 });
  const [pod] = await running(namespace, 1);
  await endPod(client, pod as Pod, 1);
  const { job, reason } = await condition(namespace, "bad", "Failed");
  assert.deepEqual([reason, job.status?.failed], ["BackoffLimitExceeded", 1]);
  await eventually("the event", async () =>
    (await events(namespace)).includes("Warning BackoffLimitExceeded Job has reached the specified backoff limit"),
  );
  await create(namespace, "again", { backoffLimit: 3 });
  const [failing] = await running(namespace, 1);
  await endPod(client, failing as Pod, 1);
  const counted = await eventually("the failure is counted", async () => {
    const { status } = await client.get(batch.jobs, { namespace, name: "again" });
    return status?.failed === 1 ? status : undefined;
  });
  assert.equal(counted.active, undefined);
  await running(namespace, 1);
});

test("an indexed Job gives each pod its index and completes each index", async () => {
  const namespace = await makeNamespace(client, "indexed");
  const spec: Partial<JobSpec> = { completionMode: "Indexed", completions: 3, parallelism: 3 };
  await create(namespace, "many", { ...spec, backoffLimitPerIndex: 0, maxFailedIndexes: 2 });
  const pods = await running(namespace, 3);
  assert.deepEqual(pods.map(indexOf), [0, 1, 2]);
  const [pod] = pods;
  assert.match(pod?.metadata.name ?? "", /^many-0-[a-z0-9]{5}$/);
  assert.equal(pod?.spec?.hostname, "many-0");
  assert.equal(pod?.metadata.labels?.["batch.kubernetes.io/job-completion-index"], "0");
  const variable = pod?.spec?.containers[0]?.env?.find(({ name }) => name === "JOB_COMPLETION_INDEX");
  assert.equal(variable?.valueFrom?.fieldRef?.fieldPath, "metadata.labels['batch.kubernetes.io/job-completion-index']");
  await endPod(client, pods[0] as Pod, 0);
  await endPod(client, pods[1] as Pod, 3);
  await endPod(client, pods[2] as Pod, 0);
  const { job, reason } = await condition(namespace, "many", "Failed");
  assert.equal(reason, "FailedIndexes");
  assert.deepEqual([job.status?.completedIndexes, job.status?.failedIndexes], ["0,2", "1"]);
  await create(namespace, "leader", { ...spec, successPolicy: { rules: [{ succeededIndexes: "1" }] } });
  const others = await running(namespace, 3);
  await endPod(client, others[1] as Pod, 0);
  await condition(namespace, "leader", "SuccessCriteriaMet");
  for (const other of others) await client.delete(core.pods, key(other), { gracePeriodSeconds: 0 }).catch(() => {});
  const done = await condition(namespace, "leader", "Complete");
  assert.deepEqual([done.reason, done.job.status?.failed], ["SuccessPolicy", undefined]);
});
const key = ({ metadata }: Pod) => ({ namespace: metadata.namespace ?? "", name: metadata.name ?? "" });

test("a suspended Job has no pods until it is resumed", async () => {
  const namespace = await makeNamespace(client, "suspended");
  await create(namespace, "later", { suspend: true });
  await condition(namespace, "later", "Suspended");
  assert.equal((await podsOf(namespace)).length, 0);
  const patch = (suspend: boolean) =>
    client.patch(batch.jobs, { namespace, name: "later" }, { type: "merge", body: { spec: { suspend } } });
  await patch(false);
  await running(namespace, 1);
  await patch(true);
  await running(namespace, 0);
  await patch(false);
  const [pod] = await running(namespace, 1);
  await endPod(client, pod as Pod, 0);
  const { job } = await condition(namespace, "later", "Complete");
  assert.deepEqual([job.status?.succeeded, job.status?.failed], [1, undefined]);
  await eventually("both events", async () => {
    const told = await events(namespace);
    return told.includes("Normal Suspended Job suspended") && told.includes("Normal Resumed Job resumed");
  });
});

test("the failure policy and the deadline end a Job, its TTL removes it with its pods", async () => {
  const namespace = await makeNamespace(client, "policy");
  const rules = [{ action: "FailJob", onExitCodes: { operator: "In", values: [42] } }];
  await create(namespace, "strict", { podFailurePolicy: { rules }, ttlSecondsAfterFinished: 1 });
  const [pod] = await running(namespace, 1);
  await endPod(client, pod as Pod, 42);
  await eventually("the Job and its pods are gone", async () => {
    const gone = await client.get(batch.jobs, { namespace, name: "strict" }).then(() => false, isNotFound);
    return gone && (await podsOf(namespace)).length === 0;
  });
  await create(namespace, "slow", { activeDeadlineSeconds: 1 });
  const { reason } = await condition(namespace, "slow", "FailureTarget");
  assert.equal(reason, "DeadlineExceeded");
});

test("a Job managed by another controller is left alone", async () => {
  const namespace = await makeNamespace(client, "foreign");
  await create(namespace, "theirs", { managedBy: "example.com/queue" });
  await create(namespace, "ours", { managedBy: "kubernetes.io/job-controller" });
  const pods = await running(namespace, 1);
  assert.equal(pods[0]?.metadata.ownerReferences?.[0]?.name, "ours");
  assert.equal((await client.get(batch.jobs, { namespace, name: "theirs" })).status?.startTime, undefined);
});

test("a deleted Job's pods lose their finalizers and go", async () => {
  const namespace = await makeNamespace(client, "deleted");
  await create(namespace, "gone", { parallelism: 2 });
  await running(namespace, 2);
  await client.delete(batch.jobs, { namespace, name: "gone" }, { propagationPolicy: "Background" });
  await eventually("no pod is left", async () => (await podsOf(namespace)).length === 0);
});

test("a Job that is deleted while no manager runs leaves no pod behind", async () => {
  const namespace = await makeNamespace(client, "unattended");
  await create(namespace, "gone", { parallelism: 2 });
  await running(namespace, 2);
  await manager.kill();
  await client.delete(batch.jobs, { namespace, name: "gone" }, { propagationPolicy: "Background" });
  manager = await harness.startManager(ALONE);
  await eventually("no pod is left", async () => (await podsOf(namespace)).length === 0);
});

test("killed managers neither lose nor recount a pod", async () => {
  const namespace = await makeNamespace(client, "crash");
  await create(namespace, "sum", { completions: 40, parallelism: 10 });
  let ended = 0;
  for (let round = 0; round < 4; round++) {
    const pods = await running(namespace, 10);
    await Promise.all(pods.map((pod) => endPod(client, pod, 0)));
    ended += pods.length;
    if (round === 1) {
      await manager.kill();
      manager = await harness.startManager(ALONE);
    }
  }
  const { job } = await condition(namespace, "sum", "Complete");
  assert.deepEqual([ended, job.status?.succeeded, (await podsOf(namespace)).length], [40, 40, 40]);
});
