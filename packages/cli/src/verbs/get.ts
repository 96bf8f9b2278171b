/** `knarr get`: lists and shows objects. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { resourcePath } from "@knarr/apimachinery/resource.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import {
  listOf,
  OutputFormat,
  objectName,
  parseOutputFormat,
  renderJson,
  renderYaml,
  withoutManagedFields,
} from "../core/output.ts";
import { parseSelection, type Selection } from "../core/selection.ts";
import type { TableColumn } from "../core/table.ts";
import { discover } from "../discovery.ts";
import { describeError } from "../errors.ts";
import { fetchTable, renderServerTable, type ServerTable, TABLE_ACCEPT, type TableStyle } from "../server-table.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface GetOptions extends GlobalOptions {
  readonly output?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly watch?: boolean;
  readonly watchOnly?: boolean;
  readonly headers: boolean;
  readonly showLabels?: boolean;
  readonly labelColumns?: readonly string[];
  readonly ignoreNotFound?: boolean;
  readonly showManagedFields?: boolean;
  readonly chunkSize: string;
}

export const get: Verb = {
  name: "get",
  register(program, context) {
    program
      .command("get")
      .description("Display one or many resources")
      .argument("[type|type/name...]", "resource types and names")
      .option("-o, --output <format>", "one of: json, yaml, name, wide")
      .option("-A, --all-namespaces", "list across all namespaces")
      .option("-l, --selector <query>", "label selector, e.g. app=web,tier!=cache")
      .option("--field-selector <query>", "field selector, e.g. status.phase=Running")
      .option("-w, --watch", "after listing, watch for changes")
      .option("--watch-only", "watch without listing first")
      .option("--no-headers", "leave out the headings")
      .option("--show-labels", "show all labels as the last column")
      .option("-L, --label-columns <labels>", "labels to show as columns", collect)
      .option("--ignore-not-found", "exit 0 when a named object does not exist")
      .option("--show-managed-fields", "keep managedFields in yaml and json")
      .option("--chunk-size <n>", "objects per request, 0 for all at once", "500")
      .action((words: string[], _options: unknown, command: Command) =>
        runGet(words, command.optsWithGlobals<GetOptions>(), context),
      );
  },
};

export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, ...value.split(",").filter((v) => v !== "")];
}

async function runGet(words: string[], options: GetOptions, context: CliContext): Promise<void> {
  const format = parseOutputFormat(options.output);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  const selections = parseSelection(words, mapper);
  const isTable = format === OutputFormat.table || format === OutputFormat.wide;
  if (options.watch === true || options.watchOnly === true) {
    const [only] = selections;
    if (selections.length !== 1 || only === undefined)
      throw new CliError("you may only specify a single resource type");
    await watchObjects(only, options, connection, context);
  } else if (isTable) await printTables(selections, options, connection, context);
  else await printObjects(selections, options, connection, context);
}

function scopeOf(selection: Selection, options: GetOptions, connection: Connection): string {
  if (!selection.resource.namespaced) return "";
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
    namePrefix: several ? objectName(selection.resource, "").slice(0, -1) : "",
  };
}

async function printTables(
  selections: readonly Selection[],
  options: GetOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const several = new Set(selections.map((s) => s.resource)).size > 1;
  const groups: { selection: Selection; table: ServerTable }[] = [];
  const failures: unknown[] = [];
  for (const selection of selections) {
    try {
      const table = await fetchTable(connection.client, selection.resource, {
        namespace: scopeOf(selection, options, connection),
        name: selection.name,
        labelSelector: options.selector,
        fieldSelector: options.fieldSelector,
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
    context.stdout.write(renderServerTable(table.columnDefinitions, table.rows, styleOf(selection, several, options)));
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
  selections: readonly Selection[],
  options: GetOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const objects: { selection: Selection; object: KubeObject }[] = [];
  const failures: unknown[] = [];
  for (const selection of selections) {
    const namespace = scopeOf(selection, options, connection);
    try {
      for await (const object of objectsOf(selection, namespace, options, connection, context)) {
        objects.push({ selection, object: options.showManagedFields === true ? object : withoutManagedFields(object) });
      }
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      if (!(isNotFound(error) && options.ignoreNotFound === true)) failures.push(error);
    }
  }
  const isSingle = selections.length === 1 && selections[0]?.name !== undefined;
  if (options.output === OutputFormat.name) {
    for (const { selection, object } of objects) {
      context.stdout.write(`${objectName(selection.resource, object.metadata.name ?? "")}\n`);
    }
  } else if (!isSingle || objects.length > 0) {
    const value = isSingle ? objects[0]?.object : listOf(objects.map(({ object }) => object));
    context.stdout.write(options.output === OutputFormat.yaml ? renderYaml(value) : renderJson(value));
  }
  reportFailures(failures, context);
}

async function* objectsOf(
  selection: Selection,
  namespace: string,
  options: GetOptions,
  { client }: Connection,
  { signal }: CliContext,
): AsyncIterable<KubeObject> {
  const { resource, name } = selection;
  if (name !== undefined) {
    yield (await client.get(resource, { namespace, name }, { signal })) as KubeObject;
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
    yield* page.items as KubeObject[];
    next = page.metadata.continue === "" ? undefined : page.metadata.continue;
  } while (next !== undefined);
}

/** Lists, then prints each change until interrupted or the server ends the watch. */
async function watchObjects(
  selection: Selection,
  options: GetOptions,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const { client } = connection;
  const namespace = scopeOf(selection, options, connection);
  const fieldSelector = selection.name === undefined ? options.fieldSelector : `metadata.name=${selection.name}`;
  const first = await fetchTable(client, selection.resource, {
    namespace,
    labelSelector: options.selector,
    fieldSelector,
    chunkSize: 0,
    signal: context.signal,
  });
  const style = { ...styleOf(selection, false, options), widths: [] };
  let columns: readonly TableColumn[] = first.columnDefinitions;
  let headings = options.headers;
  const print = (rows: ServerTable["rows"]) => {
    if (rows.length === 0) return;
    context.stdout.write(renderServerTable(columns, rows, { ...style, headings }));
    headings = false;
  };
  if (options.watchOnly !== true) print(first.rows);
  const stream = await client.stream({
    method: "GET",
    path: resourcePath(selection.resource, namespace),
    query: {
      watch: true,
      labelSelector: options.selector,
      fieldSelector,
      resourceVersion: first.metadata.resourceVersion,
    },
    headers: { accept: TABLE_ACCEPT },
    signal: context.signal,
  });
  let rest = "";
  for await (const chunk of stream.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.filter((l) => l !== "")) {
      const event = JSON.parse(line) as { type: string; object: unknown };
      if (event.type === "ERROR") throw new StatusError(event.object as StatusError["status"]);
      if (event.type === "BOOKMARK") continue;
      const table = event.object as ServerTable;
      if ((table.columnDefinitions ?? []).length > 0) columns = table.columnDefinitions;
      print(table.rows);
    }
  }
}
