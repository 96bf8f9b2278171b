/** `knarr scale`: sets the number of replicas through the scale subresource. */
import type { Scale } from "@knarr/api/generated/types/autoscaling-v1.ts";
import { objectPath } from "@knarr/apimachinery/resource.ts";
import { isConflict } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { type FoundObject, findObjects, forEachFound } from "../find-objects.ts";
import { addSelectFlags, duration, integer, type SelectOptions } from "../flags.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface ScaleOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly replicas: string;
  readonly currentReplicas: string;
  readonly resourceVersion?: string;
  readonly timeout: string;
  readonly dryRun?: string;
}
const MAX_TRIES = 5;
const POLL_MS = 500;

export const scale: Verb = {
  name: "scale",
  register(program, context) {
    const command = program
      .command("scale")
      .description("Set a new size for a deployment, replica set, or replication controller")
      .argument("[type|type/name...]", "the objects")
      .requiredOption("--replicas <n>", "how many replicas", integer)
      .option("--current-replicas <n>", "only when there are so many now", integer, "-1")
      .option("--resource-version <version>", "only when the object has this version")
      .option("--timeout <duration>", "how long to wait for the new size, 0s for not at all", duration, "0s");
    addPrintFlags(addDryRunFlag(addSelectFlags(command))).action((words: string[], _options: unknown, self: Command) =>
      runScale(words, self.optsWithGlobals<ScaleOptions>(), context),
    );
  },
};

async function runScale(words: string[], options: ScaleOptions, context: CliContext): Promise<void> {
  const replicas = Number(options.replicas);
  if (!/^-?\d+$/.test(options.replicas)) {
    throw new CliError(
      `invalid argument ${JSON.stringify(options.replicas)} for "--replicas" flag: strconv.ParseInt: parsing ${JSON.stringify(options.replicas)}: invalid syntax`,
    );
  }
  if (replicas < 0)
    throw new CliError("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const found = await findObjects(words, options, connection, context);
  await forEachFound(found, context, async (item) => {
    if (dryRun !== "client") await scaleOne(item, replicas, options, dryRun === "server", connection, context.signal);
    printer.print(item.object, "scaled");
  });
}

async function scaleOne(
  { resource, key }: FoundObject,
  replicas: number,
  options: ScaleOptions,
  dryRun: boolean,
  { client }: Connection,
  signal: AbortSignal,
): Promise<void> {
  const path = objectPath(resource, key, "scale");
  const current = Number(options.currentReplicas);
  for (let tries = 1; ; tries++) {
    const found = await client.getSubresource<Scale>(resource, key, "scale", { signal });
    if (current >= 0 && (found.spec?.replicas ?? 0) !== current) {
      throw new CliError(`Expected replicas to be ${current}, was ${found.spec?.replicas ?? 0}`);
    }
    if (options.resourceVersion !== undefined && found.metadata.resourceVersion !== options.resourceVersion) {
      throw new CliError(
        `Expected resource version to be ${options.resourceVersion}, was ${found.metadata.resourceVersion}`,
      );
    }
    try {
      await client.request({
        method: "PUT",
        path,
        query: { fieldManager: "kubectl-scale", ...(dryRun ? { dryRun: "All" } : {}) },
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...found, spec: { ...found.spec, replicas } }),
        signal,
      });
      break;
    } catch (error) {
      if (!isConflict(error) || tries >= MAX_TRIES) throw error;
    }
  }
  const timeoutMs = parseGoDurationMs(options.timeout);
  const deadlineMs = systemClock.monotonicMs() + timeoutMs;
  while (timeoutMs > 0 && !dryRun) {
    const now = await client.getSubresource<Scale>(resource, key, "scale", { signal });
    if (now.spec?.replicas !== replicas || now.status?.replicas === replicas) return;
    if (systemClock.monotonicMs() > deadlineMs) throw new CliError("timed out waiting for the condition");
    await systemClock.sleep(POLL_MS, signal);
  }
}
