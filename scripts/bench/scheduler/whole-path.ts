/**
 * From pods in the API to pods bound: real etcd, real API server, the scheduler as a process, nodes that are Node objects.
 *
 * All pods are there before the scheduler starts, so that what is measured is its pace and not that of the creation. Beside
 * it, in the same run and on the same server, the pace at which bindings can be posted by somebody who need not think.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { core, scheduling } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { freePort } from "@knarr/testkit/child-daemon.ts";
import { startApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd } from "@knarr/testkit/start-etcd.ts";
import { processSeconds } from "../processor-time.ts";
import { benchNode, churnedNode, type Workload } from "./workloads.ts";

const MAIN = fileURLToPath(new URL("../../../packages/scheduler/src/main.ts", import.meta.url));
const LANES = 32;
const POLL_MS = 100;
const CHURN_MS = 100;
/** Without a binding for so long, the workload does not fit and the measurement is void. */
const STUCK_MS = 60_000;
/** How many bindings the yardstick posts. */
const YARDSTICK_PODS = 1000;

export interface PathFigures {
  readonly workload: string;
  readonly nodes: number;
  readonly pods: number;
  readonly perSecond: number;
  readonly schedulerCpuMsPerPod: number;
  /** When all pods were bound. */
  readonly residentMiB: number;
  readonly peakMiB: number;
  /** Bindings a second posted to the same server without a scheduler. */
  readonly bareBindingsPerSecond: number;
}

/** Uses up to `signal`; leaves nothing behind. */
export async function measurePath(
  workload: Workload,
  nodes: number,
  pods: number,
  { signal, say }: { readonly signal: AbortSignal; readonly say: (text: string) => void },
): Promise<PathFigures> {
  const dir = await mkdtemp(join(tmpdir(), "knarr-bench-scheduler-"));
  const etcd = await startEtcd();
  const api = await startApiserver({ etcd });
  const admin = new Client(api.admin);
  try {
    await admin.create(core.serviceaccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { namespace: "default", name: "default" },
    });
    say(`creating ${nodes} nodes`);
    await inLanes(nodes, signal, (i) => createNode(admin, benchNode(i, workload.node)));
    say("binding without a scheduler");
    const bareBindingsPerSecond = await bareBindings(admin, nodes, signal);
    await createExisting(admin, workload, nodes, signal);
    say(`creating ${pods} pods`);
    await inLanes(pods, signal, (i) => admin.create(core.pods, forApi(workload.pod(i))));
    const { kubeconfig } = await api.user("system:kube-scheduler");
    say("scheduling");
    const ended = new AbortController();
    const churning = workload.churn === true ? churnNodes(admin, nodes, ended.signal) : Promise.resolve();
    const measured = await runScheduler({ kubeconfig, pods, signal }).finally(async () => {
      ended.abort();
      await churning;
    });
    return { workload: workload.name, nodes, pods, bareBindingsPerSecond, ...measured };
  } finally {
    admin.close();
    await api.stop();
    await etcd.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function inLanes(count: number, signal: AbortSignal, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) {
      signal.throwIfAborted();
      await work(next++);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** New nodes are tainted until a controller has seen them ready; there is none here. */
async function createNode(admin: Client, node: Node): Promise<void> {
  await admin.create(core.nodes, node);
  const key = { namespace: "", name: node.metadata.name ?? "" };
  await admin.patch(core.nodes, key, { type: "merge", body: { spec: { taints: null } } });
  await admin.patch(core.nodes, key, { type: "merge", body: { status: node.status } }, { subresource: "status" });
}

const PRIORITY_CLASS = "bench-high";

/** Priorities come from classes; without kubelets, victims that need no grace go at once. */
function forApi(pod: Pod, nodeName?: string): Pod {
  const { priority = 0, ...spec } = pod.spec ?? { containers: [] };
  const named = priority > 0 ? { priorityClassName: PRIORITY_CLASS } : {};
  return { ...pod, spec: { ...spec, ...named, nodeName, terminationGracePeriodSeconds: 0 } };
}

async function createExisting(admin: Client, workload: Workload, nodes: number, signal: AbortSignal): Promise<void> {
  if (workload.existing === undefined) return;
  const metadata = { name: PRIORITY_CLASS };
  await admin.create(scheduling.priorityclasses, {
    ...{ apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata, value: 10 },
  });
  const pods: Pod[] = [];
  for (let pod = workload.existing(0, nodes); pod !== undefined; pod = workload.existing(pods.length, nodes)) {
    pods.push(forApi(pod, `node-${pods.length % nodes}`));
  }
  await inLanes(pods.length, signal, (i) => admin.create(core.pods, pods[i] as Pod));
}

/** A node comes or goes every `CHURN_MS`, until the signal aborts. */
async function churnNodes(admin: Client, nodes: number, ended: AbortSignal): Promise<void> {
  for (let step = 0; !ended.aborted; step++) {
    const { node, isGone } = churnedNode(nodes, step);
    if (isGone) await admin.delete(core.nodes, { namespace: "", name: node.metadata.name ?? "" });
    else await createNode(admin, node);
    await new Promise((resolve) => setTimeout(resolve, CHURN_MS));
  }
}

async function bareBindings(admin: Client, nodes: number, signal: AbortSignal): Promise<number> {
  const name = (i: number) => `bare-${i}`;
  const bare = (i: number): Pod => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "default", name: name(i) },
    spec: { containers: [{ name: "c", image: "pause" }], schedulerName: "nobody", terminationGracePeriodSeconds: 0 },
  });
  await inLanes(YARDSTICK_PODS, signal, (i) => admin.create(core.pods, bare(i)));
  const startedMs = performance.now();
  await inLanes(YARDSTICK_PODS, signal, (i) =>
    admin.createSubresource(core.pods, { namespace: "default", name: name(i) }, "binding", {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { namespace: "default", name: name(i) },
      target: { kind: "Node", name: `node-${i % nodes}` },
    }),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  await inLanes(YARDSTICK_PODS, signal, (i) =>
    admin.delete(core.pods, { namespace: "default", name: name(i) }, { gracePeriodSeconds: 0 }),
  );
  return YARDSTICK_PODS / seconds;
}

