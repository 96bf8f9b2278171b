/** How every component is: its process, its health, its version, since when, how much memory. */
import { readFile } from "node:fs/promises";
import { KNARR_VERSION } from "@knarr/daemon/version.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { type ComponentSpec, planControlPlane, planNode } from "./components.ts";
import { probeHealth } from "./health.ts";
import { readCluster } from "./load-cluster.ts";
import { type ClusterPaths, clusterPaths } from "./paths.ts";
import { processorMillis } from "./processor-time.ts";
import { projectRoot } from "./project-root.ts";
import { tryCommand } from "./run-command.ts";
import { identityFile, readIdentity } from "./supervisor/component-process.ts";
import { isAlive } from "./supervisor/process-identity.ts";
import { askSupervisor, type ComponentState, SupervisorGoneError } from "./supervisor/protocol.ts";
import { NO_TOOLS } from "./tools.ts";

export interface ComponentStatus {
  readonly name: string;
  readonly healthy: boolean;
  /** "running", "waiting" (for its next start), "stopped". */
  readonly state: ComponentState["state"];
  /** What is wrong; "" when nothing is. */
  readonly message: string;
  readonly pid: number;
  readonly sinceMs: number;
  readonly restarts: number;
  /** "" when it does not run. */
  readonly version: string;
  /** Resident set; 0 when it does not run. */
  readonly memoryBytes: number;
  /** Thousandths of a core over the last half second; 0 when it does not run. */
  readonly cpuMillis: number;
}
export interface ClusterStatus {
  readonly config: ClusterConfig;
  readonly supervised: boolean;
  readonly components: readonly ComponentStatus[];
}

/** Undefined when there is no cluster in the folder. */
export async function clusterStatus(dataDir: string): Promise<ClusterStatus | undefined> {
  const config = await readCluster(dataDir);
  if (config === undefined) return undefined;
  const paths = clusterPaths(dataDir);
  // Only names and probes matter here, so no tool needs to be found.
  const options = { config, paths, tools: NO_TOOLS, node: "", projectRoot };
  const specs = [...planControlPlane(options), ...config.nodes.flatMap((node) => planNode(options, node))];
  const supervised = await supervisedStates(paths.supervisorSocket);
  const states = supervised ?? (await orphanStates(specs, paths));
  const version = versionReader();
  const components = await Promise.all(
    specs.map((spec) =>
      statusOf(
        spec,
        states.find((state) => state.name === spec.name),
        version,
      ),
    ),
  );
  return { config, supervised: supervised !== undefined, components };
}

/** What a supervisor that is gone left running. */
async function orphanStates(specs: readonly ComponentSpec[], paths: ClusterPaths): Promise<ComponentState[]> {
  const states: ComponentState[] = [];
  for (const { name } of specs) {
    const identity = await readIdentity(identityFile(paths.run, name));
    if (identity === undefined || !(await isAlive(identity))) continue;
    states.push({ name, state: "running", pid: identity.pid, startedMs: 0, restarts: 0, lastExit: "" });
  }
  return states;
}

async function supervisedStates(socket: string): Promise<readonly ComponentState[] | undefined> {
  try {
    return (await askSupervisor(socket, { op: "status" })).components;
  } catch (error) {
    if (error instanceof SupervisorGoneError) return undefined;
    throw error;
  }
}

async function statusOf(
  spec: ComponentSpec,
  state: ComponentState | undefined,
  versionOf: (pid: number) => Promise<string>,
): Promise<ComponentStatus> {
  // Measured beside the probe; the probe's own cost for the component is a millisecond.
  const cpu = state?.pid === undefined ? Promise.resolve(0) : processorMillis(state.pid);
  const complaint = await probeHealth(spec.health);
  const running = state?.state === "running";
  return {
    name: spec.name,
    healthy: running && complaint === undefined,
    state: state?.state ?? "stopped",
    message: running ? (complaint ?? "") : (state?.lastExit ?? ""),
    pid: state?.pid ?? 0,
    sinceMs: state?.startedMs ?? 0,
    restarts: state?.restarts ?? 0,
    version: state?.pid === undefined ? "" : await versionOf(state.pid),
    memoryBytes: state?.pid === undefined ? 0 : await residentBytes(state.pid),
    cpuMillis: state?.pid === undefined ? 0 : await cpu,
  };
}

async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => ""); // ended meanwhile
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

/**
 * The version of a running component: its program is asked, each once. Daemons of ours are known by the main.ts on their
 * command line and said to be of the version of these sources, which may be newer than what runs.
 */
function versionReader(): (pid: number) => Promise<string> {
  const known = new Map<string, Promise<string>>();
  return async (pid) => {
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0"); // ended meanwhile
    const program = command[0] ?? "";
    const isOurs = command.some((word) => word.endsWith("/src/main.ts"));
    const key = isOurs ? "" : program;
    const asked = known.get(key) ?? (isOurs ? Promise.resolve(KNARR_VERSION) : programVersion(program));
    known.set(key, asked);
    return asked;
  };
}

async function programVersion(program: string): Promise<string> {
  if (program === "") return "";
  const text = await tryCommand([program, "--version"], { timeoutMs: 5000 });
  const number = /\bv?(\d+\.\d+\.\d+[^\s,]*)/.exec(text ?? "")?.[1];
  return number === undefined ? "" : `v${number}`;
}
