/** `knarr edit`: objects in an editor; what was changed is sent as a patch, what was refused comes back with the reason. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { parseManifests } from "../core/manifests.ts";
import { renderJson, renderYaml, withoutManagedFields } from "../core/output.ts";
import { threeWayMergePatch } from "../core/three-way-merge.ts";
import { describeError } from "../errors.ts";
import { type FoundObject, findObjects } from "../find-objects.ts";
import { addFileFlags, type SelectOptions } from "../flags.ts";
import { schemaOf } from "../local-patch.ts";
import { ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface EditOptions extends GlobalOptions, SelectOptions {
  readonly output: string;
  readonly subresource?: string;
  readonly fieldManager: string;
}

const HEADER =
  "# Please edit the object below. Lines beginning with a '#' will be ignored,\n" +
  "# and an empty file will abort the edit. If an error occurs while saving this file will be\n" +
  "# reopened with the relevant failures.\n#\n";

export const edit: Verb = {
  name: "edit",
  register(program, context) {
    const command = program
      .command("edit")
      .description("Edit a resource on the server")
      .argument("[type|type/name...]", "the objects")
      .option("-o, --output <format>", "yaml or json", "yaml")
      .option("--subresource <name>", "status or scale")
      .option("--field-manager <name>", "who owns the changed fields", "kubectl-edit");
    addFileFlags(command).action((words: string[], _options: unknown, self: Command) =>
      runEdit(words, self.optsWithGlobals<EditOptions>(), context),
    );
  },
};

async function runEdit(words: string[], options: EditOptions, context: CliContext): Promise<void> {
  if (options.output !== "yaml" && options.output !== "json") {
    throw new CliError(`The flag 'output' must be one of yaml|json, not ${options.output}`);
  }
  const connection = await connect(options, context);
  const found = await findObjects(words, { ...options, all: true }, connection, context);
  const folder = await mkdtemp(join(tmpdir(), "knarr-edit-"));
  try {
    for (const item of found) await editOne(item, folder, options, connection, context);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function editOne(
  item: FoundObject,
  folder: string,
  options: EditOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const original = withoutManagedFields(item.object);
  const render = options.output === "json" ? renderJson : renderYaml;
  const path = join(folder, `${item.resource.resource}-${item.key.name}.${options.output}`);
  const printer = new ResultPrinter({}, context);
  let text = render(original);
  let problem = "";
  for (;;) {
    const shown = `${HEADER}${problem}${text}`;
    await writeFile(path, shown);
    await openEditor(path, context);
    const edited = await readFile(path, "utf8");
    if (edited === shown) {
      context.stderr.write(
        problem === "" ? "Edit cancelled, no changes made.\n" : "Edit cancelled, no valid changes were saved.\n",
      );
      if (problem !== "") throw new CliError("Edit cancelled, no valid changes were saved.");
      return;
    }
    text = edited
      .split("\n")
      .filter((line) => !line.startsWith("#"))
      .join("\n");
    if (text.trim() === "") {
      context.stderr.write("Edit cancelled, saved file was empty.\n");
      return;
    }
    try {
      const [manifest] = parseManifests(text, path);
      const changed = manifest?.object;
      if (changed === undefined) throw new CliError("the file holds no object");
      const patch = threeWayMergePatch(json(original), json(changed), json(original), schemaOf(changed));
      if (Object.keys(patch).length === 0) {
        context.stderr.write("Edit cancelled, no changes made.\n");
        return;
      }
      const type = schemaOf(changed) === undefined ? "merge" : "strategic";
      const { subresource, fieldManager } = options;
      const settings = { subresource, fieldManager, signal: context.signal };
      await connection.client.patch(item.resource, item.key, { type, body: patch }, settings);
      printer.print(item.object, "edited");
      return;
    } catch (error) {
      if (!(error instanceof StatusError) && !(error instanceof CliError)) throw error;
      const reason = describeError(error);
      context.stderr.write(`${reason}\n`);
      problem = `${reason
        .split("\n")
        .map((line) => `# ${line}`)
        .join("\n")}\n#\n`;
    }
  }
}

const json = (object: KubeObject) => object as unknown as JsonObject;

/** $KUBE_EDITOR, $EDITOR or vi; the variable may hold arguments. Throws CliError when it can't be run or fails. */
function openEditor(path: string, context: CliContext): Promise<void> {
  const editor = context.env.KUBE_EDITOR ?? context.env.EDITOR ?? "vi";
  return new Promise((resolve, reject) => {
    // By a shell, as people write quoted arguments into the variable.
    const child = spawn("/bin/sh", ["-c", `${editor} "$1"`, "editor", path], {
      stdio: "inherit",
      env: { ...context.env },
    });
    child.once("error", (error) =>
      reject(new CliError(`there was a problem with the editor ${JSON.stringify(editor)}: ${error.message}`)),
    );
    child.once("exit", (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new CliError(
            `there was a problem with the editor ${JSON.stringify(editor)}: it ended with ${signal ?? `exit status ${code}`}`,
          ),
        );
    });
  });
}
