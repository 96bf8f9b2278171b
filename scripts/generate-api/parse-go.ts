/**
 * Reads the type declarations of one Go package of k8s.io/api: structs with their json and protobuf tags and +markers, named
 * types, enum constants. It keeps facts (names, types, tags) and drops every word of comment text.
 *
 * Understands the regular, gofmt-ed style of those packages only; anything unexpected inside a struct is an error.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface GoField {
  /** "" for a field that is only embedded (json:",inline"). */
  readonly jsonName: string;
  readonly goName: string;
  /** As written, import aliases replaced by package ids: "*meta/v1.LabelSelector", "[]Container". */
  readonly type: string;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  /** Absent on fields that protobuf doesn't carry (TypeMeta). */
  readonly protobuf: { readonly number: number; readonly wire: string } | undefined;
  readonly markers: ReadonlyMap<string, readonly string[]>;
}

export interface GoStruct {
  readonly name: string;
  readonly fields: readonly GoField[];
  readonly markers: ReadonlyMap<string, readonly string[]>;
}

/** `type Protocol string`, `type ResourceList map[ResourceName]resource.Quantity`. */
export interface GoNamedType {
  readonly name: string;
  readonly type: string;
  readonly isEnum: boolean;
}

export interface GoPackage {
  readonly structs: ReadonlyMap<string, GoStruct>;
  readonly named: ReadonlyMap<string, GoNamedType>;
  /** Constants with a string or number value: name -> [type, value]. Type is "" when untyped. */
  readonly constants: ReadonlyMap<string, { readonly type: string; readonly value: string }>;
}

type Markers = Map<string, string[]>;

/** "k8s.io/api/core/v1" -> "core/v1"; other packages keep their last element: "resource", "intstr", "runtime", "types". */
function packageId(importPath: string): string {
  if (importPath.startsWith("k8s.io/api/")) return importPath.slice("k8s.io/api/".length);
  if (importPath === "k8s.io/apimachinery/pkg/apis/meta/v1") return "meta/v1";
  return importPath.slice(importPath.lastIndexOf("/") + 1);
}

function readImports(source: string): Map<string, string> {
  const imports = new Map<string, string>();
  const block = /^import \(\n([\s\S]*?)^\)/m.exec(source)?.[1] ?? "";
  for (const line of block.split("\n")) {
    const match = /^\s*(?:(\S+)\s+)?"([^"]+)"/.exec(line);
    if (match === null) continue;
    const path = match[2] ?? "";
    imports.set(match[1] ?? path.slice(path.lastIndexOf("/") + 1), packageId(path));
  }
  return imports;
}

function addMarker(markers: Markers, comment: string): void {
  const match = /^\+([A-Za-z0-9:.]+)(?:\((?:[^)]*)\))?(?:=(.*))?$/.exec(comment.trim());
  if (match === null) return;
  const name = match[1] ?? "";
  const values = markers.get(name) ?? [];
  values.push(match[2] ?? "");
  markers.set(name, values);
}

function resolveAliases(type: string, imports: ReadonlyMap<string, string>): string {
  return type.replace(/([A-Za-z0-9_]+)\.([A-Z]\w*)/g, (_, alias: string, name: string) => {
    const id = imports.get(alias);
    if (id === undefined) throw new Error(`unknown import alias ${alias} in ${type}`);
    return `${id}.${name}`;
  });
}

