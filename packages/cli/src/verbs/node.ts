/** `knarr node add|remove|stop|start`: the nodes of the local cluster. */
import { readCluster } from "@knarr/cluster/load-cluster.ts";
import { startNode, stopNode } from "@knarr/cluster/node-power.ts";
import { findRemovable, removeClusterNode } from "@knarr/cluster/remove-node.ts";
import { bringUp } from "@knarr/cluster/up.ts";
import { Command } from "commander";
import { dataDirOf } from "../data-dir.ts";
import { collect } from "../flags.ts";
import { showProgress } from "../phase-progress.ts";
import { type CliContext, CliError, type Verb } from "../verb.ts";
import { drain } from "./drain.ts";

interface AddOptions {
  readonly dataDir?: string;
  readonly loadImage?: readonly string[];
}
interface RemoveOptions {
  readonly dataDir?: string;
  readonly kubeconfig?: string;
  readonly drain: boolean;
  readonly timeout: string;
}

const DATA_DIR = ["--data-dir <path>", "where the cluster lives (default: $KNARR_DATA_DIR or /var/lib/knarr)"] as const;

export const node: Verb = {
  name: "node",
  register(program, context) {
    const parent = program.command("node").description("Add, remove, stop and start nodes of the local cluster");
    parent
      .command("add")
      .description("Add a node to the running cluster")
      .option("--load-image <archives>", "image archives to load into it", collect)
      .option(...DATA_DIR)
      .action((_options: unknown, command: Command) => runAdd(command.optsWithGlobals<AddOptions>(), context));
    parent
      .command("remove")
      .description("Drain a node, then take it and its disk away for good")
      .argument("<name>", "node-1, node-2, ...")
      .option("--no-drain", "take it away with its pods, as a machine that burns")
      .option("--timeout <duration>", "how long to drain", "5m")
      .option(...DATA_DIR)
      .action((name: string, _options: unknown, command: Command) =>
        runRemove(name, command.optsWithGlobals<RemoveOptions>(), context),
      );
    const power = (name: string, does: string, run: typeof stopNode, past: string) =>
      parent
        .command(name)
        .description(does)
        .argument("<name>", "node-1, node-2, ...")
        .option(...DATA_DIR)
        .action(async (nodeName: string, _options: unknown, command: Command) => {
          await run(dataDirOf(command.optsWithGlobals(), context), nodeName, context.signal);
          context.stdout.write(`node/${nodeName} ${past}\n`);
        });
    power("stop", "End all of a node's processes, its pods' among them, as a power cut does", stopNode, "stopped");
    power("start", "Start a stopped node again", startNode, "started");
  },
};

async function runAdd(options: AddOptions, context: CliContext): Promise<void> {
  const dataDir = dataDirOf(options, context);
  const before = await readCluster(dataDir);
  if (before === undefined) throw new CliError(`no cluster in ${dataDir}; "knarr up" makes one`);
  const config = await bringUp({
    runtime: undefined,
    dataDir,
    nodeCount: before.nodes.length + 1,
    loadImages: options.loadImage ?? [],
    env: context.env,
    progress: showProgress(context),
    signal: context.signal,
  });
  context.stdout.write(`node/${config.nodes.at(-1)?.name} added\n`);
}

async function runRemove(name: string, options: RemoveOptions, context: CliContext): Promise<void> {
  const dataDir = dataDirOf(options, context);
  await findRemovable(dataDir, name);
  if (options.drain) {
    // The same as somebody would do by hand, against this cluster whatever the current context is.
    const inner = new Command("knarr").exitOverride().option("--kubeconfig <path>");
    drain.register(inner, context);
    const flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", `--timeout=${options.timeout}`];
    await inner.parseAsync(["drain", name, ...flags, "--kubeconfig", `${dataDir}/kubeconfig`], { from: "user" });
  }
  await removeClusterNode(dataDir, name, context.signal);
  context.stdout.write(`node/${name} removed\n`);
}
