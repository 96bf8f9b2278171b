/** `knarr patch`: changes fields by a strategic merge, JSON merge or JSON patch. */
import { readFileSync } from "node:fs";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { parseYaml } from "@knarr/apimachinery/yaml.ts";
import type { PatchType } from "@knarr/client/client.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addFileFlags, type SelectOptions } from "../flags.ts";
import { patchLocally } from "../local-patch.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface PatchOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly patch?: string;
  readonly patchFile?: string;
  readonly type: string;
  readonly subresource?: string;
  readonly dryRun?: string;
  readonly fieldManager: string;
}
const TYPES: readonly PatchType[] = ["json", "merge", "strategic"];

export const patch: Verb = {
  name: "patch",
  register(program, context) {
    const command = program
      .command("patch")
      .description("Update fields of a resource")
      .argument("[type|type/name...]", "the object")
      .option("-p, --patch <patch>", "the patch as JSON or YAML")
      .option("--patch-file <path>", "a file with the patch")
      .option("--type <type>", "json, merge or strategic", "strategic")
      .option("--subresource <name>", "status or scale")
      .option("--local", "change the file's object without the server")
      .option("--field-manager <name>", "who owns the changed fields", "kubectl-patch");
    addPrintFlags(addDryRunFlag(addFileFlags(command))).action((words: string[], _options: unknown, self: Command) =>
      runPatch(words, self.optsWithGlobals<PatchOptions>(), context),
    );
  },
};

function bodyOf(options: PatchOptions): unknown {
  const { patch: inline, patchFile } = options;
  if ((inline === undefined) === (patchFile === undefined)) {
    throw new CliError(
      inline === undefined
        ? "must specify --patch or --patch-file containing the contents of the patch"
        : "cannot specify --patch and --patch-file together",
    );
  }
  const text = inline ?? readFileSync(patchFile ?? "", "utf8");
  let body: unknown;
  try {
    body = parseYaml(text).value;
  } catch (error) {
    throw new CliError(`unable to parse ${JSON.stringify(text)}: ${(error as Error).message}`);
  }
  const isRight = options.type === "json" ? Array.isArray(body) : typeof body === "object" && body !== null;
  if (!isRight)
    throw new CliError(
      `unable to parse ${JSON.stringify(text)}: must be ${options.type === "json" ? "a list of operations" : "an object"}`,
    );
  return body;
}

async function runPatch(words: string[], options: PatchOptions, context: CliContext): Promise<void> {
  const type = TYPES.find((t) => t === options.type.toLowerCase());
  if (type === undefined)
    throw new CliError(`--type must be one of [${TYPES.join(" ")}], not ${JSON.stringify(options.type)}`);
  const body = bodyOf(options);
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const found = await findObjects(words, options, connection, context);
  await forEachFound(found, context, async ({ resource, key, object }) => {
    if (options.local === true || dryRun === "client") {
      const patched = patchLocally(object, type, body);
      printer.print(patched, "patched");
      return;
    }
    const { subresource, fieldManager } = options;
    const after = (await connection.client.patch(
      resource,
      key,
      { type, body },
      { subresource, fieldManager, dryRun: dryRun === "server", signal: context.signal },
    )) as KubeObject;
    const changed = after.metadata.resourceVersion !== object.metadata.resourceVersion;
    printer.print(after, changed || dryRun === "server" ? "patched" : "patched (no change)");
  });
}
