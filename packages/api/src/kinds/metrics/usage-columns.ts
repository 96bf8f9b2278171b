/** Columns of what uses resources: name, CPU, memory, window. Source: metrics-server pkg/api, ConvertToTable */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { addQuantities } from "@knarr/apimachinery/quantity.ts";
import { nameColumn } from "../../columns.ts";
import type { PrinterColumn } from "../../descriptor.ts";
import type { Usage } from "../../metrics-types.ts";

export function usageColumns<T extends KubeObject & { readonly window: string }>(
  usages: (object: T) => readonly Usage[],
): PrinterColumn<T>[] {
  const column = (name: string, format: string, cell: (object: T) => string): PrinterColumn<T> => {
    return { name, type: "string", format, description: "", priority: 0, cell };
  };
  const total = (resource: string) => (object: T) => usages(object).reduce((sum, u) => plus(sum, u[resource]), "0");
  return [
    { ...nameColumn<T>(), description: "Name of the resource" },
    column("cpu", "quantity", total("cpu")),
    column("memory", "quantity", total("memory")),
    column("Window", "duration", ({ window }) => window),
  ];
}

function plus(sum: string, value: string | undefined): string {
  return value === undefined ? sum : addQuantities(sum, value);
}
