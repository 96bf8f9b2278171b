/** `knarr create -f`: creates objects from manifests. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { OutputFormat, objectName, parseOutputFormat, renderJson, renderYaml } from "../core/output.ts";
import { discover } from "../discovery.ts";
import { readManifests } from "../read-manifests.ts";
import type { CliContext, GlobalOptions, Verb } from "../verb.ts";
import { forEachManifest, locate, parseDryRun, parseValidation } from "./apply.ts";
import { collect } from "./get.ts";

interface CreateOptions extends GlobalOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly dryRun?: string;
  readonly output?: string;
  readonly validate: string;
}

export const create: Verb = {
  name: "create",
  register(program, context) {
    program
      .command("create")
      .description("Create a resource from a file or from stdin")
      .option("-f, --filename <names>", "files, folders, URLs or - for standard input", collect)
      .option("-R, --recursive", "read folders with their subfolders")
      .option("--dry-run <mode>", "none or server", "none")
      .option("-o, --output <format>", "one of: json, yaml, name")
      .option("--validate <mode>", "strict, warn or ignore", "strict")
      .action((_options: unknown, command: Command) => runCreate(command.optsWithGlobals<CreateOptions>(), context));
  },
};

async function runCreate(options: CreateOptions, context: CliContext): Promise<void> {
  const format = parseOutputFormat(options.output);
  const dryRun = parseDryRun(options.dryRun);
  const fieldValidation = parseValidation(options.validate);
  const manifests = await readManifests(options.filename ?? [], { recursive: options.recursive === true }, context);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  await forEachManifest(manifests, context, async (manifest) => {
    const { resource, namespace } = locate(manifest, mapper, connection);
    const metadata = { ...manifest.object.metadata, ...(namespace === "" ? {} : { namespace }) };
    const created = (await connection.client.create(
      resource,
      { ...manifest.object, metadata },
      { dryRun, fieldManager: "knarr-create", fieldValidation, signal: context.signal },
    )) as KubeObject;
    if (format === OutputFormat.yaml || format === OutputFormat.json) {
      context.stdout.write(format === OutputFormat.yaml ? renderYaml(created) : renderJson(created));
      return;
    }
    const shown = objectName(resource, created.metadata.name ?? "");
    const suffix = dryRun ? " (server dry run)" : "";
    context.stdout.write(format === OutputFormat.name ? `${shown}\n` : `${shown} created${suffix}\n`);
  });
}
