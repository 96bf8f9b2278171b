/** The measurements of bench:volumes, each on a running cluster of its own. What they mean: docs/benchmarks/volumes.md */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, PodSpec, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { benchPaths } from "../bench-cluster.ts";

export const NODE = "node-1";
export const NAMESPACE = "default";
const DEADLINE_MS = 180_000;
/** How often pods are looked at: the error of the times measured. */
const POLL_MS = 20;

export function benchPod(name: string, volumes: readonly Volume[], more: Partial<PodSpec> = {}): Pod {
  const volumeMounts = volumes.map((volume) => ({ name: volume.name, mountPath: `/v/${volume.name}` }));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE, labels: { app: "bench-volumes" } },
    spec: {
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      volumes: [...volumes],
      containers: [{ name: "main", image: "knarr.local/busybox:1", command: ["sleep", "1000000"], volumeMounts }],
      ...more,
    },
  };
}

const isReady = (pod: Pod) => pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;

/** Creates the pods at once; milliseconds until the last is Ready. */
export async function startPods(client: Client, pods: readonly Pod[], first: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await first();
  await Promise.all(pods.map((pod) => client.create(core.pods, pod)));
  const names = new Set(pods.map((pod) => pod.metadata.name));
  while (performance.now() - startedMs < DEADLINE_MS) {
    const { items } = await client.list(core.pods, { namespace: NAMESPACE });
    const ready = items.filter((pod) => names.has(pod.metadata.name) && isReady(pod));
    if (ready.length === names.size) return performance.now() - startedMs;
    await sleep(POLL_MS);
  }
  throw new Error(`${names.size} pods were not ready within ${DEADLINE_MS / 1000} s`);
}

export async function removePods(client: Client): Promise<void> {
  await client.deleteCollection(core.pods, { namespace: NAMESPACE, labelSelector: "app=bench-volumes" });
  const deadline = performance.now() + DEADLINE_MS;
  while (performance.now() < deadline) {
    const { items } = await client.list(core.pods, { namespace: NAMESPACE, labelSelector: "app=bench-volumes" });
    if (items.length === 0) return;
    await sleep(100);
  }
  throw new Error("pods do not go");
}

export interface ChangeTimes {
  /** From sending the change until the pod's file has it. */
  readonly fileMs: readonly number[];
  /** From sending the change until a watch in this process has seen it: what nothing can be faster than. */
  readonly watchMs: readonly number[];
}

/** Changes a ConfigMap `count` times, and looks at the file behind the pod's mount. */
export async function measureChanges(client: Client, count: number, signal: AbortSignal): Promise<ChangeTimes> {
  const key = { namespace: NAMESPACE, name: "bench-live" };
  await client.create(core.configmaps, { metadata: key, data: { v: "start" } });
  const volume: Volume = { name: "live", configMap: { name: key.name } };
  const nodeSelector = { "kubernetes.io/hostname": NODE };
  await startPods(client, [benchPod("bench-live", [volume], { nodeSelector })], async () => undefined);
  const { metadata } = await client.get(core.pods, { namespace: NAMESPACE, name: "bench-live" });
  const pods = join(benchPaths.node(NODE).kubeletRoot, "pods");
  const file = join(pods, metadata.uid ?? "", "volumes/kubernetes.io~configmap/live/v");
  const stop = new AbortController();
  const seen = new Map<string, number>();
  const watching = watchValues(client, seen, AbortSignal.any([signal, stop.signal]));
  const times = { fileMs: [] as number[], watchMs: [] as number[] };
  for (let index = 0; index < count; index++) {
    const value = `value-${index}`;
    const startedMs = performance.now();
    const patched = client.patch(core.configmaps, key, { type: "merge", body: { data: { v: value } } });
    while (readFileSync(file, "utf8") !== value) {
      if (performance.now() - startedMs > 60_000) throw new Error(`${value} never arrived in ${file}`);
      await sleep(1);
    }
    times.fileMs.push(performance.now() - startedMs);
    await patched;
    while (!seen.has(value)) await sleep(1);
    times.watchMs.push((seen.get(value) ?? 0) - startedMs);
    // Not in step with anything periodic.
    await sleep(5 + 40 * Math.random());
  }
  stop.abort();
  await watching;
  await removePods(client);
  await client.delete(core.configmaps, key);
  return times;
}

async function watchValues(client: Client, seen: Map<string, number>, signal: AbortSignal): Promise<void> {
  try {
    const options = { namespace: NAMESPACE, fieldSelector: "metadata.name=bench-live", signal };
    for await (const event of client.watch(core.configmaps, options)) {
      const value = (event.object as { data?: Record<string, string> }).data?.v;
      if (value !== undefined) seen.set(value, performance.now());
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** `count` ConfigMaps and volumes of them. */
export async function makeConfigMaps(client: Client, count: number): Promise<Volume[]> {
  const volumes: Volume[] = [];
  for (let index = 0; index < count; index++) {
    const name = `bench-config-${index}`;
    await client.create(core.configmaps, { metadata: { name, namespace: NAMESPACE }, data: { a: "1", b: "2" } });
    volumes.push({ name: `c${index}`, configMap: { name } });
  }
  return volumes;
}

export function claimFor(name: string) {
  const resources = { requests: { storage: "16Mi" } };
  const metadata = { name, namespace: NAMESPACE };
  return { metadata, spec: { accessModes: ["ReadWriteOnce"], resources } };
}

/** Milliseconds until no claim and no volume is left. */
export async function removeClaims(client: Client, names: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  for (const name of names) {
    await client.delete(core.persistentvolumeclaims, { namespace: NAMESPACE, name }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  while (performance.now() - startedMs < DEADLINE_MS) {
    const { items } = await client.list(core.persistentvolumes, {});
    if (items.length === 0) return performance.now() - startedMs;
    await sleep(POLL_MS);
  }
  throw new Error("volumes do not go");
}
