/** A node that loses power: NotReady, its pods evicted and replaced, and Ready again when it returns. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { getJson, knarr, podsIn, waitForPods } from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

const namespace = "nodeloss";
const toleration = (key: string) =>
  `{key: node.kubernetes.io/${key}, operator: Exists, effect: NoExecute, tolerationSeconds: 5}`;
const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: ${namespace}}
spec:
  replicas: 4
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [${toleration("unreachable")}, ${toleration("not-ready")}]
      containers:
      - {name: app, image: "knarr.local/web:1", readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}}
`;

const readyOf = (node: Node) => node.status?.conditions?.find((condition) => condition.type === "Ready");
const nodeTwo = () => getJson<Node>(["node", "node-2"]);

before(async () => {
  await knarr(["apply", "-f", "-"], { input: manifest });
  const pods = await waitForPods(namespace, "app=app", 4, 240_000);
  assert.ok(pods.some((pod) => pod.spec?.nodeName === "node-2"));
});
after(async () => {
  await knarr(["node", "start", "node-2"]);
  await eventually("node-2 is Ready", 240_000, async () =>
    readyOf(await nodeTwo())?.status === "True" ? true : undefined,
  );
  await knarr(["delete", "namespace", namespace, "--timeout", "240s"]);
});

test("a node that stops is NotReady after about 40 s, and its pods are replaced on the other node", async () => {
  await knarr(["node", "stop", "node-2"]);
  const stopped = performance.now();
  const node = await eventually("node-2 is NotReady", 240_000, async () => {
    const found = await nodeTwo();
    return readyOf(found)?.status === "True" ? undefined : found;
  });
  const seconds = (performance.now() - stopped) / 1000;
  assert.equal(readyOf(node)?.status, "Unknown");
  assert.equal(readyOf(node)?.reason, "NodeStatusUnknown");
  assert.ok(seconds > 20, `already NotReady after ${seconds} s: a heartbeat that is late is no lost node`);
  await eventually("the unreachable taints", 240_000, async () => {
    const effects = (await nodeTwo()).spec?.taints
      ?.filter((t) => t.key === "node.kubernetes.io/unreachable")
      .map((t) => t.effect);
    return effects?.includes("NoExecute") && effects.includes("NoSchedule") ? true : undefined;
  });
  const pods = await eventually(
    "4 ready pods on node-1",
    240_000,
    async () => {
      const ready = (await podsIn(namespace, "app=app")).filter(
        (pod) =>
          pod.metadata.deletionTimestamp === undefined &&
          pod.spec?.nodeName === "node-1" &&
          pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
      );
      return ready.length === 4 ? ready : undefined;
    },
    () => knarr(["get", "pods", "-n", namespace, "-o", "wide"]),
  );
  assert.equal(pods.length, 4);
});

test("the node is Ready again when it returns, without taints, and what was evicted from it is gone", async () => {
  await knarr(["node", "start", "node-2"]);
  await eventually("node-2 is Ready", 240_000, async () =>
    readyOf(await nodeTwo())?.status === "True" ? true : undefined,
  );
  await eventually("no taints", 240_000, async () => ((await nodeTwo()).spec?.taints === undefined ? true : undefined));
  await waitForPods(namespace, "app=app", 4, 240_000);
});
