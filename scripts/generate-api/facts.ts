/** From parsed Go to facts per field, independent of any output form. */
import type { ApiPackage } from "./packages.ts";
import type { GoField, GoStruct } from "./parse-go.ts";

export interface FieldFacts {
  readonly name: string;
  /** Go type with package ids, named non-struct types kept: "*PullPolicy", "[]Container". */
  readonly type: string;
  readonly number: number;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  readonly required: boolean;
  readonly default?: unknown;
  readonly listType?: string;
  readonly listMapKeys?: readonly string[];
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  readonly mapType?: string;
}

export interface StructFacts {
  readonly name: string;
  readonly fields: readonly FieldFacts[];
  /** Structs whose fields appear among this one's, with the protobuf number that nests them there (0: not in protobuf). */
  readonly inlined: readonly { readonly type: string; readonly number: number }[];
  readonly atomic: boolean;
  /** Has TypeMeta: a kind, a list or an options object. */
  readonly isKind: boolean;
}

function resolveDefault(text: string, home: ApiPackage): unknown {
  const reference = /^ref\((?:.*\.)?(\w+)\)$/.exec(text)?.[1];
  if (reference === undefined) return JSON.parse(text);
  const constant = home.go.constants.get(reference)?.value;
  if (constant === undefined) throw new Error(`default ${text} names no constant of ${home.id}`);
  return JSON.parse(constant);
}

/** Follows named types down to a struct, a list, a map or a basic type. */
export function baseType(type: string, packages: ReadonlyMap<string, ApiPackage>, home: ApiPackage): string {
  const dot = type.lastIndexOf(".");
  const owner = dot < 0 ? home : packages.get(type.slice(0, dot));
  const named = owner?.go.named.get(dot < 0 ? type : type.slice(dot + 1));
  if (named === undefined || owner === undefined) return type;
  return baseType(qualify(named.type, owner, home), packages, home);
}

/** A type written in `owner` as `home` would write it. */
function qualify(type: string, owner: ApiPackage, home: ApiPackage): string {
  if (owner === home || /[./]/.test(type)) return type;
  return type.replace(/([A-Z]\w*)$/, `${owner.id}.$1`);
}

function one(markers: GoField["markers"], name: string): string | undefined {
  return markers.get(name)?.at(-1);
}

function fieldFacts(field: GoField, home: ApiPackage): FieldFacts {
  const { markers } = field;
  const text = one(markers, "default");
  const listType = one(markers, "listType");
  const mapKeys = markers.get("listMapKey");
  const patchStrategy = one(markers, "patchStrategy");
  const patchMergeKey = one(markers, "patchMergeKey");
  const mapType = one(markers, "mapType") ?? one(markers, "structType");
  const optional = markers.has("optional") || field.omitEmpty || field.omitZero;
  return {
    name: field.jsonName,
    type: field.type,
    number: field.protobuf?.number ?? 0,
    omitEmpty: field.omitEmpty,
    omitZero: field.omitZero,
    required: markers.has("required") || !optional,
    ...(text === undefined ? {} : { default: resolveDefault(text, home) }),
    ...(listType === undefined ? {} : { listType }),
    ...(mapKeys === undefined ? {} : { listMapKeys: mapKeys }),
    ...(patchStrategy === undefined ? {} : { patchStrategy }),
    ...(patchMergeKey === undefined ? {} : { patchMergeKey }),
    ...(mapType === undefined ? {} : { mapType }),
  };
}

export function structFacts(struct: GoStruct, home: ApiPackage): StructFacts {
  const inline = struct.fields.filter((f) => f.jsonName === "");
  const isKind = inline.some((f) => f.type === "meta/v1.TypeMeta" || f.type === "TypeMeta");
  const fields = struct.fields.filter((f) => f.jsonName !== "").map((f) => fieldFacts(f, home));
  return {
    name: struct.name,
    fields: fields.sort((a, b) => (a.name < b.name ? -1 : 1)),
    inlined: inline.map((f) => ({ type: f.type, number: f.protobuf?.number ?? 0 })),
    atomic: one(struct.markers, "structType") === "atomic" || one(struct.markers, "mapType") === "atomic",
    isKind,
  };
}

/** Every struct of a package that travels, by name. */
export function packageFacts(home: ApiPackage): StructFacts[] {
  return [...home.go.structs.values()]
    .filter((struct) => struct.fields.length > 0 || home.id !== "meta/v1")
    .map((struct) => structFacts(struct, home))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
