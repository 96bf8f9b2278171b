/** Create to Ready, one at a time and many at once, and where the time goes. */
import type { SandboxConfig } from "@knarr/cri/types.ts";
import { type BenchNode, type RuntimeCall, startBenchNode } from "./bench-node.ts";
import { type PodTimes, PodWatch } from "./pod-times.ts";

export interface Split {
  readonly total: number;
  /** The create call. */
  readonly api: number;
  /** From its answer until the binding was seen. */
  readonly scheduling: number;
  /** RunPodSandbox, the network's plugins in it included. */
  readonly sandbox: number;
  /** CreateContainer and StartContainer. */
  readonly container: number;
  /** From the last start until Ready was seen: the write of the status and its way back. */
  readonly status: number;
  /** From the binding until Ready, without any call to the runtime and without `status`. */
  readonly kubelet: number;
}

export interface LatencyFigures {
  readonly single: readonly Split[];
  /** Create to Ready of each of many at once. */
  readonly atOnce: readonly number[];
  readonly bare: readonly number[];
}

const BACKGROUND = ["listContainerStats", "version", "status", "imageFilesystems", "listImages", "execSync"];

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

/** How long at least one of the calls was under way between two times. */
function covered(calls: readonly RuntimeCall[], from: number, to: number): number {
  let end = from;
  let sum = 0;
  for (const call of calls.toSorted((a, b) => a.startMs - b.startMs)) {
    const start = Math.max(call.startMs, end);
    const stop = Math.min(call.endMs, to);
    if (stop <= start) continue;
    sum += stop - start;
    end = stop;
  }
  return sum;
}

function splitOf(times: PodTimes, all: readonly RuntimeCall[]): Split {
  const { createdMs, answeredMs, readyMs } = times;
  // The watch may tell of the binding before the create call is answered.
  const boundMs = Math.max(times.boundMs, answeredMs);
  const calls = all.filter((c) => c.endMs > times.boundMs && c.startMs < readyMs && !BACKGROUND.includes(c.operation));
  const sum = (...operations: string[]) =>
    calls.filter((c) => operations.includes(c.operation)).reduce((total, c) => total + (c.endMs - c.startMs), 0);
  const startedMs = Math.max(...calls.filter((c) => c.operation === "startContainer").map((c) => c.endMs), boundMs);
  return {
    total: readyMs - createdMs,
    api: answeredMs - createdMs,
    scheduling: boundMs - answeredMs,
    sandbox: sum("runSandbox"),
    container: sum("createContainer", "startContainer"),
    status: readyMs - startedMs,
    kubelet: startedMs - boundMs - covered(calls, boundMs, startedMs),
  };
}

/** The same sandbox and container asked of the runtime by hand, with no kubelet and no API between: the floor. */
async function bareStart({ runtime }: BenchNode, index: number): Promise<number> {
  const metadata = { name: `bare-${index}`, namespace: "default", uid: `bare-${index}`, attempt: 0 };
  const startedMs = performance.now();
  const namespaceOptions = { network: "POD", pid: "CONTAINER", ipc: "POD" } as const;
  const linux = { cgroupParent: "", securityContext: { namespaceOptions } };
  const sandbox: SandboxConfig = { metadata, hostname: metadata.name, logDirectory: "/tmp", linux };
  const id = await runtime.runSandbox(sandbox, "");
  const config = {
    metadata: { name: "main", attempt: 0 },
    image: { image: "knarr.local/web:1" },
    logPath: `bare-${index}.log`,
  };
  const container = await runtime.createContainer(id, config, sandbox);
  await runtime.startContainer(container);
  const ms = performance.now() - startedMs;
  await runtime.stopContainer(container, 1);
  await runtime.stopSandbox(id);
  await runtime.removeSandbox(id);
  return ms;
}

export async function measureLatency(single: number, atOnce: number): Promise<LatencyFigures> {
  const node = await startBenchNode({ traced: true });
  const watch = new PodWatch(node.client);
  try {
    for (let i = 0; i < 3; i++) {
      await watch.start(`warm-${i}`);
      await watch.remove(`warm-${i}`);
    }
    await node.runtimeCalls();
    const splits: Split[] = [];
    for (let i = 0; i < single; i++) {
      const times = await watch.start(`single-${i}`);
      splits.push(splitOf(times, await node.runtimeCalls()));
      await watch.remove(`single-${i}`);
    }
    const bare: number[] = [];
    for (let i = 0; i < Math.min(20, single); i++) bare.push(await bareStart(node, i));
    const many = Array.from({ length: atOnce }, (_, i) => `many-${i}`);
    const times = await Promise.all(many.map((name) => watch.start(name)));
    await Promise.all(many.map((name) => watch.remove(name)));
    return { single: splits, bare, atOnce: times.map((t) => t.readyMs - t.createdMs) };
  } finally {
    watch.close();
    node.runtime.close();
    await node.stop();
  }
}
