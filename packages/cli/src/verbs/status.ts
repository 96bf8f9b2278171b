/** `knarr status`: every component of the local cluster and how it is. */
import { humanDuration } from "@knarr/api/human-duration.ts";
import { type ClusterStatus, clusterStatus } from "@knarr/cluster/status.ts";
import type { Command } from "commander";
import { renderJson } from "../core/output.ts";
import { renderTable } from "../core/table.ts";
import { dataDirOf } from "../data-dir.ts";
import { type CliContext, CliError, type Verb } from "../verb.ts";

export const status: Verb = {
  name: "status",
  register(program, context) {
    program
      .command("status")
      .description("Show every component of the local cluster and its health")
      .option("--data-dir <path>", "where the cluster lives (default: $KNARR_DATA_DIR or /var/lib/knarr)")
      .option("-o, --output <format>", "json")
      .action((_options: unknown, command: Command) => runStatus(command.optsWithGlobals(), context));
  },
};

async function runStatus(options: { dataDir?: string; output?: string }, context: CliContext): Promise<void> {
  const dataDir = dataDirOf(options, context);
  const found = await clusterStatus(dataDir);
  if (found === undefined) throw new CliError(`no cluster in ${dataDir}; "knarr up" makes one`);
  if (options.output === "json") context.stdout.write(renderJson(found));
  else context.stdout.write(renderStatus(found, Date.now()));
  const sick = found.components.filter((component) => !component.healthy);
  if (sick.length > 0) throw new CliError(`${sick.length} of ${found.components.length} components are not well`);
}

function renderStatus({ config, supervised, components }: ClusterStatus, nowMs: number): string {
  const rows = components.map((c) => [
    c.name,
    c.healthy ? "ok" : c.state === "running" ? "unhealthy" : c.state,
    c.pid === 0 ? "-" : String(c.pid),
    c.sinceMs === 0 || c.pid === 0 ? "-" : humanDuration(nowMs - c.sinceMs),
    c.pid === 0 ? "-" : String(c.restarts),
    c.version === "" ? "-" : c.version,
    c.memoryBytes === 0 ? "-" : `${Math.round(c.memoryBytes / 2 ** 20)}Mi`,
    c.pid === 0 ? "-" : `${c.cpuMillis}m`,
    c.message,
  ]);
  const headings = ["COMPONENT", "HEALTH", "PID", "UP", "RESTARTS", "VERSION", "MEMORY", "CPU", "MESSAGE"];
  const head = `Cluster ${config.name} in ${config.dataDir}, API server https://127.0.0.1:${config.ports.apiserver}\n`;
  const note = supervised
    ? ""
    : 'The supervisor does not run: nothing that ends is started again. "knarr up" brings it back.\n';
  return `${head}${note}\n${renderTable(rows, { headings })}`;
}
