/**
 * Objects as a meta.k8s.io/v1 Table: what `kubectl get` shows. Pure.
 * Source: api-concepts#receiving-resources-as-tables
 */
import type { KindDescriptor, RowCondition } from "@knarr/api/descriptor.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { PLAIN, type Representation } from "../http/media-type.ts";
import { metadataOnly } from "./partial-metadata.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableRow {
  readonly cells: readonly (string | number | boolean)[];
  readonly conditions?: readonly RowCondition[];
  readonly object?: KubeObject;
}

export interface ColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

export function columnDefinitions(descriptor: Pick<KindDescriptor, "columns">): ColumnDefinition[] {
  return descriptor.columns.map(({ name, type, format, description, priority }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
}

export function tableRow(
  descriptor: Pick<KindDescriptor, "columns" | "rowConditions">,
  object: KubeObject,
  nowMs: number,
  include: IncludeObject,
): TableRow {
  const cells = descriptor.columns.map((column) => column.cell(object, nowMs));
  const conditions = descriptor.rowConditions(object);
  const row = conditions.length === 0 ? { cells } : { cells, conditions };
  if (include === "None") return row;
  return { ...row, object: include === "Object" ? object : metadataOnly(object) };
}

export function table(
  columns: readonly ColumnDefinition[],
  rows: readonly TableRow[],
  metadata: Record<string, unknown>,
  { metaVersion }: Representation = PLAIN,
): object {
  return { kind: "Table", apiVersion: `meta.k8s.io/${metaVersion}`, metadata, columnDefinitions: columns, rows };
}
