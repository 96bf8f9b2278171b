/** `knarr node stop|start NAME`: pulls the plug of a node of the local cluster, and puts it back. */
import { startNode, stopNode } from "@knarr/cluster/node-power.ts";
import type { Command } from "commander";
import { dataDirOf } from "../data-dir.ts";
import type { CliContext, Verb } from "../verb.ts";

export const node: Verb = {
  name: "node",
  register(program, context) {
    const parent = program.command("node").description("Stop and start nodes of the local cluster");
    const action = (name: string, does: string, run: typeof stopNode) =>
      parent
        .command(name)
        .description(does)
        .argument("<name>", "node-1, node-2, ...")
        .option("--data-dir <path>", "where the cluster lives (default: $KNARR_DATA_DIR or /var/lib/knarr)")
        .action(async (nodeName: string, _options: unknown, command: Command) => {
          await run(dataDirOf(command.optsWithGlobals(), context), nodeName, context.signal);
          report(context, nodeName, name);
        });
    action("stop", "End all of a node's processes, its pods' among them, as a power cut does", stopNode);
    action("start", "Start a stopped node again", startNode);
  },
};

function report({ stdout }: CliContext, nodeName: string, action: string): void {
  stdout.write(`node/${nodeName} ${action === "stop" ? "stopped" : "started"}\n`);
}
