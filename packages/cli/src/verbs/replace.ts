/** `knarr replace`: puts manifests in the place of what is there; with --force deletes first and makes anew. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { discover } from "../discovery.ts";
import { addFileFlags, type FileOptions, integer } from "../flags.ts";
import { forEachManifest, locate, parseValidation } from "../manifest-actions.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { readManifests } from "../read-manifests.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface ReplaceOptions extends GlobalOptions, FileOptions, PrintOptions {
  readonly force?: boolean;
  readonly gracePeriod: string;
  readonly subresource?: string;
  readonly saveConfig?: boolean;
  readonly validate: string;
  readonly fieldManager: string;
  readonly dryRun?: string;
  readonly raw?: string;
}
const POLL_MS = 250;

export const replace: Verb = {
  name: "replace",
  register(program, context) {
    const command = program
      .command("replace")
      .description("Replace a resource by file name or stdin")
      .option("--force", "delete what is there, and make it anew")
      .option("--grace-period <seconds>", "with --force: seconds to end", integer, "-1")
      .option("--cascade <policy>", "with --force: background, orphan or foreground", "background")
      .option("--subresource <name>", "status or scale")
      .option("--save-config", "keep the manifest in the annotation of kubectl apply")
      .option("--validate <mode>", "strict, warn or ignore", "strict")
      .option("--field-manager <name>", "who owns the fields", "kubectl-replace");
    addPrintFlags(addDryRunFlag(addFileFlags(command))).action((_options: unknown, self: Command) =>
      runReplace(self.optsWithGlobals<ReplaceOptions>(), context),
    );
  },
};

async function runReplace(options: ReplaceOptions, context: CliContext): Promise<void> {
  if (options.filename === undefined && options.kustomize === undefined) {
    throw new CliError("must specify one of -f and -k");
  }
  const dryRun = parseDryRun(options.dryRun);
  const fieldValidation = parseValidation(options.validate);
  const printer = new ResultPrinter(options, context);
  const recursive = options.recursive === true;
  const manifests = await readManifests(options.filename ?? [], { ...options, recursive }, context);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  const { client } = connection;
  const settings = {
    dryRun: dryRun === "server",
    fieldManager: options.fieldManager,
    fieldValidation,
    signal: context.signal,
  };
  await forEachManifest("replacing", manifests, context, async ({ object }) => {
    const { resource, namespace } = locate(object, mapper, connection);
    const metadata = { ...object.metadata, ...(namespace === "" ? {} : { namespace }) };
    const wanted = { ...object, metadata } as KubeObject;
    if (dryRun === "client") {
      printer.print(wanted, "replaced");
      return;
    }
    if (options.force !== true) {
      const { subresource } = options;
      printer.print((await client.update(resource, wanted, { ...settings, subresource })) as KubeObject, "replaced");
      return;
    }
    const key = { namespace, name: object.metadata.name ?? "" };
    const grace = Number(options.gracePeriod);
    try {
      await client.delete(resource, key, {
        ...(grace >= 0 ? { gracePeriodSeconds: grace } : {}),
        signal: context.signal,
      });
      context.stdout.write(`${resource.singular} "${key.name}" deleted\n`);
      while (await exists(() => client.get(resource, key, { signal: context.signal }))) {
        await systemClock.sleep(POLL_MS, context.signal);
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    const { resourceVersion: _version, uid: _uid, ...fresh } = metadata;
    const made = await client.create(resource, { ...object, metadata: fresh } as KubeObject, settings);
    printer.print(made as KubeObject, "replaced");
  });
}

async function exists(get: () => Promise<unknown>): Promise<boolean> {
  try {
    await get();
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
