/**
 * What patches, server-side apply and strict decoding need to know of a type. The generated field tables have this
 * shape; a custom resource's structural schema is brought into it.
 */
export type ScalarKind =
  | "string"
  | "boolean"
  | "int32"
  | "int64"
  | "double"
  | "bytes"
  | "time"
  | "microTime"
  | "duration"
  | "quantity"
  | "intOrString"
  | "raw"
  | "fieldsV1"
  | "any";

export type TypeSchema =
  | { readonly kind: ScalarKind }
  | { readonly kind: "struct"; readonly struct: StructSchema }
  | { readonly kind: "list"; readonly items: TypeSchema }
  | { readonly kind: "map"; readonly values: TypeSchema };

export interface FieldSchema {
  readonly type: TypeSchema;
  /** As the Go source writes it: "*int32", "[]Container". For messages. */
  readonly goType: string;
  readonly default: unknown;
  readonly listType: "atomic" | "set" | "map" | undefined;
  readonly listMapKeys: readonly string[] | undefined;
  /** "merge", "replace", "retainKeys" and combinations of them: "merge,retainKeys". */
  readonly patchStrategy: string | undefined;
  readonly patchMergeKey: string | undefined;
  readonly mapType: "atomic" | "granular" | undefined;
}

export interface StructSchema {
  /** Go name: "DeploymentSpec". */
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** The struct is written as a whole by one owner. */
  readonly atomic: boolean;
}

export type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Equality of JSON values; the order of keys does not matter, absent and undefined are the same. */
export function jsonEquals(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => jsonEquals(item, b[i]));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) {
    // A bigint only stands for numbers that no number can hold, so it never equals one.
    return false;
  }
  for (const key of Object.keys(a)) if (!jsonEquals(a[key], b[key])) return false;
  return Object.keys(b).every((key) => b[key] === undefined || a[key] !== undefined);
}

/** Sets a key as own property whatever its name: `__proto__` is data, not the prototype. */
export function setKey(object: JsonObject, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else object[key] = value;
}

export function hasKey(object: JsonObject, key: string): boolean {
  return Object.hasOwn(object, key);
}
