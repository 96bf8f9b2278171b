/** A real API server over a real etcd, schedulers as child processes, and simulated nodes: Node objects kept by nobody. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { endWithThisProcess } from "@knarr/testkit/end-with-this-process.ts";
import { type ApiserverOptions, startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd } from "@knarr/testkit/start-etcd.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

export interface TestScheduler {
  readonly process: ChildProcess;
  /** What it wrote to standard error. */
  output(): string;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface Harness extends AsyncDisposable {
  readonly api: TestApiserver;
  readonly admin: Client;
  startScheduler(options?: {
    readonly config?: string;
    readonly args?: readonly string[];
    readonly securePort?: number;
  }): Promise<TestScheduler>;
}

/** Stops and removes everything when disposed of. */
export async function startHarness(options: Partial<ApiserverOptions> = {}): Promise<Harness> {
  const etcd = await startEtcd();
  const api = await startApiserver({ etcd, ...options });
  const admin = new Client(api.admin);
  await admin.create(core.serviceaccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { namespace: "default", name: "default" },
  });
  const dir = await mkdtemp(join(tmpdir(), "knarr-scheduler-"));
  const { kubeconfig } = await api.user("system:kube-scheduler");
  const running = new Set<TestScheduler>();
  let configs = 0;
  return {
    api,
    admin,
    async startScheduler({ config, args = [], securePort = 0 } = {}) {
      const file = join(dir, `config-${configs++}.yaml`);
      if (config !== undefined) await writeFile(file, config);
      const child = spawn(
        process.execPath,
        [
          MAIN,
          `--kubeconfig=${kubeconfig}`,
          `--secure-port=${securePort}`,
          "--bind-address=127.0.0.1",
          `--client-ca-file=${api.pki.path("ca.crt")}`,
          ...(config === undefined ? [] : [`--config=${file}`]),
          ...args,
        ],
        { stdio: ["ignore", "ignore", "pipe"] },
      );
      endWithThisProcess(child);
      let output = "";
      child.stderr?.on("data", (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-200_000);
      });
      const scheduler: TestScheduler = {
        process: child,
        output: () => output,
        async kill(signal) {
          running.delete(scheduler);
          if (child.exitCode !== null || child.signalCode !== null) return;
          const exited = once(child, "exit");
          child.kill(signal);
          await exited;
        },
      };
      running.add(scheduler);
      return scheduler;
    },
    async [Symbol.asyncDispose]() {
      for (const scheduler of running) await scheduler.kill("SIGKILL");
      admin.close();
      await api.stop();
      await etcd.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Waits until `probe` answers something; names what it waited for when it never does. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 150_000,
): Promise<T> {
  const untilMs = Date.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > untilMs) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function simulatedNode(name: string, allocatable: Record<string, string> = {}): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name } },
    status: {
      capacity: { cpu: "4", memory: "8Gi", pods: "110", ...allocatable },
      allocatable: { cpu: "4", memory: "8Gi", pods: "110", ...allocatable },
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}

/** Creates a node and takes away the taint that new nodes get. */
export async function createNode(admin: Client, node: Node): Promise<void> {
  await admin.create(core.nodes, node);
  const { name = "" } = node.metadata;
  await admin.patch(core.nodes, { namespace: "", name }, { type: "merge", body: { spec: { taints: null } } });
  const body = { status: node.status };
  await admin.patch(core.nodes, { namespace: "", name }, { type: "merge", body }, { subresource: "status" });
}

export function pausePod(name: string, spec: Partial<NonNullable<Pod["spec"]>> = {}, cpu = "100m"): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { containers: [{ name: "c", image: "pause", resources: { requests: { cpu } } }], ...spec },
  };
}

export function conditionOf(pod: Pod) {
  return pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
}
