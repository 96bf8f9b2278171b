/** `knarr cordon` and `knarr uncordon`: keep new pods off a node, and let them come again. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addDryRunFlag, type DryRun, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface CordonOptions extends GlobalOptions {
  readonly selector?: string;
  readonly dryRun?: string;
}

export const cordon = verbOf("cordon", "Mark node as unschedulable", true);
export const uncordon = verbOf("uncordon", "Mark node as schedulable", false);

function verbOf(name: string, description: string, unschedulable: boolean): Verb {
  return {
    name,
    register(program, context) {
      const command = program
        .command(name)
        .description(description)
        .argument("[node...]", "the nodes")
        .option("-l, --selector <query>", "nodes by label");
      addDryRunFlag(command).action((words: string[], _options: unknown, self: Command) =>
        run(words, unschedulable, self.optsWithGlobals<CordonOptions>(), context),
      );
    },
  };
}

/** The nodes that the words and the selector mean. Throws CliError when there are none. */
export async function findNodes(
  words: readonly string[],
  options: CordonOptions,
  connection: Connection,
  context: CliContext,
  name: string,
): Promise<Node[]> {
  if (words.length === 0 && options.selector === undefined) {
    throw new CliError(`USAGE: ${name} NODE [flags]\nSee 'knarr ${name} -h' for help and examples`);
  }
  if (words.length > 0 && options.selector !== undefined) {
    throw new CliError("cannot specify both a node name and a --selector option");
  }
  const names = words.map((word) => word.replace(/^(nodes?|no)\//, ""));
  const found = await findObjects(["nodes", ...names], options, connection, context);
  return found.map(({ object }) => object as Node);
}

async function run(
  words: string[],
  unschedulable: boolean,
  options: CordonOptions,
  context: CliContext,
): Promise<void> {
  const dryRun = parseDryRun(options.dryRun);
  const connection = await connect(options, context);
  const nodes = await findNodes(words, options, connection, context, unschedulable ? "cordon" : "uncordon");
  const printer = new ResultPrinter(options, context);
  const found = nodes.map((object) => ({ object }));
  await forEachFound(found as never, context, async (item) => {
    await setUnschedulable(item.object as Node, unschedulable, dryRun, connection, printer, context.signal);
  });
}

export async function setUnschedulable(
  node: Node,
  unschedulable: boolean,
  dryRun: DryRun,
  { client }: Connection,
  printer: ResultPrinter,
  signal: AbortSignal,
): Promise<void> {
  const did = unschedulable ? "cordoned" : "uncordoned";
  if ((node.spec?.unschedulable === true) === unschedulable) {
    printer.print(node, `already ${did}`);
    return;
  }
  if (dryRun !== "client") {
    const body = { spec: { unschedulable: unschedulable ? true : null } };
    const key = { namespace: "", name: node.metadata.name ?? "" };
    const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-cordon", signal };
    await client.patch(core.nodes, key, { type: "strategic", body }, settings);
  }
  printer.print(node, did);
}
