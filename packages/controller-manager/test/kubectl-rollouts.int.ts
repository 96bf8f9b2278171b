/** Unmodified kubectl on StatefulSets, DaemonSets, Deployments and CronJobs: what users type to roll out and back. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { apps, batch, core } from "@knarr/api/generated/resources.ts";
import type { Client } from "@knarr/client/client.ts";
import { endPod } from "./end-pod.ts";
import { eventually, type Harness, makeNamespace, runBinder, startHarness } from "./harness.ts";

const run = promisify(execFile);
const folders = ["/usr/local/lib/knarr/bin", ...(process.env.PATH ?? "").split(delimiter)];
const candidates = ["/usr/local/lib/knarr/bin/kubectl-1.36", ...folders.map((folder) => join(folder, "kubectl"))];
const kubectl = candidates.find((path) => existsSync(path));
const skip = kubectl === undefined && process.env.CI === undefined ? "no kubectl on PATH" : false;

let harness: Harness;
let client: Client;
const stop = new AbortController();

before(async () => {
  if (skip !== false) return;
  harness = await startHarness();
  client = harness.client;
  await harness.startManager();
  await harness.addNode("node-a");
  void runBinder(client, ["node-a"], stop.signal);
});
after(async () => {
  stop.abort();
  await harness?.stop();
});

/** What kubectl prints; fails with what it complains about. */
async function k(namespace: string, ...args: string[]): Promise<string> {
  const all = ["--kubeconfig", harness.api.kubeconfig, "-n", namespace, ...args];
  const { stdout } = await run(kubectl ?? "kubectl", all, { timeout: 180_000 });
  return stdout;
}

const template = (app: string) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: "c", image: "v1" }] },
});
const workload = (kind: string, namespace: string, extra: object) => ({
  apiVersion: "apps/v1",
  kind,
  metadata: { namespace, name: "web" },
  spec: { selector: { matchLabels: { app: "web" } }, template: template("web"), ...extra },
});

const kinds = [
  { kind: "StatefulSet", ref: apps.statefulsets, extra: { replicas: 2, serviceName: "web" } },
  { kind: "DaemonSet", ref: apps.daemonsets, extra: {} },
  { kind: "Deployment", ref: apps.deployments, extra: { replicas: 2 } },
] as const;
for (const { kind, ref, extra } of kinds) {
  test(`kubectl rolls a ${kind} out, back and over`, { skip }, async () => {
    const namespace = await makeNamespace(client, `rollout-${kind.toLowerCase()}`);
    const name = `${kind.toLowerCase()}/web`;
    await client.create(ref as typeof apps.deployments, workload(kind, namespace, extra) as never);
    const isOut = /successfully rolled out|rolling update complete|roll out complete|partitioned roll out/;
    const rolledOut = async () => assert.match(await k(namespace, "rollout", "status", name, "--timeout=150s"), isOut);
    const images = async () => {
      const { items } = await client.list(core.pods, { namespace });
      const alive = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      return [...new Set(alive.map(({ spec }) => spec?.containers[0]?.image))].join();
    };
    await rolledOut();
    await k(namespace, "set", "image", name, "c=v2");
    await rolledOut();
    assert.equal(await images(), "v2");
    const history = await k(namespace, "rollout", "history", name);
    assert.match(history, /REVISION\s+CHANGE-CAUSE\n1\s+<none>\n2\s+<none>/);
    assert.match(await k(namespace, "rollout", "history", name, "--revision=1"), /Image:\s+v1/);
    await k(namespace, "rollout", "undo", name);
    await rolledOut();
    await eventually("the old image", async () => (await images()) === "v1");
    assert.match(await k(namespace, "rollout", "history", name), /\n2\s+<none>\n3\s+<none>/);
    const before = (await client.list(core.pods, { namespace })).items.map(({ metadata }) => metadata.uid);
    await k(namespace, "rollout", "restart", name);
    await rolledOut();
    await eventually("all pods are new", async () => {
      const { items } = await client.list(core.pods, { namespace });
      return items.every(({ metadata }) => !before.includes(metadata.uid));
    });
  });
}

test("kubectl makes a Job of a CronJob, and waits for it", { skip }, async () => {
  const namespace = await makeNamespace(client, "cron");
  await k(namespace, "create", "cronjob", "tick", "--image=i", "--schedule=0 0 1 1 *");
  await k(namespace, "create", "job", "once", "--from=cronjob/tick");
  const job = await client.get(batch.jobs, { namespace, name: "once" });
  assert.equal(job.metadata.annotations?.["cronjob.kubernetes.io/instantiate"], "manual");
  const [owner] = job.metadata.ownerReferences ?? [];
  assert.deepEqual([owner?.kind, owner?.name], ["CronJob", "tick"]);
  const pod = await eventually("its pod", async () => (await client.list(core.pods, { namespace })).items[0]);
  await endPod(client, pod, 0);
  await k(namespace, "wait", "--for=condition=complete", "job/once", "--timeout=150s");
  assert.match(await k(namespace, "get", "job", "once"), /once\s+Complete\s+1\/1/);
  assert.match(await k(namespace, "get", "cronjob", "tick"), /tick\s+0 0 1 1 \*/);
  assert.match(
    await k(namespace, "describe", "job", "once"),
    /Pods Statuses:\s+0 Active \(0 Ready\) \/ 1 Succeeded \/ 0 Failed/,
  );
});
