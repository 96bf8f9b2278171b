/** The programs that a local cluster runs, found once; a missing one is named with what installs it. */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import type { NodeRuntime } from "./cluster-config.ts";
import { runCommand } from "./run-command.ts";

export interface Tools {
  readonly etcd: string;
  readonly containerd: string;
  readonly ctr: string;
  readonly runc: string;
  readonly cniBinDir: string;
  /** "" unless the nodes use it. */
  readonly dockerd: string;
}

/** For plans of which only names and probes matter, or components that need no program of others. */
export const NO_TOOLS: Tools = { etcd: "", containerd: "", ctr: "", runc: "", cniBinDir: "", dockerd: "" };

export class MissingToolError extends Error {
  constructor(what: string, looked: readonly string[]) {
    super(`${what} not found (looked at ${looked.join(", ")}); scripts/up installs it on Debian and Ubuntu`);
    this.name = "MissingToolError";
  }
}

/** Older versions may report a watch's progress too early. Source: etcd 3.5.13 changelog (#15220) */
const MINIMUM_ETCD = [3, 5, 13];

async function firstRunnable(what: string, paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not there or not ours to run: the next one.
    }
  }
  throw new MissingToolError(what, paths);
}

function onPath(name: string, path: string): string[] {
  return path
    .split(":")
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name));
}

export interface ToolOptions {
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** containerd when absent. */
  readonly runtime?: NodeRuntime;
}

/** Throws MissingToolError. */
export async function findTools({ dataDir, env, runtime }: ToolOptions): Promise<Tools> {
  const path = `${env.PATH ?? ""}:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin`;
  const etcd = await firstRunnable("etcd", [
    ...(env.KNARR_ETCD === undefined ? [] : [env.KNARR_ETCD]),
    join(dataDir, "bin", "etcd"),
    "/usr/local/lib/knarr/bin/etcd",
    ...onPath("etcd", path),
  ]);
  await checkEtcdVersion(etcd);
  return {
    etcd,
    containerd: await firstRunnable("containerd", onPath("containerd", path)),
    ctr: await firstRunnable("ctr", onPath("ctr", path)),
    runc: await firstRunnable("runc", onPath("runc", path)),
    cniBinDir: (await firstRunnable("the CNI plugin bridge", ["/opt/cni/bin/bridge", "/usr/lib/cni/bridge"])).replace(
      /\/bridge$/,
      "",
    ),
    dockerd: runtime === "docker" ? await firstRunnable("dockerd", onPath("dockerd", path)) : "",
  };
}

async function checkEtcdVersion(etcd: string): Promise<void> {
  const output = await runCommand([etcd, "--version"], { timeoutMs: 10_000 });
  const version = /etcd Version: (\d+)\.(\d+)\.(\d+)/.exec(output)?.slice(1).map(Number) ?? [];
  for (const [i, least] of MINIMUM_ETCD.entries()) {
    const found = version[i] ?? 0;
    if (found > least) return;
    if (found < least) {
      throw new Error(
        `${etcd} is version ${version.join(".")}: must be at least ${MINIMUM_ETCD.join(".")}; scripts/up installs one`,
      );
    }
  }
}
