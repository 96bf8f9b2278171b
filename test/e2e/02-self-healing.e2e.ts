/** What controllers promise: restarts, replacements, scaling, rollouts that lose no request. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { httpGet, isReady, knarr, nodeAddresses, podsIn, tryKnarr, waitForPods } from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

const namespace = "healing";
const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: ${namespace}}
spec:
  replicas: 3
  selector: {matchLabels: {app: app}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 15
      containers:
      - name: app
        image: knarr.local/web:1
        env: [{name: DRAIN_SECONDS, value: "6"}]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: ${namespace}}
spec:
  type: NodePort
  selector: {app: app}
  ports: [{port: 80, targetPort: 8080, nodePort: 30081}]
`;
let pods: Pod[] = [];

before(async () => {
  await knarr(["apply", "-f", "-"], { input: manifest });
  pods = await waitForPods(namespace, "app=app", 3, 240_000);
});
after(async () => {
  await knarr(["delete", "namespace", namespace, "--timeout", "240s"]);
});

test("a killed container is started again with restartCount 1", async () => {
  const name = pods[0]?.metadata.name ?? "";
  // PID 1 ignores signals it has no handler for; its child, the server, does not, and the shell ends with it.
  // The command may go down with the container before its exit code is told, so that is not looked at.
  await tryKnarr(["exec", "-n", namespace, name, "--", "sh", "-c", "kill -9 $(pidof httpd)"]);
  const pod = await eventually("the container restarted and ready", 240_000, async () => {
    const found = (await podsIn(namespace, "app=app")).find((p) => p.metadata.name === name);
    return found !== undefined && found.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(found)
      ? found
      : undefined;
  });
  assert.notEqual(pod.status?.containerStatuses?.[0]?.lastState?.terminated, undefined);
});

test("a deleted pod is replaced by another", async () => {
  const name = pods[1]?.metadata.name ?? "";
  await knarr(["delete", "pod", name, "-n", namespace, "--timeout", "240s"]);
  const now = await waitForPods(namespace, "app=app", 3);
  assert.ok(!now.some((pod) => pod.metadata.name === name));
});

test("scaling 3 -> 10 -> 2 reaches each size", async () => {
  assert.equal(
    await knarr(["scale", "deployment/app", "--replicas=10", "-n", namespace]),
    "deployment.apps/app scaled\n",
  );
  await waitForPods(namespace, "app=app", 10, 240_000);
  await knarr(["scale", "deployment", "app", "--replicas=2", "-n", namespace]);
  await waitForPods(namespace, "app=app", 2, 240_000);
});

test("a rolling update under a steady stream of requests loses none of them, and undo takes it back", async () => {
  await knarr(["scale", "deployment/app", "--replicas=3", "-n", namespace]);
  await waitForPods(namespace, "app=app", 3);
  const addresses = await nodeAddresses();
  const seen = new Set<string>();
  let sent = 0;
  let lost = 0;
  let running = true;
  const stream = Promise.all(
    addresses.map(async ({ ip }) => {
      while (running) {
        const answer = await httpGet(`http://${ip}:30081/`, 10_000);
        sent++;
        if (answer === undefined) lost++;
        else seen.add(answer.trim().split(" ").at(-1) ?? "");
      }
    }),
  );
  await knarr(["apply", "-f", "-"], { input: manifest.replace("knarr.local/web:1", "knarr.local/web:2") });
  await knarr(["rollout", "status", "deployment/app", "-n", namespace, "--timeout", "240s"]);
  await knarr(["rollout", "undo", "deployment/app", "-n", namespace]);
  await knarr(["rollout", "status", "deployment/app", "-n", namespace, "--timeout", "240s"]);
  running = false;
  await stream;
  assert.deepEqual([...seen].sort(), ["1", "2"]);
  assert.equal(lost, 0, `${lost} of ${sent} requests were lost`);
  const history = await knarr(["rollout", "history", "deployment/app", "-n", namespace]);
  assert.match(history, /REVISION[\s\S]*2[\s\S]*3/);
});
