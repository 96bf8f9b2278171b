/**
 * `npm run bench:volumes`: how fast volumes are there, and how fast a change is in a pod, beside yardsticks of the same run.
 * Needs root; brings up a two-node cluster of its own. What is measured and how: docs/benchmarks/volumes.md.
 */
import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import type { Volume } from "@knarr/api/generated/types/core-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import { adminClient, bringClusterUp, purgeCluster, readStatus } from "./bench/bench-cluster.ts";
import { watchCores } from "./bench/processor-time.ts";
import {
  benchPod,
  claimFor,
  makeConfigMaps,
  measureChanges,
  NODE,
  removeClaims,
  removePods,
  startPods,
} from "./bench/volumes/parts.ts";

const USAGE = `usage: npm run bench:volumes [-- --changes N --claims N --idle SECONDS]
  --changes N     changes of the ConfigMap (default 200)
  --claims N      pods with a claim each (default 30)
  --idle SECONDS  how long idle use is measured (default 30)
`;
/** Volumes of one pod. */
const VOLUMES = 50;
const SETTLE_MS = 10_000;

const nodeSelector = { "kubernetes.io/hostname": NODE };
const nothing = async () => undefined;
const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const quantile = (values: readonly number[], q: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))] ?? 0;
const quantiles = (values: readonly number[]) => `${ms(quantile(values, 0.5))} / ${ms(quantile(values, 0.99))}`;
const row = (...cells: string[]) => process.stdout.write(`| ${cells.join(" | ")} |\n`);

async function mount50(client: Client): Promise<readonly Volume[]> {
  const volumes = await makeConfigMaps(client, VOLUMES);
  const [withVolumes, without]: [number[], number[]] = [[], []];
  for (let run = 0; run < 5; run++) {
    without.push(await startPods(client, [benchPod(`bench-without-${run}`, [], { nodeSelector })], nothing));
    withVolumes.push(await startPods(client, [benchPod(`bench-with-${run}`, volumes, { nodeSelector })], nothing));
    await removePods(client);
  }
  const middle = (values: readonly number[]) => ms(quantile(values, 0.5));
  row(`a pod with ${VOLUMES} configMap volumes is Ready`, middle(withVolumes), `without volumes: ${middle(without)}`);
  return volumes;
}

async function claims(client: Client, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `bench-claim-${index}`);
  const plain = names.map((name) => benchPod(name, [{ name: "data", emptyDir: {} }]));
  const plainMs = await startPods(client, plain, nothing);
  await removePods(client);
  const claimed = names.map((name) => benchPod(name, [{ name: "data", persistentVolumeClaim: { claimName: name } }]));
  const claimedMs = await startPods(client, claimed, async () => {
    await Promise.all(names.map((name) => client.create(core.persistentvolumeclaims, claimFor(name))));
  });
  row(`${count} pods with a new claim each are Ready`, ms(claimedMs), `with emptyDir: ${ms(plainMs)}`);
  await removePods(client);
  row(`${count} claims are gone with their volumes and folders`, ms(await removeClaims(client, names)), "");
}

async function idle(client: Client, { volumes, seconds }: { volumes: readonly Volume[]; seconds: number }) {
  const signal = AbortSignal.timeout(600_000);
  const { components } = await readStatus(signal);
  const pid = components.find((component) => component.name === `kubelet@${NODE}`)?.pid ?? 0;
  const cores = async (): Promise<number> => {
    await sleep(SETTLE_MS);
    const stop = await watchCores(new Map([["kubelet", pid]]));
    await sleep(seconds * 1000);
    return ((await stop()).of.get("kubelet") ?? 0) * 1000;
  };
  // Two pods without volumes are the yardstick: pods cost something by themselves.
  await startPods(
    client,
    [0, 1].map((n) => benchPod(`bench-idle-${n}`, [], { nodeSelector })),
    nothing,
  );
  const without = await cores();
  await removePods(client);
  await startPods(
    client,
    [0, 1].map((n) => benchPod(`bench-idle-${n}`, volumes, { nodeSelector })),
    nothing,
  );
  const withVolumes = await cores();
  await removePods(client);
  const thousandths = (value: number) => `${value.toFixed(1)} thousandths of a core`;
  row(
    `kubelet idle, two pods with ${2 * volumes.length} volumes together`,
    thousandths(withVolumes),
    `without volumes: ${thousandths(without)}`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      changes: { type: "string", default: "200" },
      claims: { type: "string", default: "30" },
      idle: { type: "string", default: "30" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const [changes, count, seconds] = [Number(values.changes), Number(values.claims), Number(values.idle)];
  if (![changes, count, seconds].every((n) => Number.isInteger(n) && n > 0)) throw new Error(USAGE);
  const aborter = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => aborter.abort(new Error(`ended by ${name}`)));
  }
  await purgeCluster();
  try {
    await bringClusterUp(aborter.signal);
    const client = adminClient();
    process.stdout.write(`load average before: ${loadavg()[0]?.toFixed(2)}\n\n`);
    row("what", "time", "yardstick");
    row("---", "---", "---");
    const times = await measureChanges(client, changes, aborter.signal);
    row(
      "a ConfigMap's change is in the pod, p50 / p99",
      quantiles(times.fileMs),
      `a watch sees it: ${quantiles(times.watchMs)}`,
    );
    const volumes = await mount50(client);
    await claims(client, count);
    await idle(client, { volumes, seconds });
    client.close();
  } finally {
    await purgeCluster();
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
