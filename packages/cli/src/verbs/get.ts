/** `knarr get`: lists and shows objects. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { listOf, objectName } from "../core/output.ts";
import type { ResourceMapper } from "../core/resource-mapper.ts";
import { parseSelection, type Selection } from "../core/selection.ts";
import { sortByPath } from "../core/sort-by.ts";
import { discover } from "../discovery.ts";
import { describeError } from "../errors.ts";
import { addFileFlags, collect, type FileOptions, integer } from "../flags.ts";
import { addPrintFlags, type Printer, type PrintOptions, printerOf } from "../print.ts";
import { readManifests } from "../read-manifests.ts";
import { fetchTable, renderServerTable, type ServerTable, type TableStyle } from "../server-table.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";
import { watchObjects } from "../watch-objects.ts";

export interface GetOptions extends GlobalOptions, PrintOptions, FileOptions {
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly watch?: boolean;
  readonly watchOnly?: boolean;
  readonly outputWatchEvents?: boolean;
  readonly headers: boolean;
  readonly showKind?: boolean;
  readonly showLabels?: boolean;
  readonly labelColumns?: readonly string[];
  readonly ignoreNotFound?: boolean;
  readonly sortBy?: string;
  readonly subresource?: string;
  readonly raw?: string;
  readonly chunkSize: string;
}

export const get: Verb = {
  name: "get",
  register(program, context) {
    const command = program
      .command("get")
      .description("Display one or many resources")
      .argument("[type|type/name...]", "resource types and names")
      .option("-A, --all-namespaces", "list across all namespaces")
      .option("-l, --selector <query>", "label selector, e.g. app=web,tier!=cache")
      .option("--field-selector <query>", "field selector, e.g. status.phase=Running")
      .option("-w, --watch", "after listing, watch for changes")
      .option("--watch-only", "watch without listing first")
      .option("--output-watch-events", "print the type of each watch event")
      .option("--no-headers", "leave out the headings")
      .option("--show-kind", "put the type before each name")
      .option("--show-labels", "show all labels as the last column")
      .option("-L, --label-columns <labels>", "labels to show as columns", collect)
      .option("--ignore-not-found", "exit 0 when a named object does not exist")
      .option("--sort-by <path>", "JSONPath of the field to sort by, e.g. .metadata.name")
      .option("--subresource <name>", "status, scale or another subresource of the object")
      .option("--server-print", "have the server make the tables (always so here)", true)
      .option("--raw <path>", "the answer to this path, as it is")
      .option("--chunk-size <n>", "objects per request, 0 for all at once", integer, "500");
    addPrintFlags(addFileFlags(command)).action((words: string[], _options: unknown, self: Command) =>
      runGet(words, self.optsWithGlobals<GetOptions>(), context),
    );
  },
};

async function runGet(words: string[], options: GetOptions, context: CliContext): Promise<void> {
  // cobra's --no-headers is a flag of its own, so `--no-headers=false` means headings.
  const printer = printerOf(options, true);
  const connection = await connect(options, context);
  if (options.raw !== undefined) {
    await printRaw(options.raw, words, connection, context);
    return;
  }
  const mapper = await discover(connection.client, context.signal);
  const selections = await selectionsOf(words, options, mapper, connection, context);
  if (options.watch === true || options.watchOnly === true) {
    const [only] = selections;
    if (selections.length !== 1 || only === undefined) {
      throw new CliError("you may only specify a single resource type");
    }
    const namespace = scopeOf(only, options, connection);
    await watchObjects({ ...only, namespace }, printer, styleOf(only, false, options), options, connection, context);
  } else if (printer === undefined) await printTables(selections, options, connection, context);
  else await printObjects(selections, printer, options, connection, context);
}

async function printRaw(path: string, words: string[], { client }: Connection, context: CliContext): Promise<void> {
  if (words.length > 0) throw new CliError("arguments may not be passed when --raw is specified");
  if (!path.startsWith("/")) throw new CliError(`--raw must begin with "/", got ${JSON.stringify(path)}`);
  const stream = await client.stream({ method: "GET", path, signal: context.signal });
  for await (const chunk of stream) context.stdout.write(chunk as Buffer);
}

interface Located extends Selection {
  /** Where the file says; undefined for what the command line names. */
  readonly namespace?: string | undefined;
}

async function selectionsOf(
  words: string[],
  options: GetOptions,
  mapper: ResourceMapper,
  connection: Connection,
  context: CliContext,
): Promise<Located[]> {
  if (options.filename === undefined && options.kustomize === undefined) {
    if (words.length === 0) {
      context.stderr.write(
        'You must specify the type of resource to get. Use "knarr api-resources" for a complete list of supported resources.\n\n',
      );
      throw new CliError(
        "Required resource not specified.\n" +
          'Use "knarr explain <resource>" for a detailed description of that resource (e.g. knarr explain pods).\n' +
          "See 'knarr get -h' for help and examples",
      );
    }
    return parseSelection(words, mapper);
  }
  const recursive = options.recursive === true;
  const manifests = await readManifests(options.filename ?? [], { ...options, recursive }, context);
  return manifests.map(({ object }) => ({
    resource: mapper.forKind(object.apiVersion, object.kind),
    name: object.metadata.name,
    namespace: object.metadata.namespace ?? connection.namespace,
  }));
}

