/**
 * Writes the generated facts of the API from the Go struct tags of k8s.io/api:
 *   packages/api/src/generated/{types,tables}/<group>-<version>.ts, packages/api/src/generated/resources.ts,
 *   packages/apimachinery/src/generated/meta-v1.ts
 *
 *   npm run generate                     downloads the source from Debian
 *   npm run generate -- --source DIR     DIR holds k8s.io/api, k8s.io/apimachinery, k8s.io/apiextensions-apiserver
 *   npm run generate -- --check          writes nothing; exits 1 when a file would change
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { downloadSource } from "./generate-api/download.ts";
import { emitResources, emitTableIndex } from "./generate-api/emit-index.ts";
import { emitTable } from "./generate-api/emit-tables.ts";
import { emitTypes } from "./generate-api/emit-types.ts";
import { type ApiPackage, readPackages } from "./generate-api/packages.ts";

/** Every output file with its contents, by path from the project's root. */
function render(packages: readonly ApiPackage[]): Map<string, string> {
  const byId = new Map(packages.map((p) => [p.id, p]));
  const files = new Map<string, string>();
  const api = "packages/api/src/generated";
  for (const home of packages) {
    const types = home.id === "meta/v1" ? "packages/apimachinery/src/generated" : `${api}/types`;
    files.set(`${types}/${home.file}.ts`, emitTypes(home, byId));
    files.set(`${api}/tables/${home.file}.ts`, emitTable(home));
  }
  files.set(`${api}/resources.ts`, emitResources(packages));
  files.set(`${api}/tables/index.ts`, emitTableIndex(packages));
  return files;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function main(): void {
  const { values } = parseArgs({
    options: {
      source: { type: "string" },
      suite: { type: "string", default: "sid" },
      check: { type: "boolean", default: false },
    },
  });
  const root = join(import.meta.dirname, "..");
  const downloaded = values.source === undefined ? downloadSource(values.suite) : undefined;
  const files = render(readPackages(values.source ?? downloaded?.source ?? ""));
  downloaded?.remove();
  const changed = [...files].filter(([path, text]) => readIfThere(join(root, path)) !== text);
  for (const [path, text] of values.check ? [] : changed) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  for (const [path] of changed) console.log(`${values.check ? "differs" : "written"}: ${path}`);
  console.log(`${files.size} files, ${changed.length} ${values.check ? "differ" : "written"}`);
  if (values.check && changed.length > 0) process.exitCode = 1;
}

main();
