/** Brings a local cluster up, from whatever state it is in. */
import { spawn } from "node:child_process";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { ClusterConfig, NodeRuntime } from "./cluster-config.ts";
import { withClusterLock } from "./cluster-lock.ts";
import { planControlPlane, planNode } from "./components.ts";
import { ensureCluster } from "./load-cluster.ts";
import { type ClusterPaths, clusterPaths } from "./paths.ts";
import { phases } from "./phases/index.ts";
import type { PhaseContext } from "./phases/phase.ts";
import { projectRoot, requireDaemons } from "./project-root.ts";
import { endLeftover, identityFile } from "./supervisor/component-process.ts";
import { askSupervisor, SupervisorGoneError } from "./supervisor/protocol.ts";
import { findTools } from "./tools.ts";

export interface UpProgress {
  start(phase: string): void;
  note(phase: string, text: string): void;
  done(phase: string, ms: number): void;
  failed(phase: string, ms: number): void;
}

export interface UpOptions {
  readonly dataDir: string;
  /** Undefined keeps what the cluster has, 2 for a new one. */
  readonly nodeCount: number | undefined;
  /** Undefined keeps what the cluster has, containerd for a new one. */
  readonly runtime: NodeRuntime | undefined;
  readonly loadImages: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly progress: UpProgress;
  readonly signal: AbortSignal;
}

/** A phase that failed, with the end of the log of the component it waited for. */
export class PhaseError extends Error {
  readonly phase: string;
  constructor(phase: string, cause: unknown, logs: string) {
    super(`${phase}: ${cause instanceof Error ? cause.message : String(cause)}${logs === "" ? "" : `\n${logs}`}`, {
      cause,
    });
    this.name = "PhaseError";
    this.phase = phase;
  }
}

/** Throws PhaseError; what runs by then stays, so that it can be looked at. Throws ClusterBusyError. */
export async function bringUp(options: UpOptions): Promise<ClusterConfig> {
  requireDaemons();
  return withClusterLock(options.dataDir, () => runPhases(options));
}

async function runPhases(options: UpOptions): Promise<ClusterConfig> {
  const { dataDir, progress, signal } = options;
  const config = await ensureCluster(dataDir, options);
  const paths = clusterPaths(dataDir);
  const tools = await findTools({ dataDir, env: options.env, runtime: config.runtime });
  await mkdir(paths.logs, { recursive: true });
  await mkdir(paths.run, { recursive: true });
  await ensureSupervisor(paths, dataDir, signal);
  const componentOptions = { config, paths, tools, node: process.execPath, projectRoot };
  const controlPlane = planControlPlane(componentOptions);
  const nodes = config.nodes.map((node) => ({ name: node.name, components: planNode(componentOptions, node) }));
  for (const phase of phases) {
    progress.start(phase.name);
    const startedMs = systemClock.monotonicMs();
    const context: PhaseContext = {
      config,
      paths,
      tools,
      controlPlane,
      nodes,
      loadImages: options.loadImages,
      signal,
      note: (text) => progress.note(phase.name, text),
    };
    try {
      await phase.run(context);
    } catch (error) {
      progress.failed(phase.name, systemClock.monotonicMs() - startedMs);
      if (signal.aborted) throw signal.reason;
      throw new PhaseError(phase.name, error, await logTailFor(error, paths));
    }
    progress.done(phase.name, systemClock.monotonicMs() - startedMs);
  }
  return config;
}

async function ensureSupervisor(paths: ClusterPaths, dataDir: string, signal: AbortSignal): Promise<void> {
  try {
    await askSupervisor(paths.supervisorSocket, { op: "status" });
    return;
  } catch (error) {
    if (!(error instanceof SupervisorGoneError)) throw error;
  }
  await endLeftover(identityFile(paths.run, "supervisor"), 5000, systemClock);
  const output = await open(join(paths.logs, "supervisor.log"), "a");
  const main = join(projectRoot, "packages/cluster/src/supervisor/main.ts");
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, dataDir], {
    detached: true,
    stdio: ["ignore", output.fd, output.fd],
    cwd: "/",
  });
  child.unref();
  await output.close();
  const deadlineMs = systemClock.monotonicMs() + 15_000;
  for (;;) {
    try {
      await askSupervisor(paths.supervisorSocket, { op: "status" });
      return;
    } catch (error) {
      if (!(error instanceof SupervisorGoneError)) throw error;
      if (child.exitCode !== null || systemClock.monotonicMs() > deadlineMs) {
        throw new Error(`the supervisor did not start; see ${join(paths.logs, "supervisor.log")}`, { cause: error });
      }
    }
    await systemClock.sleep(50, signal);
  }
}

const TAIL_LINES = 10;
const TAIL_LINE_CHARS = 300;

/** The last lines of the log of the component that the error names. */
async function logTailFor(error: unknown, paths: ClusterPaths): Promise<string> {
  const component = /^(\S+) is not well/.exec(error instanceof Error ? error.message : "")?.[1];
  if (component === undefined) return "";
  const file = join(paths.logs, `${component}.log`);
  const text = await readFile(file, "utf8").catch(() => ""); // never started: no log
  const lines = text.trimEnd().split("\n").slice(-TAIL_LINES);
  return `the end of ${file}:\n${lines.map((line) => `  ${line.slice(0, TAIL_LINE_CHARS)}`).join("\n")}`;
}
