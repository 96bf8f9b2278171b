/** One run: a fresh cluster, every measurement in order, the cluster gone again whatever happens. */
import type { ClusterStatus } from "@knarr/cluster/status.ts";
import { type ApiLoadOptions, LIST_PODS, runCreateLoad, runEtcdLoads, runReadLoads, seedPods } from "./api-load.ts";
import { adminClient, benchPaths, bringClusterUp, deployWeb, purgeCluster, readStatus } from "./bench-cluster.ts";
import { watchCores } from "./processor-time.ts";
import { renderLoadLine } from "./render-report.ts";
import type { BenchResult } from "./result.ts";

const IDLE_MS = 10_000;
/** After the web example, before idle use is measured. */
const SETTLE_MS = 5_000;

const pause = (ms: number) => new Promise((wake) => setTimeout(wake, ms));
const pidsOf = (status: ClusterStatus) => new Map(status.components.map((c) => [c.name, c.pid]));

export async function runOnce(signal: AbortSignal, say: (text: string) => void): Promise<BenchResult> {
  await purgeCluster();
  try {
    return await measureCluster(signal, say);
  } finally {
    say("removing the cluster");
    await purgeCluster();
  }
}

async function measureCluster(signal: AbortSignal, say: (text: string) => void): Promise<BenchResult> {
  say("bringing a cluster up");
  const up = await bringClusterUp(signal);
  const afterUp = await readStatus(signal);
  const client = adminClient();
  try {
    say("deploying the web example");
    const web = await deployWeb(client, signal);
    await pause(SETTLE_MS);
    const afterWeb = await readStatus(signal);
    say("measuring idle use");
    const idle = await measureIdle(afterWeb);
    say("making pods to read");
    const report = (figures: Parameters<typeof renderLoadLine>[0]) => say(renderLoadLine(figures));
    const { config } = afterWeb;
    const options: ApiLoadOptions = { client, config, paths: benchPaths, pids: pidsOf(afterWeb), signal, report };
    const sample = await seedPods(options);
    const apiLoads = [...(await runReadLoads(sample, options)), await runCreateLoad(sample, options)];
    // Before etcd is loaded past the API server: its memory is to be what the API load made of it.
    const afterLoad = await readStatus(signal);
    const loads = [...apiLoads, ...(await runEtcdLoads(sample, options))];
    const components = afterUp.components.map(({ name, memoryBytes }, index) => ({
      name,
      afterUpBytes: memoryBytes,
      afterWebBytes: afterWeb.components[index]?.memoryBytes ?? 0,
      afterLoadBytes: afterLoad.components[index]?.memoryBytes ?? 0,
      idleCores: idle.of.get(name) ?? 0,
    }));
    const sizes = { podBytes: sample.pod.length, listPods: LIST_PODS, listBytes: sample.list.length };
    return { up, web, components, idleForeignCores: idle.foreign, ...sizes, loads };
  } finally {
    client.close();
  }
}

async function measureIdle(status: ClusterStatus): Promise<{ of: ReadonlyMap<string, number>; foreign: number }> {
  const stop = await watchCores(pidsOf(status));
  await pause(IDLE_MS);
  const { machine, of } = await stop();
  const all = [...of.values()].reduce((sum, cores) => sum + cores, 0);
  return { of, foreign: Math.max(0, machine - all) };
}
