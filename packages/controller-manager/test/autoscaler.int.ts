import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { apps, autoscaling, core } from "@knarr/api/generated/resources.ts";
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerSpec,
} from "@knarr/api/generated/types/autoscaling-v2.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, runBinder, startHarness } from "./harness.ts";
import { type MetricsFront, startMetricsFront, writeKubeconfig } from "./metrics-front.ts";

let harness: Harness;
let client: Client;
let front: MetricsFront;
let dir: string;
const answers = new Map<string, unknown>();
const stop = new AbortController();

before(async () => {
  harness = await startHarness();
  client = harness.client;
  dir = await mkdtemp(join(tmpdir(), "knarr-autoscaler-"));
  front = await startMetricsFront(harness.api.admin, answers);
  const flags = [
    "--use-service-account-credentials=false",
    "--horizontal-pod-autoscaler-sync-period=300ms",
    "--horizontal-pod-autoscaler-downscale-stabilization=6s",
    "--horizontal-pod-autoscaler-cpu-initialization-period=0s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
  ];
  await harness.startManager(flags, await writeKubeconfig(join(dir, "front.conf"), front));
  await harness.addNode("node-a");
  void runBinder(client, ["node-a"], stop.signal);
});
after(async () => {
  stop.abort();
  await harness.stop();
  await front.stop();
  await rm(dir, { recursive: true, force: true });
});

const labels = { app: "web" };
async function deploy(namespace: string, replicas: number): Promise<void> {
  const resources = { requests: { cpu: "1" } };
  await client.create(apps.deployments, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { namespace, name: "web" },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i", resources }] } },
    },
  });
  await eventually("the Deployment is up", async () => (await replicasOf(namespace)).ready === replicas);
}
const replicasOf = async (namespace: string) => {
  const { spec, status } = await client.get(apps.deployments, { namespace, name: "web" });
  return { wanted: spec?.replicas, ready: status?.readyReplicas ?? 0 };
};
const autoscale = (namespace: string, spec: Partial<HorizontalPodAutoscalerSpec>): Promise<HorizontalPodAutoscaler> =>
  client.create(autoscaling.horizontalpodautoscalers, {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { namespace, name: "web" },
    spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, maxReplicas: 8, ...spec },
  });
const get = (namespace: string) => client.get(autoscaling.horizontalpodautoscalers, { namespace, name: "web" });
const condition = (namespace: string, type: string, reason: string) =>
  eventually(`${type} ${reason}`, async () => {
    const found = (await get(namespace)).status?.conditions?.find((c) => c.type === type && c.reason === reason);
    return found;
  });
const told = async (namespace: string) =>
  (await client.list(core.events, { namespace })).items.map(
    ({ type, reason, message }) => `${type} ${reason} ${message}`,
  );
/** Every pod of the namespace uses as much. */
async function use(namespace: string, cpu: string): Promise<void> {
  const { items } = await client.list(core.pods, { namespace });
  const timestamp = rfc3339Seconds(Date.now() + 60_000);
  const metrics = items.map(({ metadata }) => ({
    metadata: { name: metadata.name, namespace },
    timestamp,
    window: "15s",
    containers: [{ name: "c", usage: { cpu, memory: "1Mi" } }],
  }));
  answers.set(`/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods`, { kind: "PodMetricsList", items: metrics });
}

test("replicas follow the CPU, up at once and down after the window, within the limits", async () => {
  const namespace = await makeNamespace(client, "cpu");
  await deploy(namespace, 2);
  await use(namespace, "900m");
  const target = { type: "Utilization", averageUtilization: 50 };
  await autoscale(namespace, { metrics: [{ type: "Resource", resource: { name: "cpu", target } }] });
  await eventually("four replicas", async () => (await replicasOf(namespace)).wanted === 4);
  await eventually("the event", async () =>
    (await told(namespace)).includes(
      "Normal SuccessfulRescale New size: 4; reason: cpu resource utilization (percentage of request) above target",
    ),
  );
  await eventually("four are up", async () => (await replicasOf(namespace)).ready === 4);
  await use(namespace, "100m");
  await condition(namespace, "AbleToScale", "ScaleDownStabilized");
  await eventually("one replica", async () => (await replicasOf(namespace)).wanted === 1);
  const { status } = await get(namespace);
  assert.equal(status?.currentMetrics?.[0]?.resource?.current.averageUtilization, 10);
  assert.equal(status.currentMetrics[0].resource.current.averageValue, "100m");
  assert.ok(status.lastScaleTime !== undefined);
  await eventually("one is up", async () => (await replicasOf(namespace)).ready === 1);
  await use(namespace, "999m");
  await eventually("growth is limited", async () => ((await replicasOf(namespace)).wanted ?? 0) > 1);
});

