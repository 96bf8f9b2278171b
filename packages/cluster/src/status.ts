/** How every component is: its process, its health, since when, how much memory. */
import { readFile } from "node:fs/promises";
import type { ClusterConfig } from "./cluster-config.ts";
import { type ComponentSpec, planControlPlane, planNode } from "./components.ts";
import { probeHealth } from "./health.ts";
import { readCluster } from "./load-cluster.ts";
import { clusterPaths } from "./paths.ts";
import { askSupervisor, type ComponentState, SupervisorGoneError } from "./supervisor/protocol.ts";
import { projectRoot } from "./up.ts";

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
  /** Resident set; 0 when it does not run. */
  readonly memoryBytes: number;
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
  const tools = { etcd: "", containerd: "", ctr: "", runc: "", cniBinDir: "" };
  const options = { config, paths, tools, node: "", projectRoot };
  const specs = [...planControlPlane(options), ...config.nodes.flatMap((node) => planNode(options, node))];
  const states = await supervisedStates(paths.supervisorSocket);
  const components = await Promise.all(
    specs.map((spec) =>
      statusOf(
        spec,
        states?.find((state) => state.name === spec.name),
      ),
    ),
  );
  return { config, supervised: states !== undefined, components };
}

async function supervisedStates(socket: string): Promise<readonly ComponentState[] | undefined> {
  try {
    return (await askSupervisor(socket, { op: "status" })).components;
  } catch (error) {
    if (error instanceof SupervisorGoneError) return undefined;
    throw error;
  }
}

async function statusOf(spec: ComponentSpec, state: ComponentState | undefined): Promise<ComponentStatus> {
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
    memoryBytes: state?.pid === undefined ? 0 : await residentBytes(state.pid),
  };
}

async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => ""); // ended meanwhile
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}
