/**
 * Objects as text: yaml and json as kubectl writes them (keys sorted, lists unindented, 4 spaces in JSON), or names.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { stringify } from "yaml";
import { CliError } from "../verb.ts";
import type { DiscoveredResource } from "./resource-mapper.ts";

export const OutputFormat = { table: "", wide: "wide", yaml: "yaml", json: "json", name: "name" } as const;
export type OutputFormat = (typeof OutputFormat)[keyof typeof OutputFormat];

/** Throws CliError naming the allowed formats. */
export function parseOutputFormat(text: string | undefined): OutputFormat {
  const formats: readonly string[] = Object.values(OutputFormat);
  if (text !== undefined && !formats.includes(text)) {
    throw new CliError(
      `unable to match a printer suitable for the output format ${JSON.stringify(text)}, allowed formats are: json,name,wide,yaml`,
    );
  }
  return (text ?? "") as OutputFormat;
}

/** kubectl hides managedFields unless asked. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _hidden, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** `pod/web`, `deployment.apps/web`. */
export function objectName(resource: Pick<DiscoveredResource, "group" | "singular">, name: string): string {
  return resource.group === "" ? `${resource.singular}/${name}` : `${resource.singular}.${resource.group}/${name}`;
}

export function renderYaml(value: unknown): string {
  return stringify(value, {
    version: "1.1",
    indentSeq: false,
    sortMapEntries: true,
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}

export function renderJson(value: unknown): string {
  return `${JSON.stringify(sortKeys(value), undefined, 4)}\n`;
}

/** Several objects as one document of kind List. */
export function listOf(items: readonly unknown[]): object {
  return { apiVersion: "v1", items, kind: "List", metadata: { resourceVersion: "" } };
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortKeys(inner)]),
  );
}
