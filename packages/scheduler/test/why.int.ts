import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { freePort } from "@knarr/testkit/child-daemon.ts";
import { createNode, eventually, type Harness, pausePod, simulatedNode, startHarness } from "./harness.ts";

const CLI = fileURLToPath(new URL("../../cli/src/main.ts", import.meta.url));
let harness: Harness;
let port: number;

before(async () => {
  harness = await startHarness();
  port = await freePort();
  for (const name of ["n1", "n2"]) await createNode(harness.admin, simulatedNode(name));
  await harness.startScheduler({ securePort: port });
});
after(async () => {
  await harness[Symbol.asyncDispose]();
});

async function why(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    const found = await promisify(execFile)(process.execPath, [CLI, "why", ...args], {
      env: { ...process.env, KUBECONFIG: harness.api.kubeconfig },
    });
    return { code: 0, ...found };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

test("knarr why shows what the plugins scored and who was refused when a pod was bound", async () => {
  const affinity = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [preferred("n2")] } };
  await harness.admin.create(core.pods, pausePod("bound", { affinity }));
  await eventually("the pod to be bound", async () => {
    const pod = await harness.admin.get(core.pods, { namespace: "default", name: "bound" });
    return pod.spec?.nodeName === "n2" ? true : undefined;
  });
  const text = await why("pod", "bound");
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /^Pod default\/bound: Scheduled on n2 \(default-scheduler, attempt 1, /);
  assert.match(text.stdout, /NODE\s+TOTAL\s+.*NODEAFFINITY/);
  assert.match(text.stdout, /n2\s+\d+\s+.*200 \(10 -> 100 x2\)/);
  const json = JSON.parse((await why("pod/bound", "-o", "json")).stdout);
  assert.equal(json.decision.chosenNode, "n2");
  assert.equal(json.decision.nodes.length, 2);
});

test("knarr why shows the refusal on each node and the queue when a pod is pending", async () => {
  await harness.admin.create(core.pods, pausePod("pending", {}, "100"));
  const found = await eventually("a decision", async () => {
    const answer = await why("pod", "pending", "-o", "json");
    const said = answer.code === 0 ? JSON.parse(answer.stdout) : undefined;
    // It is decided first, and put into the queue when the decision has been told.
    return said?.queue?.queue === "unschedulable" ? said : undefined;
  });
  assert.equal(found.decision.result, "Unschedulable");
  assert.deepEqual(found.decision.refusals, { "Insufficient cpu": 2 });
  assert.equal(found.decision.nodes[0].refusedBy.plugin, "NodeResourcesFit");
  assert.match((await why("pod", "pending", "-o", "yaml")).stdout, /refusedBy:/);
});

test("knarr why fails in clear words when the pod is unknown", async () => {
  const { code, stderr } = await why("pod", "nobody");
  assert.equal(code, 1);
  assert.match(stderr, /knows no decision about pod default\/nobody/);
});

test("decisions and metrics are for those who may read them, health is for everybody", async () => {
  const nobody = { server: `https://127.0.0.1:${port}`, insecureSkipTlsVerify: true };
  const stranger = new Client(nobody);
  const user = await harness.api.user("somebody");
  const allowed = new Client({ ...harness.api.admin, ...nobody, ca: undefined });
  const known = new Client({ ...user, ...nobody, ca: undefined });
  const get = async (client: Client, path: string) => {
    try {
      return (await client.request({ method: "GET", path })).status;
    } catch (error) {
      if (error instanceof StatusError) return error.code;
      throw error;
    }
  };
  const query = "/debug/knarr/decisions?namespace=default&pod=bound";
  assert.deepEqual(
    await Promise.all([
      get(stranger, "/healthz"),
      get(stranger, "/metrics"),
      get(stranger, query),
      get(known, query),
      get(allowed, query),
      get(allowed, "/metrics"),
    ]),
    [200, 403, 403, 403, 200, 200],
  );
  const { body } = await allowed.request({ method: "GET", path: "/metrics" });
  const text = body.toString();
  for (const name of [
    'scheduler_schedule_attempts_total{result="scheduled",profile="default-scheduler"}',
    "scheduler_scheduling_attempt_duration_seconds_bucket",
    "scheduler_scheduling_algorithm_duration_seconds_bucket",
    'scheduler_framework_extension_point_duration_seconds_count{extension_point="Filter"',
    'scheduler_plugin_execution_duration_seconds_count{plugin="NodeResourcesFit"',
    'scheduler_pending_pods{queue="unschedulable"} 1',
    'scheduler_queue_incoming_pods_total{queue="active",event="PodAdd"}',
    "scheduler_preemption_attempts_total",
    'scheduler_cache_size{type="nodes"} 2',
  ]) {
    assert.ok(text.includes(name), `${name} is missing`);
  }
  for (const client of [stranger, allowed, known]) client.close();
});

function preferred(node: string) {
  const matchExpressions = [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }];
  return { weight: 10, preference: { matchExpressions } };
}
