/** `knarr label` and `knarr annotate`: set and remove labels or annotations. */

import { isLabelValue, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { sortByName } from "../core/strings.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addSelectFlags, type SelectOptions } from "../flags.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface MetadataOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly overwrite?: boolean;
  readonly list?: boolean;
  readonly resourceVersion?: string;
  readonly dryRun?: string;
  readonly fieldManager?: string;
}

/** What the two verbs differ in. */
interface MetadataKind {
  readonly name: "label" | "annotate";
  readonly field: "labels" | "annotations";
  readonly noun: "label" | "annotation";
  readonly did: string;
  check(key: string, value: string): readonly string[];
}

const labels: MetadataKind = {
  name: "label",
  field: "labels",
  noun: "label",
  did: "labeled",
  check: (_key, value) => isLabelValue(value),
};
const annotations: MetadataKind = {
  name: "annotate",
  field: "annotations",
  noun: "annotation",
  did: "annotated",
  check: (key) => isQualifiedName(key.toLowerCase()),
};

export const label = verbOf(labels, "Update the labels on a resource");
export const annotate = verbOf(annotations, "Update the annotations on a resource");

function verbOf(kind: MetadataKind, description: string): Verb {
  return {
    name: kind.name,
    register(program, context) {
      const command = program
        .command(kind.name)
        .description(description)
        .argument("<type|type/name|key=value|key-...>", "objects, then what to set or remove")
        .option("--overwrite", `change ${kind.field} that are set already`)
        .option("--list", `show the ${kind.field} of the objects`)
        .option("--resource-version <version>", "only when the object has this version")
        .option("--field-manager <name>", "who owns the changed fields");
      addPrintFlags(addDryRunFlag(addSelectFlags(command))).action(
        (words: string[], _options: unknown, self: Command) =>
          run(kind, words, self.optsWithGlobals<MetadataOptions>(), context),
      );
    },
  };
}

interface Changes {
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
}

/** Words with `=` and words that end in `-` after the first are changes; what stands before them are objects. */
export function splitChanges(words: readonly string[], noun: string): { objects: string[]; changes: Changes } {
  const at = words.findIndex((word, i) => (word.includes("=") || word.endsWith("-")) && (i > 0 || word.includes("=")));
  const objects = words.slice(0, at < 0 ? words.length : at);
  const set = new Map<string, string>();
  const remove: string[] = [];
  for (const word of at < 0 ? [] : words.slice(at)) {
    const equals = word.indexOf("=");
    if (equals > 0) set.set(word.slice(0, equals), word.slice(equals + 1));
    else if (equals < 0 && word.endsWith("-")) remove.push(word.slice(0, -1));
    else throw new CliError(`unknown ${noun} spec: ${word}`);
  }
  const both = remove.find((key) => set.has(key));
  if (both !== undefined) throw new CliError(`cannot modify and remove the same ${noun}(s), [${both}]`);
  return { objects: [...objects], changes: { set, remove } };
}

async function run(kind: MetadataKind, words: string[], options: MetadataOptions, context: CliContext): Promise<void> {
  const { objects, changes } = splitChanges(words, kind.noun);
  if (changes.set.size === 0 && changes.remove.length === 0 && options.list !== true) {
    throw new CliError(`at least one ${kind.noun} update is required`);
  }
  for (const [key, value] of changes.set) {
    const wrong = kind.check(key, value);
    if (wrong.length > 0)
      throw new CliError(`invalid ${kind.noun} value: ${JSON.stringify(`${key}=${value}`)}: ${wrong.join(";")}`);
  }
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const found = await findObjects(objects, options, connection, context);
  await forEachFound(found, context, async ({ resource, key, object }) => {
    if (options.list === true && changes.set.size === 0 && changes.remove.length === 0) {
      for (const [name, value] of sortByName(object.metadata[kind.field] ?? {})) {
        context.stdout.write(`${name}=${value}\n`);
      }
      return;
    }
    const { after, missing, unchanged } = changed(object, kind, changes, options.overwrite === true);
    for (const name of missing) context.stdout.write(`${kind.noun} "${name}" not found.\n`);
    const did = unchanged ? (kind.name === "annotate" ? kind.did : `not ${kind.did}`) : didOf(kind, changes);
    if (options.local === true || dryRun === "client" || (unchanged && kind.name === "label")) {
      printer.print(after, did);
      return;
    }
    const body = {
      metadata: {
        ...(options.resourceVersion === undefined ? {} : { resourceVersion: options.resourceVersion }),
        [kind.field]: Object.fromEntries([...changes.set, ...changes.remove.map((name) => [name, null] as const)]),
      },
    };
    const fieldManager = options.fieldManager ?? `kubectl-${kind.name}`;
    const settings = { dryRun: dryRun === "server", fieldManager, signal: context.signal };
    const answer = await connection.client.patch(resource, key, { type: "merge", body }, settings);
    printer.print(answer as KubeObject, did);
  });
}

/** kubectl says "unlabeled" when labels only go. */
function didOf(kind: MetadataKind, { set, remove }: Changes): string {
  return kind.name === "label" && set.size === 0 && remove.length > 0 ? "unlabeled" : kind.did;
}

function changed(object: KubeObject, { field, noun }: MetadataKind, { set, remove }: Changes, overwrite: boolean) {
  const before: Readonly<Record<string, string>> = object.metadata[field] ?? {};
  const after: Record<string, string> = { ...before };
  for (const [key, value] of set) {
    const old = before[key];
    if (old !== undefined && !overwrite && (old !== value || noun === "annotation")) {
      throw new CliError(
        noun === "label"
          ? `'${key}' already has a value (${old}), and --overwrite is false`
          : `--overwrite is false but found the following declared annotation(s): '${key}' already has a value (${old})`,
      );
    }
    after[key] = value;
  }
  const missing = noun === "label" ? remove.filter((key) => before[key] === undefined) : [];
  for (const key of remove) delete after[key];
  const unchanged = JSON.stringify(sortByName(before)) === JSON.stringify(sortByName(after));
  return { after: { ...object, metadata: { ...object.metadata, [field]: after } }, missing, unchanged };
}
