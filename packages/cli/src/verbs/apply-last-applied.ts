/** `knarr apply view-last-applied` and `set-last-applied`: the annotation that client-side apply keeps. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { renderJson, renderYaml } from "../core/output.ts";
import { discover } from "../discovery.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addFileFlags, type SelectOptions } from "../flags.ts";
import { getIfThere, LAST_APPLIED, withLastApplied } from "../last-applied.ts";
import { locate } from "../manifest-actions.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { readManifests } from "../read-manifests.ts";
import { type CliContext, CliError, type GlobalOptions } from "../verb.ts";

interface Options extends GlobalOptions, SelectOptions, PrintOptions {
  readonly dryRun?: string;
  readonly createAnnotation?: boolean;
}

export function registerLastApplied(apply: Command, context: CliContext): void {
  addFileFlags(
    apply
      .command("view-last-applied")
      .description("View the latest last-applied-configuration annotations of a resource/object")
      .argument("[type|type/name...]", "the objects")
      .option("-l, --selector <query>", "label selector")
      .option("--all", "all objects of the type")
      .option("-o, --output <format>", "yaml or json", "yaml"),
  ).action((words: string[], _options: unknown, self: Command) =>
    view(words, self.optsWithGlobals<Options>(), context),
  );
  addPrintFlags(
    addDryRunFlag(
      addFileFlags(
        apply
          .command("set-last-applied")
          .description("Set the last-applied-configuration annotation on a live object to match the contents of a file")
          .option("--create-annotation", "also where there is none yet"),
      ),
    ),
  ).action((_options: unknown, self: Command) => set(self.optsWithGlobals<Options>(), context));
}

async function view(words: string[], options: Options, context: CliContext): Promise<void> {
  const { output = "yaml" } = options;
  if (output !== "yaml" && output !== "json") {
    throw new CliError(`Unexpected -o output mode: ${output}, the flag 'output' must be one of yaml|json`);
  }
  const connection = await connect(options, context);
  const found = await findObjects(words, options, connection, context);
  await forEachFound(found, context, async ({ object }) => {
    const text = object.metadata.annotations?.[LAST_APPLIED];
    if (text === undefined)
      throw new CliError(`no last-applied-configuration annotation found on resource: ${object.metadata.name}`);
    const value: unknown = JSON.parse(text);
    context.stdout.write(output === "yaml" ? renderYaml(value) : renderJson(value));
  });
}

async function set(options: Options, context: CliContext): Promise<void> {
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  const recursive = options.recursive === true;
  for (const { object } of await readManifests(options.filename ?? [], { ...options, recursive }, context)) {
    const { resource, namespace } = locate(object, mapper, connection);
    const key = { namespace, name: object.metadata.name ?? "" };
    const live = await getIfThere(connection, resource, key, context.signal);
    if (live?.metadata.annotations?.[LAST_APPLIED] === undefined && options.createAnnotation !== true) {
      throw new CliError(
        `no last-applied-configuration annotation found on resource: ${key.name}, to create the annotation, run the command with --create-annotation`,
      );
    }
    const { annotations } = withLastApplied(object).metadata;
    const body = { metadata: { annotations: { [LAST_APPLIED]: annotations?.[LAST_APPLIED] } } };
    const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-set-last-applied", signal: context.signal };
    const after =
      dryRun === "client" ? object : await connection.client.patch(resource, key, { type: "merge", body }, settings);
    printer.print(after as KubeObject, "configured");
  }
}