async function runScheduler(of: {
  readonly kubeconfig: string;
  readonly pods: number;
  readonly signal: AbortSignal;
}): Promise<Pick<PathFigures, "perSecond" | "schedulerCpuMsPerPod" | "residentMiB" | "peakMiB">> {
  const port = await freePort();
  const args = [`--kubeconfig=${of.kubeconfig}`, `--secure-port=${port}`, "--bind-address=127.0.0.1"];
  const open = "--authorization-always-allow-paths=/metrics,/healthz";
  const child = spawn(process.execPath, [MAIN, ...args, open, "--leader-elect=false"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    const pid = child.pid ?? 0;
    let first: { atMs: number; count: number; cpu: number } | undefined;
    let lastProgressMs = performance.now();
    let lastCount = 0;
    for (;;) {
      of.signal.throwIfAborted();
      if (child.exitCode !== null) throw new Error(`the scheduler ended with code ${child.exitCode}`);
      const count = await scheduledCount(port);
      const atMs = performance.now();
      if (count > lastCount) lastProgressMs = atMs;
      lastCount = count;
      if (atMs - lastProgressMs > STUCK_MS)
        throw new Error(`only ${count} of ${of.pods} pods are bound, and no more are`);
      if (count > 0) first ??= { atMs, count, cpu: await processSeconds(pid) };
      if (first !== undefined && count >= of.pods) {
        const seconds = (atMs - first.atMs) / 1000;
        const placed = count - first.count;
        const cpu = (await processSeconds(pid)) - first.cpu;
        const { resident, peak } = await memoryOf(pid);
        return {
          perSecond: placed / seconds,
          schedulerCpuMsPerPod: (cpu * 1000) / placed,
          residentMiB: resident,
          peakMiB: peak,
        };
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    child.kill("SIGTERM");
    if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
  }
}

/** 0 until the scheduler answers. */
async function scheduledCount(port: number): Promise<number> {
  const text = await new Promise<string>((resolve) => {
    const sent = request({ host: "127.0.0.1", port, path: "/metrics", rejectUnauthorized: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString()));
    });
    sent.on("error", () => resolve("")); // it does not listen yet
    sent.end();
  });
  const line = /scheduler_schedule_attempts_total\{result="scheduled",[^}]*\} (\d+)/.exec(text);
  return Number(line?.[1] ?? 0);
}

async function memoryOf(pid: number): Promise<{ resident: number; peak: number }> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  const mebibytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(text)?.[1] ?? 0) / 1024;
  return { resident: mebibytes("VmRSS"), peak: mebibytes("VmHWM") };
}
