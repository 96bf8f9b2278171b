/** The node: its readiness, who may ask the kubelet, static pods and their mirrors, log rotation, the API server away, leftovers. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { NODE, PATIENCE_MS, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const run = promisify(execFile);

async function until(what: string, probe: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
    if (await probe()) return;
    await sleep(50);
  }
  assert.fail(`never happened: ${what}`);
}

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({
      args: ["--container-log-max-size=20k", "--node-labels=rack=7", "--register-with-taints=dedicated=x:NoSchedule"],
    });
  });
  after(async () => {
    await node.stop();
  });

  const nodeObject = () => node.client.get(core.nodes, { namespace: "", name: NODE });
  const ready = async () => (await nodeObject()).status?.conditions?.find((c) => c.type === "Ready");

  test("the node is not Ready, with upstream's words, until its network is configured; pods wait", async () => {
    await until("the node is registered", async () => (await ready().catch(() => undefined)) !== undefined);
    const condition = await ready();
    assert.deepEqual([condition?.status, condition?.reason], ["False", "KubeletNotReady"]);
    assert.match(
      condition?.message ?? "",
      /^container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady/,
    );
    await node.create("early", { containers: [shell("main", WAIT)] });
    assert.match(
      (await node.untilEvent("early", "NetworkNotReady")).message ?? "",
      /^network is not ready: container runtime network not ready/,
    );
    await node.containerd.writeNetwork("10.88.12.0/24");
    await until("the node is Ready", async () => (await ready())?.status === "True");
    await node.ready("early");
    await node.remove("early");
    const { metadata, spec, status } = await nodeObject();
    assert.equal(metadata.labels?.rack, "7");
    for (const reason of ["Starting", "NodeHasSufficientMemory", "NodeReady"]) await node.untilEvent(NODE, reason);
    // Told with the registration, and not again by the first report.
    assert.equal((await node.events(NODE)).find((e) => e.reason === "NodeHasSufficientMemory")?.count, 1);
    assert.ok(spec?.taints?.some((t) => t.key === "dedicated" && t.value === "x"));
    assert.equal(status?.daemonEndpoints?.kubeletEndpoint?.Port, node.kubelet.port);
    assert.deepEqual(status?.conditions?.map((c) => c.type).toSorted(), [
      "DiskPressure",
      "MemoryPressure",
      "PIDPressure",
      "Ready",
    ]);
  });

  test("what others set on the node's status stays", async () => {
    const key = { namespace: "", name: NODE };
    const body = { status: { capacity: { "example.com/thing": "3" } } };
    await node.client.patch(core.nodes, key, { type: "merge", body }, { subresource: "status" });
    await node.kubelet.restart();
    await sleep(500);
    assert.equal((await nodeObject()).status?.capacity?.["example.com/thing"], "3");
  });

  const ask = (path: string, options: object = {}): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        { host: "127.0.0.1", port: node.kubelet.port, path, rejectUnauthorized: false, agent: false, ...options },
        (response) => {
          let text = "";
          response.on("data", (part: Buffer) => {
            text += part.toString();
          });
          response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
        },
      );
      outgoing.once("error", reject);
      outgoing.end();
    });

  test("the kubelet answers those whom the API server lets: certificate, token, nobody else", async () => {
    assert.deepEqual(await ask("/pods"), { status: 401, text: "Unauthorized" });
    const stranger = await node.api.user("stranger");
    const asStranger = await ask("/pods", { cert: stranger.cert, key: stranger.key });
    assert.equal(asStranger.status, 403);
    assert.match(
      asStranger.text,
      /^Forbidden \(user=stranger, verb=get, resource=nodes, subresource\(s\)=\[pods proxy\]\)/,
    );
    const { cert, key } = node.api.admin;
    assert.equal((await ask("/healthz", { cert, key })).text, "ok");
    assert.match((await ask("/metrics/resource", { cert, key })).text, /node_cpu_usage_seconds_total \d/);
    assert.equal(JSON.parse((await ask("/stats/summary", { cert, key })).text).node.nodeName, NODE);
    assert.equal(JSON.parse((await ask("/configz", { cert, key })).text).kubeletconfig.maxPods, 110);
    const client = new Client(node.api.admin);
    const token = await client.createSubresource<{ status: { token: string } }>(
      core.serviceaccounts,
      { namespace: "default", name: "default" },
      "token",
      { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", metadata: {}, spec: { audiences: [] } },
    );
    client.close();
    const headers = { authorization: `Bearer ${token.status.token}` };
    assert.match((await ask("/pods", { headers })).text, /^Forbidden \(user=system:serviceaccount:default:default/);
    assert.equal((await ask("/pods", { headers: { authorization: "Bearer nonsense" } })).status, 401);
  });

  test("a static pod has a mirror with its status, which comes back when deleted and goes with the manifest", async () => {
    const path = join(node.kubelet.manifests, "s.yaml");
    const manifest = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "s" },
      spec: { terminationGracePeriodSeconds: 1, containers: [shell("main", WAIT)] },
    };
    await writeFile(path, JSON.stringify(manifest));
    const name = `s-${NODE}`;
    await until("the mirror exists", async () => (await node.get(name).catch(() => undefined)) !== undefined);
    const mirror = await node.ready(name);
    assert.equal(mirror.metadata.ownerReferences?.[0]?.kind, "Node");
    const id = statusOf(mirror, "main").containerID;
    await node.client.delete(core.pods, { namespace: "default", name }, { gracePeriodSeconds: 0 });
    await until("the mirror is back", async () => {
      const now = await node.get(name).catch(() => undefined);
      return now !== undefined && now.metadata.uid !== mirror.metadata.uid;
    });
    assert.equal(statusOf(await node.ready(name), "main").containerID, id);
    await rm(path);
    await node.gone(name);
  });

  test("kubectl forwards a port and follows a log", async () => {
    await node.create("web", { containers: [{ name: "main", image: "knarr.local/web:1" }] });
    await node.ready("web");
    const env = { ...process.env, KUBECONFIG: node.api.kubeconfig };
    const forward = spawn("kubectl", ["port-forward", "pod/web", "18080:8080"], { env });
    await new Promise<void>((resolve) => forward.stdout.once("data", () => resolve()));
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(18080, "127.0.0.1", () => socket.write("GET / HTTP/1.0\r\n\r\n"));
      let text = "";
      socket.on("data", (part) => {
        text += part.toString();
        if (text.includes("version")) resolve(text);
      });
      socket.once("error", reject);
    });
    assert.match(answer, /web version 1/);
    forward.kill();
    await node.remove("web");
    await node.create("ticker", {
      containers: [shell("main", "for i in 1 2 3; do echo tick $i; sleep 0.3; done")],
      restartPolicy: "Never",
    });
    await node.until("ticker", "runs", (p) => statusOf(p, "main").state?.waiting === undefined);
    assert.equal(await node.kubectl("logs", "-f", "ticker"), "tick 1\ntick 2\ntick 3\n");
    const links = join(node.kubelet.directory, "containers");
    await until("its log is linked as log collectors look for it", async () => {
      const names = await readdir(links).catch(() => [] as string[]);
      const name = names.find((n) => /^ticker_default_.*-[0-9a-f]{64}\.log$/.test(n));
      return name !== undefined && (await readFile(join(links, name), "utf8")).includes("tick 1");
    });
    await node.remove("ticker");
  });

  test("a long log is rotated, and following it loses nothing", async () => {
    // It writes once it is followed: what was rotated away before is not the follower's.
    const script =
      "echo up; until test -e /go; do sleep 0.1; done; i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); [ $((i % 200)) = 0 ] && sleep 0.05; done; echo end; sleep 1000";
    await node.create("chatty", { containers: [shell("main", script)] });
    await node.until("chatty", "runs", (p) => statusOf(p, "main").ready);
    const env = { ...process.env, KUBECONFIG: node.api.kubeconfig };
    const follower = spawn("kubectl", ["logs", "-f", "chatty"], { env });
    let stdout = "";
    for await (const part of follower.stdout) {
      if (stdout === "") await node.exec("chatty", "touch", "/go");
      stdout += String(part);
      if (stdout.endsWith("\nend\n")) break;
    }
    follower.kill();
    const lines = stdout.trim().split("\n");
    assert.deepEqual(lines, ["up", ...Array.from({ length: 60_000 }, (_, i) => `line ${i}`), "end"]);
    const folder = join(
      node.kubelet.logDir,
      (await readdir(node.kubelet.logDir)).find((n) => n.includes("_chatty_")) ?? "",
      "main",
    );
    assert.ok((await readdir(folder)).length > 1);
    await node.remove("chatty");
  });

  test("with the API server away pods go on, and their statuses follow when it is back", async () => {
    await node.create("lonely", { containers: [shell("main", "sleep 2; exit 1")] });
    await node.ready("lonely");
    await node.api.kill();
    await sleep(4000);
    await node.api.restart();
    const pod = await node.until("lonely", "restarted", (p) => statusOf(p, "main").restartCount >= 1);
    assert.equal(statusOf(pod, "main").lastState?.terminated?.exitCode, 1);
    await node.remove("lonely");
  });

  test("thirty pods made and deleted leave no mount, namespace, cgroup, link, folder or process", async () => {
    const mounts = async () => (await readFile("/proc/self/mountinfo", "utf8")).split("\n").length;
    const links = async () =>
      (await run("ip", ["-o", "link"])).stdout.split("\n").filter((l) => l.includes("veth")).length;
    // Of the pods before: mounts go a moment after the sandbox, and the folder last.
    const nothingLeft = async () => {
      await until("no sandbox is left", async () => (await node.runtime.listSandboxes()).length === 0);
      await until("no folder is left", async () => (await readdir(join(node.kubelet.rootDir, "pods"))).length === 0);
    };
    await nothingLeft();
    const before = { mounts: await mounts(), links: await links() };
    for (let round = 0; round < 3; round++) {
      const names = Array.from({ length: 10 }, (_, i) => `churn-${round}-${i}`);
      for (const name of names) await node.create(name, { containers: [shell("main", WAIT)] });
      for (const name of names) await node.ready(name);
      await Promise.all(names.map((name) => node.remove(name)));
    }
    await nothingLeft();
    await until("no mount is left", async () => (await mounts()) <= before.mounts);
    await until("no link is left", async () => (await links()) <= before.links);
    const groups = ["/sys/fs/cgroup", "-type", "d", "-path", `*${node.cgroupRoot}/*`, "-name", "pod*-*"];
    // find fails when a group, anybody's, goes while it looks.
    await until("no cgroup is left", async () =>
      run("find", groups).then(
        ({ stdout }) => stdout === "",
        () => false,
      ),
    );
  });
}
