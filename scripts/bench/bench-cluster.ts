/** The benchmark's own cluster, driven through the `knarr` command as users drive theirs. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { apps } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { buildImageArchive } from "@knarr/cluster/images/image-archive.ts";
import { clusterPaths } from "@knarr/cluster/paths.ts";
import type { ClusterStatus } from "@knarr/cluster/status.ts";
import { testImages } from "@knarr/testkit/images/test-images.ts";
import type { UpTimes, WebTimes } from "./result.ts";

export const DATA_DIR = "/var/lib/knarr-bench";
export const benchPaths = clusterPaths(DATA_DIR);
const NODES = 2;
const UP_TIMEOUT_MS = 300_000;
const WEB_TIMEOUT_MS = 120_000;
/** How often the Deployment is looked at: the error of the time measured. */
const WEB_POLL_MS = 25;

const projectRoot = fileURLToPath(new URL("../..", import.meta.url));
const cliMain = join(projectRoot, "packages/cli/src/main.ts");

async function knarr(args: readonly string[], options: { signal?: AbortSignal; timeoutMs: number }): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [cliMain, ...args], {
    cwd: projectRoot,
    env: { ...process.env, KNARR_DATA_DIR: DATA_DIR, KUBECONFIG: benchPaths.adminKubeconfig, NODE_OPTIONS: "" },
    timeout: options.timeoutMs,
    maxBuffer: 64 * 2 ** 20,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return stdout;
}

/** Removes the cluster and its data; also one that an interrupted benchmark left. */
export async function purgeCluster(): Promise<void> {
  await knarr(["down", "--purge"], { timeoutMs: 120_000 });
}

/** A fresh cluster with the example's images. Building the images is not in the time, loading them is. */
export async function bringClusterUp(signal: AbortSignal): Promise<UpTimes> {
  const images = await mkdtemp(join(tmpdir(), "knarr-bench-images-"));
  try {
    const archives: string[] = [];
    for (const spec of await testImages()) archives.push(await buildImageArchive(spec, images));
    const load = archives.flatMap((archive) => ["--load-image", archive]);
    const startedMs = performance.now();
    const output = await knarr(["up", "--nodes", String(NODES), ...load], { signal, timeoutMs: UP_TIMEOUT_MS });
    const totalSeconds = (performance.now() - startedMs) / 1000;
    const phases = [...output.matchAll(/^✔ (\S+) +([\d.]+) s$/gm)];
    return { totalSeconds, phases: phases.map(([, name = "", seconds]) => ({ name, seconds: Number(seconds) })) };
  } finally {
    await rm(images, { recursive: true, force: true });
  }
}

/** Deploys examples/web.yaml and waits until all its replicas are available. */
export async function deployWeb(client: Client, signal: AbortSignal): Promise<WebTimes> {
  const startedMs = performance.now();
  const seconds = () => (performance.now() - startedMs) / 1000;
  const example = join(projectRoot, "examples/web.yaml");
  const applied = knarr(["apply", "-f", example], { signal, timeoutMs: WEB_TIMEOUT_MS }).then(seconds);
  const [applySeconds] = await Promise.all([applied, webAvailable(client, signal)]);
  return { applySeconds, availableSeconds: seconds() };
}

async function webAvailable(client: Client, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + WEB_TIMEOUT_MS;
  while (performance.now() < deadlineMs) {
    signal.throwIfAborted();
    const web = await client.get(apps.deployments, { namespace: "web", name: "web" }).catch((error: unknown) => {
      if (isNotFound(error)) return undefined; // not applied yet
      throw error;
    });
    const condition = web?.status?.conditions?.find((c) => c.type === "Available");
    if (condition?.status === "True" && web?.status?.availableReplicas === web?.spec?.replicas) return;
    await new Promise((wake) => setTimeout(wake, WEB_POLL_MS));
  }
  throw new Error(`the web example was not available within ${WEB_TIMEOUT_MS / 1000} s`);
}

export function adminClient(): Client {
  return new Client(loadKubeconfig({ path: benchPaths.adminKubeconfig }));
}

/** `knarr status -o json`. Throws when a component is not well: such a run measures nothing. */
export async function readStatus(signal: AbortSignal): Promise<ClusterStatus> {
  return JSON.parse(await knarr(["status", "-o", "json"], { signal, timeoutMs: 30_000 })) as ClusterStatus;
}
