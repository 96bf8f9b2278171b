/** Any object as nested labelled lines: what describe shows for kinds without a description of their own. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Description } from "./description.ts";

/** Shown at the top, or of no use to a reader. Source: kubectl/pkg/describe: the generic describer */
const HIDDEN = ["name", "namespace", "labels", "annotations", "managedFields"];

export function describeGeneric(out: Description, object: KubeObject): void {
  const { apiVersion, kind, metadata, ...rest } = object as KubeObject & Record<string, unknown>;
  out.head(object, ["namespace", "labels", "annotations"]);
  const shown = Object.fromEntries(Object.entries(metadata).filter(([field]) => !HIDDEN.includes(field)));
  fields(out, { apiVersion, kind, metadata: shown, ...rest }, 0);
}

/** `podCIDRs` reads "Pod CID Rs" in kubectl; so it does here. */
function titleOf(field: string): string {
  return field
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2")
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/^./, (c) => c.toUpperCase())
    .replace(/^Api Version$/, "API Version");
}

function fields(out: Description, values: Readonly<Record<string, unknown>>, level: number): void {
  for (const [field, value] of Object.entries(values).sort(([a], [b]) => (titleOf(a) < titleOf(b) ? -1 : 1))) {
    if (Array.isArray(value)) {
      out.line(level, `${titleOf(field)}:`);
      for (const item of value) {
        if (isFields(item)) fields(out, item, level + 1);
        else out.line(level + 1, String(item));
      }
    } else if (isFields(value)) {
      out.line(level, `${titleOf(field)}:`);
      fields(out, value, level + 1);
    } else out.field(level, titleOf(field), String(value));
  }
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
