/** The first example, and the whole way of a request: CLI -> API -> controllers -> scheduler -> kubelet -> proxy -> DNS. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { getJson, httpGet, knarr, nodeAddresses, tryKnarr, waitForPods } from "./lib/cluster.ts";
import { eventually } from "./lib/run.ts";

let pods: Pod[] = [];

before(async () => {
  const output = await knarr(["apply", "-f", "examples/web.yaml"]);
  assert.match(
    output,
    /^namespace\/web created\nconfigmap\/web created\ndeployment.apps\/web created\nservice\/web created\n$/,
  );
  assert.match(
    await knarr(["rollout", "status", "deployment/web", "-n", "web", "--timeout", "240s"]),
    /successfully rolled out/,
  );
  pods = await waitForPods("web", "app=web", 3);
});
after(async () => {
  await knarr(["delete", "namespace", "web", "--timeout", "240s"]);
});

const execIn = (pod: Pod, ...command: string[]) =>
  knarr(["exec", "-n", "web", pod.metadata.name ?? "", "--", ...command]);

test("the example's pods run on both nodes with an address each", () => {
  assert.deepEqual(new Set(pods.map((pod) => pod.spec?.nodeName)), new Set(["node-1", "node-2"]));
  assert.equal(new Set(pods.map((pod) => pod.status?.podIP)).size, 3);
});

test("knarr apply says unchanged when nothing changed", async () => {
  assert.match(await knarr(["apply", "-f", "examples/web.yaml"]), /deployment.apps\/web unchanged/);
});

test("a pod on node-1 reaches the Service by its DNS names when asked from inside", async () => {
  const from = pods.find((pod) => pod.spec?.nodeName === "node-1");
  assert.ok(from);
  for (const name of ["web", "web.web", "web.web.svc.cluster.local"]) {
    assert.match(await execIn(from, "timeout", "30", "wget", "-qO-", `http://${name}/`), /version 1/, name);
  }
});

test("a pod on node-1 reaches the Service's ClusterIP and a pod on node-2", async () => {
  const from = pods.find((pod) => pod.spec?.nodeName === "node-1");
  const to = pods.find((pod) => pod.spec?.nodeName === "node-2");
  assert.ok(from && to);
  const { spec } = await getJson<{ spec: { clusterIP: string } }>(["service", "web", "-n", "web"]);
  assert.match(await execIn(from, "timeout", "30", "wget", "-qO-", `http://${spec.clusterIP}/`), /version 1/);
  const answer = await execIn(from, "timeout", "30", "wget", "-qO-", `http://${to.status?.podIP}:8080/`);
  assert.match(answer, new RegExp(`^${to.metadata.name} version 1`));
});

test("a pod reaches itself through its Service (hairpin) when it is chosen", async () => {
  const [from] = pods;
  assert.ok(from);
  const seen = await eventually("an answer from the pod itself", 240_000, async () => {
    const answer = await execIn(from, "timeout", "30", "wget", "-qO-", "http://web/");
    return answer.startsWith(`${from.metadata.name} `) ? answer : undefined;
  });
  assert.ok(seen);
});

test("the NodePort answers on each node from outside the nodes, from every pod", async () => {
  for (const { ip } of await nodeAddresses()) {
    const answers = new Set<string>();
    for (let i = 0; i < 60 && answers.size < 3; i++) {
      const text = await httpGet(`http://${ip}:30080/`);
      assert.ok(text !== undefined, `no answer from ${ip}:30080`);
      answers.add(text);
    }
    assert.equal(answers.size, 3, `pods that answered on ${ip}: ${[...answers].join()}`);
  }
});

test("DNS answers SRV for a named port, NXDOMAIN for what is not there, and the API server's own name", async () => {
  const [from] = pods;
  assert.ok(from);
  assert.match(
    await execIn(from, "nslookup", "-type=srv", "_http._tcp.web.web.svc.cluster.local"),
    /web\.web\.svc\.cluster\.local/,
  );
  assert.match(await execIn(from, "nslookup", "kubernetes.default.svc.cluster.local"), /10\.96\.0\.1/);
  const missing = await tryKnarr([
    "exec",
    "-n",
    "web",
    from.metadata.name ?? "",
    "--",
    "nslookup",
    "nope.web.svc.cluster.local",
  ]);
  assert.notEqual(missing.code, 0);
  assert.match(missing.stdout + missing.stderr, /NXDOMAIN|can't find/);
});

test("a ConfigMap's value arrives in the environment, a ServiceAccount token in the file system", async () => {
  const [from] = pods;
  assert.ok(from);
  assert.match(await execIn(from, "env"), /GREETING=hello from a ConfigMap/);
  const token = await execIn(from, "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token");
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
    sub: string;
    "kubernetes.io": { pod: { uid: string } };
  };
  assert.equal(claims.sub, "system:serviceaccount:web:default");
  assert.equal(claims["kubernetes.io"].pod.uid, from.metadata.uid);
});

test("knarr get, describe, logs and exec show the running pods", async () => {
  const [pod] = pods;
  const name = pod?.metadata.name ?? "";
  assert.match(await knarr(["get", "pods", "-n", "web"]), /^NAME +READY +STATUS +RESTARTS +AGE\n/);
  assert.match(
    await knarr(["get", "deploy,svc", "-n", "web"]),
    /deployment.apps\/web +3\/3[\s\S]*service\/web +NodePort/,
  );
  assert.match(await knarr(["get", "pods", "-A", "-o", "wide"]), /NAMESPACE[\s\S]*node-2/);
  assert.match(await knarr(["describe", "pod", name, "-n", "web"]), /Normal +Scheduled[\s\S]*Started/);
  assert.match(
    await knarr(["describe", "deployment", "web", "-n", "web"]),
    /3 desired \| 3 updated \| 3 total \| 3 available/,
  );
  assert.equal((await tryKnarr(["logs", name, "-n", "web"])).code, 0);
  const failing = await tryKnarr(["exec", name, "-n", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
  assert.deepEqual([failing.code, failing.stdout], [7, "out\n"]);
  assert.match(failing.stderr, /^err\n/);
  assert.equal(await knarr(["exec", "-i", name, "-n", "web", "--", "wc", "-c"], { input: "12345" }), "5\n");
});
