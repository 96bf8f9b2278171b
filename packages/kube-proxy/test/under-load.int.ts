/**
 * Connections go on being made, one every few milliseconds, while the proxy is killed, while endpoints come and go and
 * while Pods are replaced one by one: each of them must reach an endpoint that is ready. Needs root.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { core, discovery } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { endpointOn, net, podPort } from "../src/testing/flow-table.ts";
import { FlowNetwork } from "./flow-network.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const metrics = "http://127.0.0.1:10249/metrics";
type Pod = "podA" | "podB" | "remote";

if (await isolatedTest(import.meta)) {
  const network = await FlowNetwork.create();
  after(() => network.stop());
  for (const mode of ["nftables", "iptables"] as const) describe(mode, () => describeUnderLoad(mode, network));
}

function describeUnderLoad(mode: "nftables" | "iptables", network: FlowNetwork): void {
  let etcd: TestEtcd;
  let api: TestApiserver;
  let client: Client;
  let proxy: ChildDaemon;
  let kubeconfig = "";
  let clusterIp = "";
  let nodePort = 0;

  const start = (as: string = mode) =>
    ChildDaemon.start({
      command: process.execPath,
      args: [
        main,
        `--kubeconfig=${kubeconfig}`,
        "--hostname-override=node-1",
        `--cluster-cidr=${net.podPrefix}`,
        `--proxy-mode=${as}`,
      ],
      ready: () =>
        fetch(metrics).then(
          async (answer) => /sync_full_proxy_rules_duration_seconds_count\{.*IPv4"\} [1-9]/.test(await answer.text()),
          () => false,
        ),
    });
  const key = { namespace: "default", name: "web-1" };
  const putEndpoints = async (endpoints: ReturnType<typeof endpointOn>[]) => {
    const slice = await client.get(discovery.endpointslices, key);
    await client.update(discovery.endpointslices, { ...slice, endpoints });
  };
  const on = (...pods: Pod[]) => pods.map((pod) => endpointOn(pod));

  before(async () => {
    etcd = await startEtcd();
    api = await startApiserver({ etcd });
    client = new Client(api.admin);
    const node = await client.create(core.nodes, { metadata: { name: "node-1" } });
    const addresses = [{ type: "InternalIP", address: net.node }];
    await client.update(core.nodes, { ...node, status: { ...node.status, addresses } }, { subresource: "status" });
    const service = await client.create(core.services, {
      metadata: { namespace: "default", name: "web" },
      spec: { type: "NodePort", ports: [{ name: "http", port: 80, targetPort: podPort }] },
    });
    clusterIp = service.spec?.clusterIP ?? "";
    nodePort = service.spec?.ports?.[0]?.nodePort ?? 0;
    await client.create(discovery.endpointslices, {
      metadata: { ...key, labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      ports: [{ name: "http", port: podPort, protocol: "TCP" }],
      endpoints: on("podA", "podB", "remote"),
    });
    kubeconfig = (await api.user("system:kube-proxy")).kubeconfig;
    proxy = await start();
  });
  after(async () => {
    await proxy?.stop();
    await api?.stop();
    await etcd?.stop();
  });

  /** Connects through cluster IP and node port until `work` is done; `judge` is asked before each for what judges its answer. */
  async function underLoad(
    work: () => Promise<void>,
    judge: () => (pod: string) => string | undefined = () => () => undefined,
  ): Promise<void> {
    let done = false;
    let count = 0;
    const failures: string[] = [];
    const lane = async (from: "podA" | "outside", to: string) => {
      while (!done) {
        // What was begun before something changed may still be answered as before, however late: judged by then.
        const check = judge();
        const { answer, error } = await network.probe(from, to, "tcp", 20_000);
        count++;
        const problem = answer === undefined ? `${from} -> ${to}: ${error}` : check(answer.split(" ")[0] ?? "");
        if (problem !== undefined) failures.push(problem);
        await sleep(4);
      }
    };
    const lanes = [
      lane("podA", `${clusterIp}:80`),
      lane("podA", `${clusterIp}:80`),
      lane("outside", `${net.node}:${nodePort}`),
      lane("outside", `${net.node}:${nodePort}`),
    ];
    try {
      await work();
    } finally {
      done = true;
      await Promise.all(lanes);
    }
    assert.deepEqual(failures.slice(0, 5), []);
    assert.ok(count >= lanes.length, `${count} connections were made`);
  }

  test("killed and started again, the proxy costs no connection", async () => {
    await underLoad(async () => {
      for (let i = 0; i < 2; i++) {
        await proxy.kill();
        await sleep(200);
        proxy = await start();
      }
    });
  });

  test("a change to the other mode and back costs no connection", async () => {
    await underLoad(async () => {
      for (const as of [mode === "nftables" ? "iptables" : "nftables", mode]) {
        await proxy.stop();
        proxy = await start(as);
        await sleep(500);
      }
    });
  });

  test("endpoints that change seventeen times a second cost no connection to those that are ready", async () => {
    const turns: readonly (readonly Pod[])[] = [
      ["podA", "podB"],
      ["podB"],
      ["podB", "remote"],
      ["podB", "podA", "remote"],
    ];
    await underLoad(async () => {
      for (let i = 0; i < 100; i++) {
        await putEndpoints(on(...(turns[i % turns.length] ?? [])));
        await sleep(60);
      }
    });
    await putEndpoints(on("podA", "podB", "remote"));
  });

  test("a rolling update sends nothing to a Pod once its rules had time to go", async () => {
    const pods: readonly Pod[] = ["podA", "podB", "remote"];
    const gone = new Set<string>();
    await underLoad(
      async () => {
        for (const leaving of pods) {
          const state = { conditions: { ready: false, serving: true, terminating: true } };
          await putEndpoints(pods.map((pod) => endpointOn(pod, pod === leaving ? state : {})));
          // As a Pod's preStop does: it goes on serving until everyone knows. Here it "ends" once the rules say so.
          await eventuallyWithout(leaving);
          gone.add(leaving);
          await sleep(300);
          gone.delete(leaving);
          await putEndpoints(on(...pods));
          await sleep(100);
        }
      },
      () => {
        const left = new Set(gone);
        return (pod) => (left.has(pod) ? `${pod} was asked after it had left` : undefined);
      },
    );

    /** What was begun before the change may still be answered, so a second of other answers is waited for. */
    async function eventuallyWithout(leaving: Pod): Promise<void> {
      const deadline = Date.now() + 60_000;
      for (let clean = 0; clean < 30; ) {
        assert.ok(Date.now() < deadline, `${leaving} still answers`);
        const { answer } = await network.probe("outside", `${clusterIp}:80`, "tcp", 5000);
        clean = answer?.startsWith(`${leaving} `) === true ? 0 : clean + 1;
      }
    }
  });

  test("cut off from the API server the proxy keeps its rules, and catches up later", async () => {
    await underLoad(async () => {
      await api.kill();
      await sleep(1000);
      await api.restart();
    });
    await putEndpoints(on("podB"));
    const deadline = Date.now() + 60_000;
    for (let same = 0; same < 10; ) {
      assert.ok(Date.now() < deadline, "only podB answers");
      const { answer } = await network.probe("outside", `${clusterIp}:80`, "tcp", 5000);
      same = answer?.startsWith("podB ") === true ? same + 1 : 0;
    }
  });

  test("an open connection to an endpoint that is being drained goes on", async () => {
    const echo = `require("node:net").createServer((s) => s.on("error", () => {}).pipe(s)).listen(9090, () => console.log("up"))`;
    const server = spawn("ip", ["netns", "exec", "pod-b", process.execPath, "-e", echo], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(server.stdout, "data");
    const name = `drained-${mode}`;
    const { spec } = await client.create(core.services, {
      metadata: { namespace: "default", name },
      spec: { ports: [{ name: "http", port: 80, targetPort: 9090 }] },
    });
    const slice = await client.create(discovery.endpointslices, {
      metadata: { namespace: "default", name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ name: "http", port: 9090, protocol: "TCP" }],
      endpoints: on("podB"),
    });
    const open = () =>
      new Promise<Socket>((resolve, reject) => {
        // What is sent before the rules stand is never translated, however often it is repeated.
        const socket = connect({ host: spec?.clusterIP ?? "", port: 80, timeout: 500 });
        socket.on("timeout", () => socket.connecting && socket.destroy(new Error("timeout")));
        socket.on("error", reject).on("connect", () => resolve(socket));
      });
    const until = async (what: string, check: () => Promise<boolean>) => {
      const deadline = Date.now() + 60_000;
      while (!(await check())) {
        assert.ok(Date.now() < deadline, what);
        await sleep(50);
      }
    };
    let socket: Socket | undefined;
    await until("it answers", async () => {
      socket = await open().catch(() => undefined); // The rules are not there yet.
      return socket !== undefined;
    });
    assert.ok(socket !== undefined);
    socket.write("before");
    assert.equal(String((await once(socket, "data"))[0]), "before");
    await client.update(discovery.endpointslices, { ...slice, endpoints: [] });
    await until("new connections are refused", () =>
      open().then(
        (other) => {
          other.destroy();
          return false;
        },
        (error: NodeJS.ErrnoException) => error.code === "ECONNREFUSED",
      ),
    );
    socket.write("after");
    assert.equal(String((await once(socket, "data"))[0]), "after");
    socket.destroy();
    server.kill();
  });
}