function parseField(line: string, markers: Markers, imports: ReadonlyMap<string, string>): GoField | undefined {
  const tagged = /^(.*?)\s*`(.*)`/.exec(line);
  if (tagged === null) throw new Error(`field without tags: ${line}`);
  const tags = tagged[2] ?? "";
  const json = /json:"([^"]*)"/.exec(tags)?.[1] ?? "";
  if (json === "-") return undefined;
  const [jsonName = "", ...options] = json.split(",");
  const words = (tagged[1] ?? "").trim().split(/\s+/);
  const embedded = words.length === 1;
  const goName = embedded ? (words[0] ?? "").replace(/^.*\./, "") : (words[0] ?? "");
  const type = resolveAliases(embedded ? (words[0] ?? "") : words.slice(1).join(" "), imports);
  const protobuf = /protobuf:"([^"]*)"/.exec(tags)?.[1];
  const [wire = "", number = ""] = protobuf?.split(",") ?? [];
  return {
    jsonName: options.includes("inline") ? "" : jsonName,
    goName,
    type,
    omitEmpty: options.includes("omitempty"),
    omitZero: options.includes("omitzero"),
    protobuf: protobuf === undefined || protobuf === "-" ? undefined : { number: Number(number), wire },
    markers,
  };
}

/** Go's own marker of a block that it generates; those files repeat facts. */
function isSourceFile(name: string): boolean {
  return name.endsWith(".go") && !name.endsWith("_test.go") && !/^(zz_|generated|types_swagger)/.test(name);
}

interface Scan {
  readonly structs: Map<string, GoStruct>;
  readonly named: Map<string, GoNamedType>;
  readonly constants: Map<string, { type: string; value: string }>;
}

function scanStruct(lines: readonly string[], start: number, imports: ReadonlyMap<string, string>) {
  const fields: GoField[] = [];
  let markers: Markers = new Map();
  let i = start;
  for (; lines[i] !== "}"; i++) {
    const line = (lines[i] ?? "").trim();
    if (i >= lines.length) throw new Error("struct without end");
    if (line.startsWith("//")) addMarker(markers, line.slice(2));
    else if (line !== "") {
      // An untagged field never travels (Time's embedded time.Time).
      const field = line.includes("`") ? parseField(line, markers, imports) : undefined;
      if (field !== undefined) fields.push(field);
      markers = new Map();
    }
  }
  return { fields, end: i };
}

function scanConstant(line: string, scan: Scan): void {
  const match = /^(?:const\s+)?(\w+)\s+(?:(\w+)\s+)?=\s+("[^"]*"|-?\d+)\s*(?:\/\/.*)?$/.exec(line);
  if (match === null) return;
  scan.constants.set(match[1] ?? "", { type: match[2] ?? "", value: match[3] ?? "" });
}

function scanFile(source: string, scan: Scan): void {
  const imports = readImports(source);
  const lines = source.split("\n");
  let markers: Markers = new Map();
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    if (line.startsWith("//")) {
      addMarker(markers, line.slice(2));
      continue;
    }
    // Markers above a blank line still belong to the declaration below it, as in gengo's "second closest" comments.
    if (line === "") continue;
    const struct = /^type (\w+) struct ?\{(\})?/.exec(line);
    const named = /^type (\w+) (?:= )?([^\s{]+)(?:\s*\/\/.*)?$/.exec(line);
    if (struct !== null) {
      const name = struct[1] ?? "";
      const body = struct[2] === undefined ? scanStruct(lines, i + 1, imports) : { fields: [], end: i };
      scan.structs.set(name, { name, fields: body.fields, markers });
      i = body.end;
    } else if (named !== null) {
      const name = named[1] ?? "";
      scan.named.set(name, { name, type: resolveAliases(named[2] ?? "", imports), isEnum: markers.has("enum") });
    } else {
      scanConstant(line.trim(), scan);
    }
    markers = new Map();
  }
}

/** Parses source text that is not in a package folder. */
export function parseGoSource(source: string): GoPackage {
  const scan: Scan = { structs: new Map(), named: new Map(), constants: new Map() };
  scanFile(source, scan);
  return scan;
}

/** Parses every hand-written file of the package in `folder`. */
export function parseGoPackage(folder: string): GoPackage {
  const scan: Scan = { structs: new Map(), named: new Map(), constants: new Map() };
  for (const name of readdirSync(folder).sort()) {
    if (isSourceFile(name)) scanFile(readFileSync(join(folder, name), "utf8"), scan);
  }
  return scan;
}
