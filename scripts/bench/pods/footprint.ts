/** The kubelet's memory and processor time with no, some and many pods, idle and under churn. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { processSeconds } from "../processor-time.ts";
import { startBenchNode } from "./bench-node.ts";
import { PodWatch } from "./pod-times.ts";

export interface Footprint {
  readonly pods: number;
  /** Of one core. */
  readonly idleShare: number;
  readonly residentMiB: number;
}

export interface FootprintFigures {
  readonly idle: readonly Footprint[];
  /** From creating the missing pods until the last was Ready, in seconds; the pods in all. */
  readonly filled: { readonly pods: number; readonly seconds: number };
  /** Pods created and deleted without a pause, beside the others. */
  readonly churn: { readonly perSecond: number; readonly share: number; readonly residentMiB: number };
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
}

async function share(pid: number, ms: number, work: () => Promise<void>): Promise<number> {
  const before = await processSeconds(pid);
  const startedMs = performance.now();
  await Promise.all([work(), sleep(ms)]);
  return ((await processSeconds(pid)) - before) / ((performance.now() - startedMs) / 1000);
}

export async function measureFootprint(steps: readonly number[], idleMs: number): Promise<FootprintFigures> {
  const node = await startBenchNode({ traced: false });
  const watch = new PodWatch(node.client);
  const pid = node.kubeletPid;
  try {
    const idle: Footprint[] = [];
    let filled = { pods: 0, seconds: 0 };
    let running = 0;
    for (const pods of steps) {
      const startedMs = performance.now();
      const names = Array.from({ length: pods - running }, (_, i) => `pod-${running + i}`);
      await Promise.all(names.map((name) => watch.start(name)));
      if (names.length > 0) filled = { pods: names.length, seconds: (performance.now() - startedMs) / 1000 };
      running = pods;
      await sleep(10_000);
      const idleShare = await share(pid, idleMs, async () => undefined);
      idle.push({ pods, idleShare, residentMiB: await residentMiB(pid) });
    }
    let count = 0;
    const startedMs = performance.now();
    const churnShare = await share(pid, idleMs, async () => {
      while (performance.now() - startedMs < idleMs) {
        await watch.start(`churn-${count}`);
        await watch.remove(`churn-${count}`);
        count++;
      }
    });
    const perSecond = count / ((performance.now() - startedMs) / 1000);
    return { idle, filled, churn: { perSecond, share: churnShare, residentMiB: await residentMiB(pid) } };
  } finally {
    watch.close();
    node.runtime.close();
    await node.stop();
  }
}
