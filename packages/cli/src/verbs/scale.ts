/** `knarr scale`: sets the number of replicas through the scale subresource. */
import type { Scale } from "@knarr/api/generated/types/autoscaling-v1.ts";
import { objectPath } from "@knarr/apimachinery/resource.ts";
import { isConflict } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { objectName } from "../core/output.ts";
import { parseSelection, type Selection } from "../core/selection.ts";
import { discover } from "../discovery.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface ScaleOptions extends GlobalOptions {
  readonly replicas: string;
  readonly currentReplicas?: string;
}
const MAX_TRIES = 5;

export const scale: Verb = {
  name: "scale",
  register(program, context) {
    program
      .command("scale")
      .description("Set a new size for a deployment, replica set, or replication controller")
      .argument("<type|type/name...>", "the objects")
      .requiredOption("--replicas <n>", "how many replicas")
      .option("--current-replicas <n>", "only when there are so many now")
      .action((words: string[], _options: unknown, command: Command) =>
        runScale(words, command.optsWithGlobals<ScaleOptions>(), context),
      );
  },
};

async function runScale(words: string[], options: ScaleOptions, context: CliContext): Promise<void> {
  const replicas = countOf("--replicas", options.replicas);
  const current =
    options.currentReplicas === undefined ? undefined : countOf("--current-replicas", options.currentReplicas);
  const connection = await connect(options, context);
  const selections = parseSelection(words, await discover(connection.client, context.signal));
  for (const selection of selections) {
    if (selection.name === undefined) throw new CliError("you must name the objects to scale");
    await scaleOne({ ...selection, name: selection.name }, replicas, current, connection, context.signal);
    context.stdout.write(`${objectName(selection.resource, selection.name)} scaled\n`);
  }
}

function countOf(flag: string, text: string): number {
  if (!/^\d+$/.test(text))
    throw new CliError(`The ${flag}=COUNT flag is required, and COUNT must be greater than or equal to 0`);
  return Number(text);
}

async function scaleOne(
  { resource, name }: Selection & { name: string },
  replicas: number,
  current: number | undefined,
  { client, namespace }: Connection,
  signal: AbortSignal,
): Promise<void> {
  const path = objectPath(resource, { namespace, name }, "scale");
  for (let tries = 1; ; tries++) {
    const { body } = await client.request({ method: "GET", path, signal });
    const found = JSON.parse(body.toString("utf8")) as Scale;
    if (current !== undefined && found.spec?.replicas !== current) {
      throw new CliError(`Expected replicas to be ${current}, was ${found.spec?.replicas ?? 0}`);
    }
    const wanted: Scale = { ...found, spec: { ...found.spec, replicas } };
    try {
      await client.request({
        method: "PUT",
        path,
        query: { fieldManager: "knarr-scale" },
        headers: { "content-type": "application/json" },
        body: JSON.stringify(wanted),
        signal,
      });
      return;
    } catch (error) {
      if (!isConflict(error) || tries >= MAX_TRIES) throw error;
    }
  }
}
