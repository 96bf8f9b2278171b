/** What `npm run bench:proxy` measures, each part in the network namespace in which it is called. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Backend } from "../../../packages/kube-proxy/src/adapters/backend.ts";
import { IptablesBackend } from "../../../packages/kube-proxy/src/adapters/iptables-backend.ts";
import { NftBackend } from "../../../packages/kube-proxy/src/adapters/nft-backend.ts";
import type { PlanOptions } from "../../../packages/kube-proxy/src/core/plan-service.ts";
import type { ServiceView } from "../../../packages/kube-proxy/src/core/planned-port.ts";
import { IptablesTool } from "../../../packages/netfilter/src/iptables-tool.ts";
import { ChildDaemon } from "../../../packages/testkit/src/child-daemon.ts";
import { clusterIpOf, serviceOf, sliceOf, startFakeCluster, writeKubeconfig } from "./fake-cluster.ts";

export const modes = ["nftables", "iptables-legacy", "iptables-nft"] as const;
export type BenchMode = (typeof modes)[number];

const PROXY = fileURLToPath(new URL("../../../packages/kube-proxy/src/main.ts", import.meta.url));
const signal = new AbortController().signal;
const options: PlanOptions = {
  family: "ipv4",
  nodeName: "node-1",
  zone: "",
  nodeIps: [],
  localDetector: { kind: "prefix", prefix: "10.128.0.0/9" },
  masqueradeAll: false,
  masqueradeMark: 0x4000,
  randomFully: true,
  localhostNodePorts: false,
  nodePortIps: undefined,
  dropInvalid: true,
};

export function openBackend(mode: BenchMode): Backend {
  if (mode === "nftables") return new NftBackend("ipv4");
  return new IptablesBackend(new IptablesTool("ipv4", mode === "iptables-nft" ? "nft" : "legacy"));
}

function viewOf(index: number, port: number, addresses?: readonly string[]): ServiceView {
  return { service: serviceOf(index), slices: [sliceOf(index, port, addresses)] };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1))] ?? 0;
}

export interface LoadFigures {
  readonly fullMs: number;
  /** Our own share of it, without the kernel's tools. */
  readonly fullCpuMs: number;
  readonly changesMs: readonly number[];
  readonly rules: number;
}

/** A full load into an empty kernel, then single changes, and what the kernel holds then stays. */
export async function load(mode: BenchMode, services: number, changes: number): Promise<LoadFigures> {
  const backend = openBackend(mode);
  const views = Array.from({ length: services }, (_, i) => viewOf(i, 8080));
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const outcome = await backend.sync(views, options, { full: false, signal });
  const fullMs = performance.now() - startedMs;
  const used = process.cpuUsage(cpu);
  const changesMs: number[] = [];
  for (let i = 0; i < changes; i++) {
    const index = (i * 7919) % services;
    views[index] = { service: views[index]!.service, slices: [sliceOf(index, 9000 + i)] };
    const beganMs = performance.now();
    await backend.sync(views, options, { full: false, signal });
    changesMs.push(performance.now() - beganMs);
  }
  const rules = Object.values(outcome.rules).reduce((sum, count) => sum + count, 0);
  return { fullMs, fullCpuMs: (used.user + used.system) / 1000, changesMs, rules };
}

export interface DaemonFigures {
  readonly eventToKernelMs: readonly number[];
  readonly residentBytes: number;
  readonly startMs: number;
}

/** The daemon with nftables: from the watch event to the kernel's word that the elements are in; and its memory. */
export async function daemon(services: number, changes: number): Promise<DaemonFigures> {
  const cluster = await startFakeCluster(services);
  const metrics = "http://127.0.0.1:10249/metrics";
  const startedMs = performance.now();
  const proxy = await ChildDaemon.start({
    command: process.execPath,
    args: [
      PROXY,
      `--master=${cluster.url}`,
      `--kubeconfig=${writeKubeconfig(cluster.url, `/run/bench-proxy-${process.pid}.conf`)}`,
      "--hostname-override=node-1",
    ].concat("--proxy-mode=nftables", "--conntrack-max-per-core=0", "--healthz-bind-address="),
    ready: () =>
      fetch(metrics).then(
        async (answer) => /sync_proxy_rules_duration_seconds_count\{.*IPv4"\} [1-9]/.test(await answer.text()),
        () => false,
      ),
  });
  const startMs = performance.now() - startedMs;
  const monitor = spawn("nft", ["monitor", "new", "elements"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    let seen: (line: string) => void = () => {};
    createInterface({ input: monitor.stdout }).on("line", (line) => seen(line));
    await sleep(3000);
    const eventToKernelMs: number[] = [];
    for (let i = 0; i < changes; i++) {
      const index = (i * 7919) % services;
      const port = 20_000 + i;
      const arrived = new Promise<void>((resolve) => {
        seen = (line) => line.includes(` . ${port}`) && resolve();
      });
      const sentMs = performance.now();
      cluster.sendSlice(sliceOf(index, port));
      await arrived;
      eventToKernelMs.push(performance.now() - sentMs);
      await sleep(50);
    }
    const status = readFileSync(`/proc/${proxy.pid}/status`, "utf8");
    const residentBytes = 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    return { eventToKernelMs, residentBytes, startMs };
  } finally {
    monitor.kill();
    await proxy.stop();
    await cluster.stop();
  }
}

export interface ConnectFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Makes and ends TCP connections, eight at a time, for so long. */
export async function connections(address: string, port: number, durationMs: number): Promise<ConnectFigures> {
  const times: number[] = [];
  const endMs = performance.now() + durationMs;
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ host: address, port });
      socket.on("error", reject).on("connect", () => socket.resetAndDestroy());
      socket.on("close", () => resolve());
    });
  const lane = async () => {
    while (performance.now() < endMs) {
      const beganMs = performance.now();
      await one();
      times.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  return { perSecond: times.length / (durationMs / 1000), p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

/** Leads the last Service to one real pod, on top of what `load` left. */
export async function leadToPod(mode: BenchMode, services: number, pod: string): Promise<string> {
  const views = Array.from({ length: services }, (_, i) => viewOf(i, 8080, i === services - 1 ? [pod] : undefined));
  await openBackend(mode).sync(views, options, { full: true, signal });
  return clusterIpOf(services - 1);
}
