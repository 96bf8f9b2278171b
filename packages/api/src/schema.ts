/**
 * The generated field tables as linked schemas: what the Go structs behind the API know about each field. A package's table is
 * read when one of its structs is first asked for; schemas live as long as the process.
 */
import type { ScalarKind } from "@knarr/apimachinery/schema.ts";
import type { TableSource } from "./generated/tables/index.ts";
import { tables as generatedTables } from "./generated/tables/index.ts";
import { metricsTable } from "./metrics-types.ts";

/** The generated ones, and those of APIs whose Go source the generator does not read. */
const tables: Readonly<Record<string, TableSource>> = { ...generatedTables, "metrics/v1beta1": metricsTable };

export type TypeSchema =
  | { readonly kind: ScalarKind; readonly enumValues?: readonly string[] }
  | { readonly kind: "struct"; readonly struct: StructSchema }
  | { readonly kind: "list"; readonly items: TypeSchema }
  | { readonly kind: "map"; readonly values: TypeSchema };

export interface FieldSchema {
  readonly name: string;
  /** Resolved when first read: types refer to each other in circles. */
  readonly type: TypeSchema;
  /** Go type as the source writes it: "*int32", "[]Container", "PullPolicy". */
  readonly goType: string;
  /** A pointer or a type whose zero value is distinguishable from absence. */
  readonly pointer: boolean;
  /** Protobuf field number; 0 when the field is not in protobuf. */
  readonly number: number;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  readonly required: boolean;
  readonly default: unknown;
  readonly listType: "atomic" | "set" | "map" | undefined;
  readonly listMapKeys: readonly string[] | undefined;
  /** "merge", "replace", "retainKeys" and combinations, as written: "merge,retainKeys". */
  readonly patchStrategy: string | undefined;
  readonly patchMergeKey: string | undefined;
  readonly mapType: "atomic" | "granular" | undefined;
  /** Protobuf number of the embedded struct that carries the field, when it is inlined in JSON only. */
  readonly embeddedIn: { readonly number: number; readonly struct: StructSchema } | undefined;
}

export interface StructSchema {
  readonly name: string;
  /** "io.k8s.api.core.v1.Pod" */
  readonly openApiName: string;
  /** By JSON name, embedded fields among them, apiVersion and kind too. */
  readonly fields: ReadonlyMap<string, FieldSchema>;
  readonly atomic: boolean;
  /** Has apiVersion and kind. */
  readonly isKind: boolean;
}

interface FieldExtras {
  readonly d?: unknown;
  readonly l?: "atomic" | "set" | "map";
  readonly lk?: readonly string[];
  readonly ps?: string;
  readonly pk?: string;
  readonly m?: "atomic" | "granular";
}

type RawField = readonly [type: string, number: number, flags: string, extras?: FieldExtras];
type RawMember = RawField | string | { readonly m?: string; readonly k?: 1 };
interface RawTable {
  readonly structs: Readonly<Record<string, Readonly<Record<string, RawMember>>>>;
  readonly named: Readonly<Record<string, readonly [type: string, enumValues?: readonly string[]]>>;
}

const scalars: Readonly<Record<string, ScalarKind>> = {
  string: "string",
  bool: "boolean",
  int: "int64",
  int32: "int32",
  int64: "int64",
  float64: "double",
  "[]byte": "bytes",
  "interface{}": "any",
  "types.UID": "string",
  "resource.Quantity": "quantity",
  "intstr.IntOrString": "intOrString",
  "runtime.RawExtension": "raw",
  "runtime.Object": "raw",
  "meta/v1.Time": "time",
  "meta/v1.MicroTime": "microTime",
  "meta/v1.Duration": "duration",
  "meta/v1.FieldsV1": "fieldsV1",
  "apiextensions/v1.JSON": "any",
  "apiextensions/v1.JSONSchemaPropsOrBool": "any",
  "apiextensions/v1.JSONSchemaPropsOrArray": "any",
  "apiextensions/v1.JSONSchemaPropsOrStringArray": "any",
};

const rawTables = new Map<string, RawTable>();
const structCache = new Map<string, StructSchema>();

function rawTable(packageId: string): RawTable {
  const known = rawTables.get(packageId);
  if (known !== undefined) return known;
  const table = JSON.parse(sourceOf(packageId).text) as RawTable;
  rawTables.set(packageId, table);
  return table;
}

function sourceOf(packageId: string): TableSource {
  const source = tables[packageId];
  if (source === undefined) throw new Error(`no field table for ${packageId}`);
  return source;
}

/** Type names are relative to the package that wrote them. */
function qualify(type: string, home: string): { packageId: string; name: string } {
  const dot = type.lastIndexOf(".");
  return dot < 0 ? { packageId: home, name: type } : { packageId: type.slice(0, dot), name: type.slice(dot + 1) };
}

