/** Any object as nested labelled lines: what describe shows for kinds without a description of their own. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { type Line, pairs, renderLines } from "../core/lines.ts";

export function metadataLines(object: KubeObject): Line[] {
  const { name, namespace, labels, annotations } = object.metadata;
  // What apply remembers repeats the object itself.
  const { "kubectl.kubernetes.io/last-applied-configuration": _applied, ...shown } = annotations ?? {};
  return [
    ["Name", name],
    ...(namespace === undefined ? [] : [["Namespace", namespace] as const]),
    ["Labels", pairs(labels)],
    ["Annotations", pairs(shown, ": ")],
  ];
}

export function describeGeneric(object: KubeObject): string {
  const { apiVersion, kind, metadata: _metadata, ...rest } = object as KubeObject & Record<string, unknown>;
  const head = renderLines([...metadataLines(object), ["API Version", apiVersion], ["Kind", kind]]);
  return head + renderFields(rest, 0);
}

/** `fieldName` reads "Field Name". */
function titleOf(field: string): string {
  return field.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replace(/^./, (c) => c.toUpperCase());
}

function renderFields(fields: Readonly<Record<string, unknown>>, depth: number): string {
  const indent = "  ".repeat(depth);
  let text = "";
  for (const [field, value] of Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (Array.isArray(value)) {
      text += `${indent}${titleOf(field)}:\n`;
      for (const item of value) {
        text += isFields(item) ? renderFields(item, depth + 1) : `${indent}  ${String(item)}\n`;
      }
    } else if (isFields(value)) text += `${indent}${titleOf(field)}:\n${renderFields(value, depth + 1)}`;
    else text += `${indent}${titleOf(field)}:  ${String(value)}\n`;
  }
  return text;
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
