/**
 * Manifests as objects: multi-document YAML and JSON, Lists unfolded, each object remembering where it came from.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { parseAllDocuments } from "yaml";
import { CliError } from "../verb.ts";

export interface Manifest {
  /** File name or "STDIN". */
  readonly source: string;
  readonly object: KubeObject & { apiVersion: string; kind: string };
}

/** Documents past this are refused, so that an alias bomb costs no memory. */
const MAX_ALIASES = 100;

/** Throws CliError naming the source, the document and what is wrong with it. */
export function parseManifests(text: string, source: string): Manifest[] {
  const documents = parseAllDocuments(text, { version: "1.1", schema: "yaml-1.1", uniqueKeys: true, merge: true });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document, index) => {
    const [error] = document.errors;
    if (error !== undefined) throw new CliError(`error parsing ${source}: ${error.message.split("\n")[0]}`);
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    return value === null || value === undefined ? [] : unfold(value, source, index);
  });
}

function unfold(value: unknown, source: string, index: number): Manifest[] {
  const where = `${source}, document ${index + 1}`;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CliError(`${where}: must be an object with apiVersion, kind and metadata`);
  }
  const fields = value as Record<string, unknown>;
  for (const name of ["apiVersion", "kind"] as const) {
    if (typeof fields[name] !== "string" || fields[name] === "") {
      throw new CliError(
        `error validating ${JSON.stringify(source)}: error validating data: ${name} not set; if you choose to ignore these errors, turn validation off with --validate=false`,
      );
    }
  }
  const items = fields.items;
  if (String(fields.kind).endsWith("List") && Array.isArray(items)) {
    return items.flatMap((item) => unfold(item, source, index));
  }
  const metadata = fields.metadata ?? {};
  if (typeof metadata !== "object" || Array.isArray(metadata))
    throw new CliError(`${where}: metadata must be an object`);
  return [{ source, object: { ...fields, metadata } as Manifest["object"] }];
}