function resolveType(goType: string, home: string): TypeSchema {
  const type = goType.startsWith("*") ? goType.slice(1) : goType;
  const scalar = scalars[type] ?? scalars[`${home}.${type}`];
  if (scalar !== undefined) return { kind: scalar };
  if (type.startsWith("[]")) return { kind: "list", items: resolveType(type.slice(2), home) };
  if (type.startsWith("map[")) return { kind: "map", values: resolveType(type.slice(type.indexOf("]") + 1), home) };
  const { packageId, name } = qualify(type, home);
  const named = rawTable(packageId).named[name];
  if (named === undefined) return { kind: "struct", struct: structSchema(packageId, name) };
  const base = resolveType(named[0], packageId);
  return named[1] === undefined || base.kind !== "string" ? base : { kind: "string", enumValues: named[1] };
}

function isField(member: RawMember): member is RawField {
  return Array.isArray(member);
}

class LazyField implements FieldSchema {
  readonly name: string;
  readonly goType: string;
  readonly number: number;
  readonly pointer: boolean;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  readonly required: boolean;
  readonly embeddedIn: FieldSchema["embeddedIn"];
  readonly #home: string;
  readonly #raw: RawField;
  readonly #extras: FieldExtras;
  #type: TypeSchema | undefined;

  constructor(name: string, raw: RawField, home: string, embeddedIn: FieldSchema["embeddedIn"]) {
    this.name = name;
    const [goType, number, flags] = raw;
    this.goType = goType;
    this.number = number;
    this.pointer = goType.startsWith("*");
    this.omitEmpty = flags.includes("e");
    this.omitZero = flags.includes("z");
    this.required = flags.includes("r");
    this.#extras = raw[3] ?? {};
    this.#home = home;
    this.#raw = raw;
    this.embeddedIn = embeddedIn;
  }

  /** The same field, seen from a struct that inlines its own. */
  embedded(embeddedIn: FieldSchema["embeddedIn"]): LazyField {
    return new LazyField(this.name, this.#raw, this.#home, embeddedIn);
  }

  get type(): TypeSchema {
    this.#type ??= resolveType(this.goType, this.#home);
    return this.#type;
  }
  get default(): unknown {
    return this.#extras.d;
  }
  get listType(): FieldSchema["listType"] {
    return this.#extras.l;
  }
  get listMapKeys(): readonly string[] | undefined {
    return this.#extras.lk;
  }
  get patchStrategy(): string | undefined {
    return this.#extras.ps;
  }
  get patchMergeKey(): string | undefined {
    return this.#extras.pk;
  }
  get mapType(): FieldSchema["mapType"] {
    const type = this.type;
    return this.#extras.m ?? (type.kind === "struct" && type.struct.atomic ? "atomic" : undefined);
  }
}

function typeMetaField(name: string): FieldSchema {
  return new LazyField(name, ["string", 0, "e"], "meta/v1", undefined);
}

function buildStruct(packageId: string, name: string): StructSchema {
  const members = rawTable(packageId).structs[name];
  if (members === undefined) throw new Error(`no struct ${name} in the field table of ${packageId}`);
  const fields = new Map<string, FieldSchema>();
  let atomic = false;
  let isKind = false;
  for (const [key, member] of Object.entries(members)) {
    if (isField(member)) fields.set(key, new LazyField(key, member, packageId, undefined));
    else if (typeof member === "string") {
      const target = qualify(member, packageId);
      const struct = structSchema(target.packageId, target.name);
      const embeddedIn = { number: Number(key.slice(1)), struct };
      for (const [inner, field] of struct.fields) fields.set(inner, (field as LazyField).embedded(embeddedIn));
    } else {
      atomic = member.m === "atomic";
      isKind = member.k === 1;
    }
  }
  if (isKind) for (const field of ["apiVersion", "kind"]) fields.set(field, typeMetaField(field));
  return { name, openApiName: `${sourceOf(packageId).openApiPrefix}.${name}`, fields, atomic, isKind };
}

/** The schema of a struct of a package: structSchema("core/v1", "Pod"). Throws when there is none. */
export function structSchema(packageId: string, name: string): StructSchema {
  const key = `${packageId}.${name}`;
  const known = structCache.get(key);
  if (known !== undefined) return known;
  const built = buildStruct(packageId, name);
  structCache.set(key, built);
  return built;
}

/** The package of a group-version, e.g. "apps/v1"; undefined when there is none. */
export function packageOf(group: string, version: string): string | undefined {
  const key = `${group}/${version}`;
  if (packages.has(key)) return packages.get(key);
  const found = findPackage(group, version);
  // Groups come from paths that clients make up: only those that exist are remembered.
  if (found !== undefined) packages.set(key, found);
  return found;
}

const packages = new Map<string, string>();

function findPackage(group: string, version: string): string | undefined {
  for (const [id, source] of Object.entries(tables)) {
    if (source.group === group && source.version === version) return id;
  }
  return undefined;
}

/** The schema of a kind, or undefined when the tables don't have it. */
export function kindSchema(group: string, version: string, kind: string): StructSchema | undefined {
  const packageId = packageOf(group, version);
  const known = packageId === undefined ? undefined : structCache.get(`${packageId}.${kind}`);
  if (known !== undefined) return known;
  if (packageId === undefined || rawTable(packageId).structs[kind] === undefined) return undefined;
  return structSchema(packageId, kind);
}

/** Names of every struct of a package, sorted. */
export function structNames(packageId: string): string[] {
  return Object.keys(rawTable(packageId).structs);
}
