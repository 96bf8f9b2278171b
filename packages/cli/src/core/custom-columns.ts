/** `-o custom-columns=NAME:.metadata.name,...` and its file form. Source: kubectl's get/customcolumn.go (behaviour). */
import { CliError } from "../verb.ts";
import { goValue } from "./go-text.ts";
import { findValues, relaxedPath } from "./json-path.ts";
import { renderTable } from "./table.ts";

export interface Column {
  readonly heading: string;
  readonly path: string;
}

/** Throws CliError for an empty or malformed specification. */
export function parseColumns(spec: string): Column[] {
  if (spec === "") throw new CliError("custom-columns format specified but no custom columns given");
  return splitOutsideBrackets(spec).map((part) => {
    const colon = part.indexOf(":");
    if (colon <= 0 || colon === part.length - 1) {
      throw new CliError(`unexpected custom-columns spec: ${part}, expected <header>:<json-path-expr>`);
    }
    return { heading: part.slice(0, colon), path: relaxedPath(part.slice(colon + 1)) };
  });
}

/** Two lines: the headings, and below them the paths. */
export function parseColumnsFile(text: string): Column[] {
  const [headings = [], paths = []] = text
    .split("\n")
    .slice(0, 2)
    .map((line) => line.split(/\s+/).filter((word) => word !== ""));
  if (headings.length !== paths.length) {
    throw new CliError(`number of headers (${headings.length}) and field specifications (${paths.length}) don't match`);
  }
  return headings.map((heading, i) => ({ heading, path: relaxedPath(paths[i] ?? "") }));
}

export function renderColumns(
  columns: readonly Column[],
  objects: readonly unknown[],
  options: { readonly headings: boolean; readonly widths?: number[] },
): string {
  const rows = objects.map((object) =>
    columns.map(({ path }) => {
      const values = findValues(path, object, { allowMissingKeys: true });
      return values.length === 0 ? "<none>" : values.map(goValue).join(",");
    }),
  );
  return renderTable(rows, {
    ...(options.headings ? { headings: columns.map((c) => c.heading) } : {}),
    ...(options.widths === undefined ? {} : { widths: options.widths }),
  });
}

function splitOutsideBrackets(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const c of text) {
    if (c === "[" || c === "(" || c === "{") depth++;
    if (c === "]" || c === ")" || c === "}") depth--;
    if (c === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += c;
  }
  return parts;
}
