/**
 * The cluster under test, as its users reach it: the `knarr` command, kubectl, and HTTP from outside the nodes.
 *
 * One cluster serves the whole run (global-setup.ts). KNARR_E2E_DATA_DIR names a running one to use instead.
 */
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { eventually, must, type Outcome, projectRoot, type RunOptions, run } from "./run.ts";

export const dataDir = process.env.KNARR_E2E_DATA_DIR ?? "/var/lib/knarr-e2e";
export const kubeconfig = join(dataDir, "kubeconfig");
const cliMain = join(projectRoot, "packages/cli/src/main.ts");

const env = { KUBECONFIG: kubeconfig, KNARR_DATA_DIR: dataDir };

/** `knarr ARGS`: standard output, or an error that shows everything. */
export function knarr(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return must(process.execPath, [cliMain, ...args], { ...options, env: { ...env, ...options.env } });
}
export function tryKnarr(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(process.execPath, [cliMain, ...args], { ...options, env: { ...env, ...options.env } });
}

/** Every kubectl to test with: the oldest supported and the newest that can be had. Fails when there is none. */
export function kubectls(): readonly { readonly version: string; readonly path: string }[] {
  const found = new Map<string, string>();
  const newest = "/usr/local/lib/knarr/bin/kubectl-1.36";
  if (existsSync(newest)) found.set("1.36", newest);
  for (const folder of (process.env.PATH ?? "").split(":")) {
    const path = join(folder, "kubectl");
    if (!existsSync(path)) continue;
    const home = dirname(realpathSync(path));
    for (const name of readdirSync(home)) {
      const version = /^kubectl\.(1\.\d+)$/.exec(name)?.[1];
      if (version !== undefined) found.set(version, join(home, name));
    }
    if (found.size === 0) found.set("any", path);
  }
  const versions = [...found.keys()].sort((a, b) => Number(a.split(".")[1]) - Number(b.split(".")[1]));
  const chosen = new Set([versions[0], versions.at(-1)].filter((v) => v !== undefined));
  if (chosen.size === 0) throw new Error("no kubectl found: scripts/test installs one");
  return [...chosen].map((version) => ({ version, path: found.get(version) ?? "" }));
}
export function kubectl(path: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return must(path, args, { ...options, env: { ...env, ...options.env } });
}
export function tryKubectl(path: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(path, args, { ...options, env: { ...env, ...options.env } });
}

export async function getJson<T>(args: readonly string[]): Promise<T> {
  return JSON.parse(await knarr(["get", ...args, "-o", "json"])) as T;
}
export async function podsIn(namespace: string, selector: string): Promise<Pod[]> {
  return (await getJson<{ items: Pod[] }>(["pods", "-n", namespace, "-l", selector])).items;
}
export const isReady = (pod: Pod) =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;

/** Waits until exactly `count` pods match, all ready and none going. */
export function waitForPods(namespace: string, selector: string, count: number, timeoutMs = 240_000): Promise<Pod[]> {
  return eventually(
    `${count} ready pods with ${selector} in ${namespace}`,
    timeoutMs,
    async () => {
      const pods = await podsIn(namespace, selector);
      return pods.length === count && pods.every(isReady) ? pods : undefined;
    },
    () => knarr(["get", "pods,events", "-n", namespace, "-o", "wide"]),
  );
}

export interface NodeAddress {
  readonly name: string;
  readonly ip: string;
}
export async function nodeAddresses(): Promise<NodeAddress[]> {
  const { items } = await getJson<{
    items: { metadata: { name: string }; status: { addresses: { type: string; address: string }[] } }[];
  }>(["nodes"]);
  return items.map(({ metadata, status }) => ({
    name: metadata.name,
    ip: status.addresses.find((a) => a.type === "InternalIP")?.address ?? "",
  }));
}

/** Components as `knarr status -o json` lists them. */
export interface ComponentStatus {
  readonly name: string;
  readonly pid: number;
  readonly healthy: boolean;
  readonly restarts: number;
}
export async function componentStatuses(): Promise<ComponentStatus[]> {
  // The exit code says whether all are well; here the list is wanted either way.
  const { stdout } = await tryKnarr(["status", "-o", "json"]);
  return (JSON.parse(stdout) as { components: ComponentStatus[] }).components;
}
export async function componentNamed(name: string): Promise<ComponentStatus> {
  const found = (await componentStatuses()).find((component) => component.name === name);
  if (found === undefined) throw new Error(`no component ${name} in knarr status`);
  return found;
}

/** GET with a deadline; undefined when nothing answered in time or the answer was not 200. */
export async function httpGet(url: string, timeoutMs = 10_000): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), headers: { connection: "close" } });
    const text = await response.text();
    return response.ok ? text : undefined;
  } catch {
    // Refused, reset or timed out: what callers count.
    return undefined;
  }
}
