/** The typed resource references, and the list of tables. */
import { banner } from "./emit-types.ts";
import type { ApiPackage } from "./packages.ts";

interface Resource {
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Plurals that the rule below gets wrong. Source: each registry's storage name */
const plurals: Readonly<Record<string, string>> = { Endpoints: "endpoints" };

function pluralOf(kind: string): string {
  const lower = kind.toLowerCase();
  if (plurals[kind] !== undefined) return plurals[kind];
  if (/(s|x|ch|sh)$/.test(lower)) return `${lower}es`;
  if (/[^aeiou]y$/.test(lower)) return `${lower.slice(0, -1)}ies`;
  return `${lower}s`;
}

/** Kinds that exist only as bodies of subresources or as arguments. */
const notResources = new Set([
  "ConversionReview",
  "Eviction",
  "List",
  "RangeAllocation",
  "Scale",
  "SerializedReference",
  "Status",
  "TokenRequest",
]);

/** Kinds whose source has no nonNamespaced marker because clients are not generated for them, or which reverses it. */
const clusterScoped = new Set(["APIService"]);

function resourcesOf(home: ApiPackage): Resource[] {
  const found: Resource[] = [];
  for (const struct of home.go.structs.values()) {
    const isKind = struct.fields.some((f) => f.type === "meta/v1.TypeMeta");
    const isObject = struct.fields.some((f) => f.jsonName === "metadata" && f.type === "meta/v1.ObjectMeta");
    if (!isKind || !isObject || notResources.has(struct.name) || struct.name.endsWith("PodStatusResult")) continue;
    const namespaced = !struct.markers.has("genclient:nonNamespaced") && !clusterScoped.has(struct.name);
    found.push({ resource: pluralOf(struct.name), kind: struct.name, namespaced });
  }
  return found.sort((a, b) => (a.resource < b.resource ? -1 : 1));
}

/** One exported object per group, in the order of `packages`, the newest version of a group winning a name. */
export function emitResources(packages: readonly ApiPackage[]): string {
  const groups = packages.filter((p) => p.group !== undefined);
  const imports = groups.map((p) => p.file).sort();
  const lines = [`${banner}import type { ResourceRef } from "@knarr/apimachinery/resource.ts";`];
  for (const file of imports) lines.push(`import type * as ${file.replace("-", "_")} from "./types/${file}.ts";`);
  for (const home of [...groups].sort((a, b) => (exportName(a) < exportName(b) ? -1 : 1))) {
    lines.push("", `export const ${exportName(home)} = {`);
    for (const r of resourcesOf(home)) {
      const type = `${home.file.replace("-", "_")}.${r.kind}`;
      lines.push(
        `  ${r.resource}: { group: "${home.group}", version: "${home.version}", resource: "${r.resource}", ` +
          `kind: "${r.kind}", namespaced: ${r.namespaced} } as ResourceRef<${type}>,`,
      );
    }
    lines.push("} as const;");
  }
  return `${lines.join("\n")}\n`;
}

function exportName(home: ApiPackage): string {
  return home.id === "autoscaling/v1" ? "autoscalingV1" : (home.id.split("/")[0] ?? "");
}

/** `tables`: package id -> text. */
export function emitTableIndex(packages: readonly ApiPackage[]): string {
  const lines = [banner.trimEnd()];
  const sorted = [...packages].sort((a, b) => (a.file < b.file ? -1 : 1));
  for (const p of sorted) lines.push(`import { table as ${p.file.replace("-", "_")} } from "./${p.file}.ts";`);
  lines.push("", "export interface TableSource {");
  lines.push(
    "  readonly group: string | undefined;",
    "  readonly version: string;",
    "  readonly openApiPrefix: string;",
  );
  lines.push("  readonly text: string;", "}", "");
  lines.push("/** By package id, as type references name it. */");
  lines.push("export const tables: Readonly<Record<string, TableSource>> = {");
  for (const p of sorted) {
    const group = p.group === undefined ? "undefined" : `"${p.group}"`;
    lines.push(
      `  "${p.id}": { group: ${group}, version: "${p.version}", openApiPrefix: "${p.openApiPrefix}", text: ${p.file.replace("-", "_")} },`,
    );
  }
  lines.push("};");
  return `${lines.join("\n")}\n`;
}
