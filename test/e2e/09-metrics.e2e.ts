/** What nodes and pods use, and what follows from it: kubectl top, and an autoscaler under real load. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { HorizontalPodAutoscaler } from "@knarr/api/generated/types/autoscaling-v2.ts";
import { getJson, isReady, knarr, kubectl, kubectls, podsIn, tryKubectl, waitForPods } from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

const NAMESPACE = "load";

const MANIFEST = `
apiVersion: v1
kind: Namespace
metadata: {name: ${NAMESPACE}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: burn, namespace: ${NAMESPACE}}
spec:
  replicas: 1
  selector: {matchLabels: {app: burn}}
  template:
    metadata: {labels: {app: burn}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: burn
        image: knarr.local/web:1
        command: [sh, -c, "while :; do :; done"]
        resources: {requests: {cpu: 50m, memory: 8Mi}, limits: {cpu: 150m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: burn, namespace: ${NAMESPACE}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: burn}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}
`;

before(async () => {
  await knarr(["apply", "-f", "-"], { input: MANIFEST });
  await waitForPods(NAMESPACE, "app=burn", 1);
});
after(async () => {
  await knarr(["delete", "namespace", NAMESPACE, "--timeout", "240s"]);
});

for (const { version, path } of kubectls()) {
  test(`kubectl ${version} top shows both nodes and the busy pod`, async () => {
    const nodes = await eventually("figures of both nodes", 240_000, async () => {
      const { code, stdout } = await tryKubectl(path, ["top", "nodes", "--no-headers"]);
      return code === 0 && stdout.trim().split("\n").length === 2 ? stdout : undefined;
    });
    assert.match(nodes, /^node-1 +\d+m +\d+% +\d+Mi +\d+% *\nnode-2 +\d+m +\d+% +\d+Mi +\d+% *\n$/);
    await eventually("figures of the busy pod", 240_000, async () => {
      const { code, stdout } = await tryKubectl(path, ["top", "pods", "-n", NAMESPACE, "--containers", "--no-headers"]);
      const milli = /^burn-\S+ +burn +(\d+)m +\d+Mi *$/m.exec(stdout)?.[1];
      return code === 0 && Number(milli) >= 25 ? milli : undefined;
    });
    assert.match(await kubectl(path, ["get", "podmetrics", "-n", NAMESPACE]), /^NAME +CPU +MEMORY +WINDOW\nburn-/);
  });
}

const KUBELET_PATHS: readonly { path: string; want: RegExp }[] = [
  { path: "metrics/resource", want: /^pod_cpu_usage_seconds_total\{namespace="load",pod="burn-/m },
  { path: "metrics/cadvisor", want: /^container_cpu_usage_seconds_total\{container="burn",cpu="total",/m },
  { path: "metrics/probes", want: /^process_start_time_seconds /m },
  { path: "stats/summary", want: /"podRef":\{"name":"burn-/ },
  { path: "configz", want: /^\{"kubeletconfig":\{/ },
  { path: "pods", want: /"kind":"PodList"/ },
  { path: "logs/", want: /<pre>/ },
];
for (const { path, want } of KUBELET_PATHS) {
  test(`the kubelet's ${path} is reached through the API server`, async () => {
    // The autoscaler may just be making more of them, which nobody has measured yet.
    const pod = await eventually("a ready pod", 240_000, async () =>
      (await podsIn(NAMESPACE, "app=burn")).find(isReady),
    );
    const url = `/api/v1/nodes/${pod.spec?.nodeName}/proxy/${path}`;
    const newest = kubectls().at(-1)?.path ?? "";
    let text = "";
    await eventually(
      `${url} says it`,
      240_000,
      async () => {
        text = await kubectl(newest, ["get", "--raw", url]);
        return want.test(text) ? text : undefined;
      },
      () => text.slice(0, 2000),
    );
  });
}

test("an autoscaler scales a Deployment up under real load", async () => {
  await waitForPods(NAMESPACE, "app=burn", 3, 180_000);
  const hpa = await getJson<HorizontalPodAutoscaler>(["hpa", "burn", "-n", NAMESPACE]);
  const condition = (type: string) => hpa.status?.conditions?.find((one) => one.type === type);
  assert.equal(condition("ScalingActive")?.reason, "ValidMetricFound");
  assert.equal(condition("AbleToScale")?.status, "True");
  assert.ok((hpa.status?.desiredReplicas ?? 0) === 3);
  const [metric] = hpa.status?.currentMetrics ?? [];
  assert.ok((metric?.resource?.current.averageUtilization ?? 0) > 50, JSON.stringify(metric));
  const events = await knarr(["get", "events", "-n", NAMESPACE]);
  assert.match(
    events,
    /SuccessfulRescale .*New size: \d; reason: cpu resource utilization \(percentage of request\) above target/,
  );
  assert.equal((await podsIn(NAMESPACE, "app=burn")).length, 3);
});
