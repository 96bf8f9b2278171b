import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { batch, core } from "@knarr/api/generated/resources.ts";
import type { CronJob, CronJobSpec } from "@knarr/api/generated/types/batch-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Client } from "@knarr/client/client.ts";
import { endPod } from "./end-pod.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager();
});
after(() => harness.stop());

const MINUTE = 60_000;
const YEAR = 366 * 24 * 60 * MINUTE;

/** Due at once: its last run is said to have been so long ago. */
async function createDue(namespace: string, spec: Partial<CronJobSpec>, ago = 3 * MINUTE): Promise<void> {
  const podSpec = { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] };
  await client.create(batch.cronjobs, {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { namespace, name: "tick" },
    spec: { schedule: "* * * * *", jobTemplate: { spec: { template: { spec: podSpec } } }, ...spec },
  });
  const body = { status: { lastScheduleTime: rfc3339Seconds(Date.now() - ago) } };
  await client.patch(batch.cronjobs, { namespace, name: "tick" }, { type: "merge", body }, { subresource: "status" });
}
const get = (namespace: string): Promise<CronJob> => client.get(batch.cronjobs, { namespace, name: "tick" });
const jobs = async (namespace: string) => (await client.list(batch.jobs, { namespace })).items;
const told = async (namespace: string, reason: string) =>
  (await client.list(core.events, { namespace })).items.some((event) => event.reason === reason);

test("a CronJob starts a Job at its time, lists it while it runs, and remembers its success", async () => {
  const namespace = await makeNamespace(client, "cron");
  // Once a year: of "* * * * *" the next minute's Job could start before the first is looked at.
  await createDue(namespace, { schedule: "0 0 1 1 *", timeZone: "Etc/UTC", successfulJobsHistoryLimit: 0 }, YEAR);
  const job = await eventually("the Job", async () => (await jobs(namespace))[0]);
  const scheduled = job.metadata.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"] ?? "";
  assert.match(scheduled, /:00Z$/);
  assert.equal(job.metadata.name, `tick-${Date.parse(scheduled) / MINUTE}`);
  const cronJob = await eventually("the active list", async () => {
    const found = await get(namespace);
    return found.status?.active?.length === 1 ? found : undefined;
  });
  assert.equal(cronJob.status?.active?.[0]?.uid, job.metadata.uid);
  assert.equal(cronJob.status?.lastScheduleTime, scheduled);
  const pod = await eventually("its pod", async () => (await client.list(core.pods, { namespace })).items[0]);
  await endPod(client, pod, 0);
  await eventually("the success, and no active Job", async () => {
    const { status } = await get(namespace);
    return status?.lastSuccessfulTime !== undefined && !status.active?.some(({ uid }) => uid === job.metadata.uid);
  });
  await eventually("the history is kept short", async () =>
    (await jobs(namespace)).every(({ metadata }) => metadata.uid !== job.metadata.uid),
  );
  for (const reason of ["SuccessfulCreate", "SawCompletedJob", "SuccessfulDelete"]) {
    await eventually(`the event ${reason}`, () => told(namespace, reason));
  }
});

test("Forbid waits for the Job that runs, Replace replaces it", async () => {
  const namespace = await makeNamespace(client, "policies");
  await createDue(namespace, { concurrencyPolicy: "Forbid" });
  const first = await eventually("the first Job", async () => (await jobs(namespace))[0]);
  await eventually("it is listed", async () => (await get(namespace)).status?.active?.length === 1);
  const old = { ...first.metadata, name: "tick-1", uid: undefined, resourceVersion: undefined };
  await client.create(batch.jobs, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: old,
    spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } } },
  });
  await eventually("a Job that it didn't make is told", () => told(namespace, "UnexpectedJob"));
  await client.delete(batch.jobs, { namespace, name: "tick-1" }, { propagationPolicy: "Background" });
  await client.patch(
    batch.cronjobs,
    { namespace, name: "tick" },
    { type: "merge", body: { spec: { concurrencyPolicy: "Replace" } } },
  );
  // The next minute would do, but that is long to wait: the Job becomes one of an earlier minute.
  await eventually("a pod of the first Job", async () => (await client.list(core.pods, { namespace })).items[0]);
  const renamed = [{ ...(await get(namespace)).status?.active?.[0], name: "tick-0", uid: "gone" }];
  await client.patch(
    batch.cronjobs,
    { namespace, name: "tick" },
    { type: "merge", body: { status: { active: renamed, lastScheduleTime: rfc3339Seconds(Date.now() - 3 * MINUTE) } } },
    { subresource: "status" },
  );
  await eventually("the vanished Job is told", () => told(namespace, "MissingJob"));
  await eventually("it lists the Job of now", async () => {
    const { status } = await get(namespace);
    return status?.active?.length === 1 && status.active[0]?.name !== "tick-0";
  });
});

test("a suspended CronJob starts nothing, a resumed one starts the latest", async () => {
  const namespace = await makeNamespace(client, "paused");
  await createDue(namespace, { suspend: true, schedule: "@hourly", timeZone: "Asia/Kolkata" });
  await client.patch(
    batch.cronjobs,
    { namespace, name: "tick" },
    { type: "merge", body: { status: { lastScheduleTime: rfc3339Seconds(Date.now() - 90 * MINUTE) } } },
    { subresource: "status" },
  );
  assert.equal((await jobs(namespace)).length, 0);
  await client.patch(
    batch.cronjobs,
    { namespace, name: "tick" },
    { type: "merge", body: { spec: { suspend: false } } },
  );
  const job = await eventually("the Job", async () => (await jobs(namespace))[0]);
  assert.match(job.metadata.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"] ?? "", /:00:00\+05:30$/);
});