test("without metrics nothing is scaled, and why is told", async () => {
  const namespace = await makeNamespace(client, "blind");
  await deploy(namespace, 2);
  const target = { type: "Utilization", averageUtilization: 50 };
  await autoscale(namespace, { metrics: [{ type: "Resource", resource: { name: "cpu", target } }] });
  const { message } = await condition(namespace, "ScalingActive", "FailedGetResourceMetric");
  assert.match(
    message ?? "",
    /unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch/,
  );
  await eventually("both events", async () => {
    const lines = (await told(namespace)).join("\n");
    return (
      lines.includes("FailedGetResourceMetric") &&
      lines.includes("FailedComputeMetricsReplicas invalid metrics (1 invalid out of 1)")
    );
  });
  assert.equal((await replicasOf(namespace)).wanted, 2);
  await client.patch(
    autoscaling.horizontalpodautoscalers,
    { namespace, name: "web" },
    { type: "merge", body: { spec: { minReplicas: 3 } } },
  );
  await eventually("the minimum holds", async () => (await replicasOf(namespace)).wanted === 3);
  await condition(namespace, "AbleToScale", "SucceededRescale");
  await client.patch(apps.deployments, { namespace, name: "web" }, { type: "merge", body: { spec: { replicas: 0 } } });
  await condition(namespace, "ScalingActive", "ScalingDisabled");
  await client.delete(apps.deployments, { namespace, name: "web" });
  await condition(namespace, "AbleToScale", "FailedGetScale");
  const scaleTargetRef = { apiVersion: "shop.example.com/v1", kind: "Bar", name: "web" };
  await client.patch(
    autoscaling.horizontalpodautoscalers,
    { namespace, name: "web" },
    { type: "merge", body: { spec: { scaleTargetRef } } },
  );
  await eventually("the unknown kind is named", async () =>
    (await told(namespace)).some((line) => line.includes('no matches for kind "Bar" in group "shop.example.com"')),
  );
});

test("pods', objects' and external metrics count, the greatest wins", async () => {
  const namespace = await makeNamespace(client, "custom");
  await deploy(namespace, 2);
  const root = "/apis/custom.metrics.k8s.io";
  answers.set(root, {
    kind: "APIGroup",
    preferredVersion: { groupVersion: "custom.metrics.k8s.io/v1beta2", version: "v1beta2" },
  });
  const { items } = await client.list(core.pods, { namespace });
  const perPod = items.map(({ metadata }) => ({
    describedObject: { kind: "Pod", name: metadata.name },
    metric: { name: "qps" },
    value: "15",
    timestamp: rfc3339Seconds(Date.now()),
  }));
  answers.set(`${root}/v1beta2/namespaces/${namespace}/pods/*/qps`, { items: perPod });
  answers.set(`${root}/v1beta2/namespaces/${namespace}/services/front/hits`, { items: [{ value: "30" }] });
  answers.set(`/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/queue`, {
    items: [
      { metricName: "queue", value: "7" },
      { metricName: "queue", value: "5" },
    ],
  });
  const describedObject = { apiVersion: "v1", kind: "Service", name: "front" };
  await autoscale(namespace, {
    behavior: { scaleUp: { policies: [{ type: "Pods", value: 10, periodSeconds: 15 }] } },
    metrics: [
      { type: "Pods", pods: { metric: { name: "qps" }, target: { type: "AverageValue", averageValue: "10" } } },
      { type: "Object", object: { describedObject, metric: { name: "hits" }, target: { type: "Value", value: "20" } } },
      {
        type: "External",
        external: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "2" } },
      },
    ],
  });
  await eventually("six replicas for a queue of twelve", async () => (await replicasOf(namespace)).wanted === 6);
  await eventually("the event", async () =>
    (await told(namespace)).includes(
      "Normal SuccessfulRescale New size: 6; reason: external metric queue(nil) above target",
    ),
  );
  const { status } = await get(namespace);
  assert.deepEqual(
    status?.currentMetrics?.map(({ type }) => type),
    ["Pods", "Object", "External"],
  );
});
