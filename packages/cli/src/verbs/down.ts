/** `knarr down`: stops the local cluster and removes what it made on the machine. */
import { bringDown } from "@knarr/cluster/down.ts";
import type { Command } from "commander";
import { dataDirOf } from "../data-dir.ts";
import type { CliContext, Verb } from "../verb.ts";

export const down: Verb = {
  name: "down",
  register(program, context) {
    program
      .command("down")
      .description("Stop the local cluster; rules, mounts, namespaces, links and cgroups go, data stays")
      .option("--data-dir <path>", "where the cluster lives (default: $KNARR_DATA_DIR or /var/lib/knarr)")
      .option("--purge", "remove the data too")
      .action((_options: unknown, command: Command) => runDown(command.optsWithGlobals(), context));
  },
};

async function runDown(options: { dataDir?: string; purge?: boolean }, context: CliContext): Promise<void> {
  const dataDir = dataDirOf(options, context);
  const report = (text: string) => void context.stdout.write(`✔ ${text}\n`);
  const found = await bringDown({ dataDir, purge: options.purge === true, report });
  if (!found) context.stdout.write(`No cluster in ${dataDir}.\n`);
}
