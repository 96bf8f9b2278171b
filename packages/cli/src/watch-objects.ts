/** `get --watch`: lists, then prints each change until interrupted or the server ends the watch. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf, resourcePath } from "@knarr/apimachinery/resource.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { DiscoveredResource } from "./core/resource-mapper.ts";
import type { TableColumn } from "./core/table.ts";
import type { Printer } from "./print.ts";
import { fetchTable, renderServerTable, type ServerTable, TABLE_ACCEPT, type TableStyle } from "./server-table.ts";
import type { CliContext, Connection } from "./verb.ts";

interface WatchFlags {
  readonly selector?: string;
  readonly fieldSelector?: string | undefined;
  readonly watchOnly?: boolean;
  readonly outputWatchEvents?: boolean;
}
interface Watched {
  readonly resource: DiscoveredResource;
  readonly name: string | undefined;
  readonly namespace: string;
}

export async function watchObjects(
  watched: Watched,
  printer: Printer | undefined,
  style: TableStyle,
  flags: WatchFlags,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const fieldSelector = watched.name === undefined ? flags.fieldSelector : `metadata.name=${watched.name}`;
  const query = { labelSelector: flags.selector, fieldSelector };
  if (printer === undefined) await watchTable(watched, style, { ...flags, ...query }, connection, context);
  else await watchPrinted(watched, printer, { ...flags, ...query }, connection, context);
}

interface Query extends WatchFlags {
  readonly labelSelector: string | undefined;
}

async function watchTable(
  watched: Watched,
  style: TableStyle,
  flags: Query,
  { client }: Connection,
  context: CliContext,
): Promise<void> {
  const { resource, namespace } = watched;
  const { labelSelector, fieldSelector } = flags;
  const { signal } = context;
  const first = await fetchTable(client, resource, { namespace, labelSelector, fieldSelector, chunkSize: 0, signal });
  const widths: number[] = [];
  let columns: readonly TableColumn[] = first.columnDefinitions;
  let headings = style.headings;
  const print = (type: string, rows: ServerTable["rows"]) => {
    if (rows.length === 0) return;
    const event = flags.outputWatchEvents === true ? type : undefined;
    context.stdout.write(renderServerTable(columns, rows, { ...style, widths, headings, event }));
    headings = false;
  };
  if (flags.watchOnly !== true) print("ADDED", first.rows);
  const stream = await client.stream({
    method: "GET",
    path: resourcePath(resource, namespace),
    query: { watch: true, labelSelector, fieldSelector, resourceVersion: first.metadata.resourceVersion },
    headers: { accept: TABLE_ACCEPT },
    signal,
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
      print(event.type, table.rows);
    }
  }
}

async function watchPrinted(
  { resource, namespace }: Watched,
  printer: Printer,
  flags: Query,
  { client }: Connection,
  context: CliContext,
): Promise<void> {
  const { labelSelector, fieldSelector } = flags;
  const { signal } = context;
  let printed = 0;
  const print = (type: string, object: KubeObject) => {
    const typed = { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
    if (printer.format === "yaml" && printed++ > 0) context.stdout.write("---\n");
    context.stdout.write(printer.render(flags.outputWatchEvents === true ? { type, object: typed } : typed));
  };
  const list = await client.list(resource, { namespace, labelSelector, fieldSelector, signal });
  if (flags.watchOnly !== true) for (const item of list.items as KubeObject[]) print("ADDED", item);
  const { resourceVersion } = list.metadata;
  const events = client.watch<KubeObject>(resource as never, {
    namespace,
    labelSelector,
    fieldSelector,
    resourceVersion,
    signal,
  });
  for await (const event of events) {
    if (event.type !== "BOOKMARK") print(event.type, event.object);
  }
}
