/** One node with everything that a pod's start needs: etcd, API server, scheduler, containerd, kubelet; all processes. */
import { createReadStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { core } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { openRuntime } from "@knarr/cri/open-runtime.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { ChildDaemon, freePort } from "@knarr/testkit/child-daemon.ts";
import { removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startContainerd } from "@knarr/testkit/start-containerd.ts";
import { startEtcd } from "@knarr/testkit/start-etcd.ts";

const NODE = "node-1";
const main = (daemon: string) => fileURLToPath(new URL(`../../../packages/${daemon}/src/main.ts`, import.meta.url));

export interface RuntimeCall {
  readonly operation: string;
  readonly startMs: number;
  readonly endMs: number;
}

export interface BenchNode {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly kubeletPid: number;
  /** What the kubelet asked of the runtime since the last time, in epoch milliseconds. */
  runtimeCalls(): Promise<RuntimeCall[]>;
  stop(): Promise<void>;
}

function healthy(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request({ host: "127.0.0.1", port, path: "/healthz", timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    outgoing.once("error", () => resolve(false));
    outgoing.end();
  });
}

async function prepareNamespace(client: Client, api: TestApiserver): Promise<void> {
  const metadata = { name: "default", namespace: "default" };
  await client.create(core.serviceaccounts, { metadata }).catch(() => undefined); // there already
  await client.create(core.configmaps, {
    metadata: { name: "kube-root-ca.crt", namespace: "default" },
    data: { "ca.crt": api.pki.caCert },
  });
}

/** `traced`: the kubelet tells of every runtime call, which costs it a little. */
export async function startBenchNode(options: { readonly traced: boolean }): Promise<BenchNode> {
  const cgroupRoot = `/knarr-bench-${process.pid}`;
  const etcd = await startEtcd();
  const [api, containerd] = await Promise.all([startApiserver({ etcd }), startContainerd({ subnet: "10.88.0.0/20" })]);
  const client = new Client(api.admin);
  await prepareNamespace(client, api);
  const scheduler = await startScheduler(api);
  const directory = join(containerd.directory, "node");
  const log = join(directory, "kubelet.log");
  await mkdir(directory, { recursive: true });
  await writeFile(log, "");
  const kubelet = await startKubelet({ api, directory, endpoint: containerd.endpoint, cgroupRoot, log, ...options });
  await untilReady(client);
  let read = 0;
  return {
    client,
    runtime: await openRuntime(containerd.endpoint),
    // The shell replaced itself by the kubelet.
    kubeletPid: kubelet.pid,
    runtimeCalls: async () => {
      const calls: RuntimeCall[] = [];
      let line = 0;
      for await (const text of createInterface({ input: createReadStream(log) })) {
        if (line++ < read || !text.includes('"runtime call"')) continue;
        const { time, operation, ms } = JSON.parse(text) as { time: string; operation: string; ms: number };
        calls.push({ operation, startMs: Date.parse(time) - ms, endMs: Date.parse(time) });
      }
      read = line;
      return calls;
    },
    stop: async () => {
      await kubelet.stop();
      await scheduler.stop();
      await api.stop();
      await etcd.stop();
      client.close();
      await containerd.stop();
      await removeCgroups(cgroupRoot);
    },
  };
}

async function startScheduler(api: TestApiserver): Promise<ChildDaemon> {
  const { kubeconfig } = await api.user("system:kube-scheduler");
  const args = [main("scheduler"), `--kubeconfig=${kubeconfig}`, "--leader-elect=false", "--secure-port=0"];
  return await ChildDaemon.start({ command: process.execPath, args, ready: async () => true });
}

interface KubeletOptions {
  readonly api: TestApiserver;
  readonly directory: string;
  readonly endpoint: string;
  readonly cgroupRoot: string;
  readonly log: string;
  readonly traced: boolean;
}

async function startKubelet(options: KubeletOptions): Promise<ChildDaemon> {
  const { api, directory, log } = options;
  const { kubeconfig } = await api.user(`system:node:${NODE}`, ["system:nodes"]);
  const [port, healthzPort] = [await freePort(), await freePort()];
  const args = [
    main("kubelet"),
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${NODE}`,
    "--node-ip=127.0.0.1",
    `--container-runtime-endpoint=${options.endpoint}`,
    `--root-dir=${join(directory, "kubelet")}`,
    `--pod-log-dir=${join(directory, "logs")}`,
    `--cgroup-root=${options.cgroupRoot}`,
    `--client-ca-file=${api.pki.path("ca.crt")}`,
    `--port=${port}`,
    `--healthz-port=${healthzPort}`,
    "--cluster-dns=10.96.0.10",
    "--cluster-domain=cluster.local",
    "--eviction-hard=memory.available<1Mi",
    `--v=${options.traced ? 5 : 0}`,
  ];
  return await ChildDaemon.start({
    command: "/bin/sh",
    args: ["-c", 'log=$1; shift; exec "$@" 2>"$log"', "sh", log, process.execPath, ...args],
    ready: () => healthy(healthzPort),
  });
}

async function untilReady(client: Client): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const node = await client.get(core.nodes, { namespace: "", name: NODE }).catch(() => undefined); // not there yet
    if (node?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true) return;
    if (Date.now() > deadline) throw new Error(`the node did not become ready: ${JSON.stringify(node?.status)}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}
