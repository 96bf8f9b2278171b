/** Asks the server for its human tables (meta.k8s.io/v1 Table) and prints them. */
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { objectPath, type ResourceRef, resourcePath } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import { cellText, renderTable, type TableColumn } from "./core/table.ts";

export interface ServerTable {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly columnDefinitions: readonly TableColumn[];
  readonly rows: readonly {
    readonly cells: readonly unknown[];
    readonly object?: { readonly metadata?: ObjectMeta };
  }[];
}

export const TABLE_ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

export interface TableQuery {
  readonly namespace: string;
  readonly name?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly subresource?: string | undefined;
  /** "Object" for whole objects beside the cells; their metadata alone when absent. */
  readonly includeObject?: "Object" | undefined;
  readonly chunkSize: number;
  readonly signal: AbortSignal;
}

/** All pages of a list as one table, or the table of one object. Throws StatusError. */
export async function fetchTable(client: Client, ref: ResourceRef<unknown>, query: TableQuery): Promise<ServerTable> {
  const path =
    query.name === undefined
      ? resourcePath(ref, query.namespace)
      : objectPath(ref, { namespace: query.namespace, name: query.name }, query.subresource);
  const rows: ServerTable["rows"][number][] = [];
  let next = "";
  for (;;) {
    const { body } = await client.request({
      method: "GET",
      path,
      query: {
        labelSelector: query.labelSelector,
        fieldSelector: query.fieldSelector,
        includeObject: query.includeObject,
        ...(query.name === undefined && query.chunkSize > 0 ? { limit: query.chunkSize } : {}),
        ...(next === "" ? {} : { continue: next }),
      },
      headers: { accept: TABLE_ACCEPT },
      signal: query.signal,
    });
    const page = JSON.parse(body.toString("utf8")) as ServerTable;
    rows.push(...page.rows);
    next = page.metadata.continue ?? "";
    if (next === "") return { ...page, rows };
  }
}

export interface TableStyle {
  readonly wide: boolean;
  readonly headings: boolean;
  readonly showNamespace: boolean;
  readonly showLabels: boolean;
  readonly labelColumns: readonly string[];
  /** Put before each name when several resources are printed: "pod" gives "pod/web". */
  readonly namePrefix: string;
  /** Column widths so far, for tables that grow. */
  readonly widths?: number[];
  /** With --output-watch-events: the type of the event that the rows came with. */
  readonly event?: string | undefined;
}

/** The table as text; `columns` are the definitions, which watch events after the first leave out. */
export function renderServerTable(
  columns: readonly TableColumn[],
  rows: ServerTable["rows"],
  style: TableStyle,
): string {
  const shown = columns.map((column, i) => ({ column, i })).filter(({ column }) => style.wide || column.priority === 0);
  const headings = [
    ...(style.event === undefined ? [] : ["EVENT"]),
    ...(style.showNamespace ? ["NAMESPACE"] : []),
    ...shown.map(({ column }) => column.name.toUpperCase()),
    ...style.labelColumns.map((label) => (label.split("/").at(-1) ?? label).toUpperCase()),
    ...(style.showLabels ? ["LABELS"] : []),
  ];
  const lines = rows.map((row) => {
    const metadata = row.object?.metadata;
    const labels = metadata?.labels ?? {};
    return [
      ...(style.event === undefined ? [] : [style.event]),
      ...(style.showNamespace ? [metadata?.namespace ?? ""] : []),
      ...shown.map(({ column, i }) => {
        const text = cellText(row.cells[i]);
        return column.name === "Name" && style.namePrefix !== "" ? `${style.namePrefix}/${text}` : text;
      }),
      ...style.labelColumns.map((label) => labels[label] ?? ""),
      ...(style.showLabels ? [labelsText(labels)] : []),
    ];
  });
  return renderTable(lines, {
    ...(style.headings ? { headings } : {}),
    ...(style.widths === undefined ? {} : { widths: style.widths }),
  });
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? "<none>" : pairs.sort().join(",");
}