function scopeOf(selection: Located, options: GetOptions, connection: Connection): string {
  if (!selection.resource.namespaced) return "";
  if (selection.namespace !== undefined) return selection.namespace;
  if (options.allNamespaces !== true) return connection.namespace;
  if (selection.name !== undefined) {
    throw new CliError("a resource cannot be retrieved by name across all namespaces");
  }
  return "";
}

function styleOf(selection: Selection, several: boolean, options: GetOptions): TableStyle {
  return {
    wide: options.output === "wide",
    headings: options.headers,
    showNamespace: options.allNamespaces === true && selection.resource.namespaced,
    showLabels: options.showLabels === true,
    labelColumns: options.labelColumns ?? [],
    namePrefix: several || options.showKind === true ? objectName(selection.resource, "").slice(0, -1) : "",
  };
}

async function printTables(
  selections: readonly Located[],
  options: GetOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const several = new Set(selections.map((s) => s.resource)).size > 1;
  const groups: { selection: Located; table: ServerTable }[] = [];
  const failures: unknown[] = [];
  for (const selection of selections) {
    try {
      const table = await fetchTable(connection.client, selection.resource, {
        namespace: scopeOf(selection, options, connection),
        name: selection.name,
        labelSelector: options.selector,
        fieldSelector: options.fieldSelector,
        subresource: options.subresource,
        // Sorting needs the objects, not their metadata alone.
        includeObject: options.sortBy === undefined ? undefined : "Object",
        chunkSize: Number(options.chunkSize),
        signal: context.signal,
      });
      const previous = groups.at(-1);
      if (previous !== undefined && previous.selection.resource === selection.resource) {
        groups[groups.length - 1] = { selection, table: { ...table, rows: [...previous.table.rows, ...table.rows] } };
      } else groups.push({ selection, table });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      if (!(isNotFound(error) && options.ignoreNotFound === true)) failures.push(error);
    }
  }
  const printed = groups.filter(({ table }) => table.rows.length > 0);
  for (const [index, { selection, table }] of printed.entries()) {
    if (index > 0) context.stdout.write("\n");
    const rows =
      options.sortBy === undefined ? table.rows : sortByPath(table.rows, options.sortBy, (row) => row.object);
    context.stdout.write(renderServerTable(table.columnDefinitions, rows, styleOf(selection, several, options)));
  }
  if (printed.length === 0 && failures.length === 0 && options.ignoreNotFound !== true) {
    const namespaced = selections.some((s) => s.resource.namespaced) && options.allNamespaces !== true;
    context.stderr.write(
      namespaced ? `No resources found in ${connection.namespace} namespace.\n` : "No resources found\n",
    );
  }
  reportFailures(failures, context);
}

/** Errors of single objects don't keep the others from being shown; the last decides the exit code. */
function reportFailures(failures: readonly unknown[], context: CliContext): void {
  for (const failure of failures.slice(0, -1)) context.stderr.write(`${describeError(failure)}\n`);
  if (failures.length > 0) throw failures.at(-1);
}

async function printObjects(
  selections: readonly Located[],
  printer: Printer,
  options: GetOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const objects: KubeObject[] = [];
  const failures: unknown[] = [];
  for (const selection of selections) {
    const namespace = scopeOf(selection, options, connection);
    try {
      for await (const object of objectsOf(selection, namespace, options, connection, context)) objects.push(object);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      if (!(isNotFound(error) && options.ignoreNotFound === true)) failures.push(error);
    }
  }
  const isSingle = selections.length === 1 && selections[0]?.name !== undefined;
  const sorted = options.sortBy === undefined ? objects : sortByPath(objects, options.sortBy, (object) => object);
  if (isSingle && objects[0] !== undefined) context.stdout.write(printer.render(objects[0]));
  else if (!isSingle && (objects.length > 0 || failures.length === 0)) {
    context.stdout.write(printer.render(listOf(sorted)));
  }
  reportFailures(failures, context);
}

async function* objectsOf(
  { resource, name }: Selection,
  namespace: string,
  options: GetOptions,
  { client }: Connection,
  { signal }: CliContext,
): AsyncIterable<KubeObject> {
  const typed = (object: KubeObject) => ({ ...object, apiVersion: apiVersionOf(resource), kind: resource.kind });
  if (name !== undefined) {
    if (options.subresource === undefined) {
      yield typed((await client.get(resource, { namespace, name }, { signal })) as KubeObject);
    } else
      yield await client.getSubresource<KubeObject>(resource, { namespace, name }, options.subresource, { signal });
    return;
  }
  let next: string | undefined;
  do {
    const page = await client.list(resource, {
      namespace,
      labelSelector: options.selector,
      fieldSelector: options.fieldSelector,
      ...(Number(options.chunkSize) > 0 ? { limit: Number(options.chunkSize) } : {}),
      ...(next === undefined ? {} : { continue: next }),
      signal,
    });
    for (const item of page.items as KubeObject[]) yield typed(item);
    next = page.metadata.continue === "" ? undefined : page.metadata.continue;
  } while (next !== undefined);
}
