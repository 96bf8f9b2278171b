/**
 * Gives a decoded object the form that Go's types and encoding/json would give it, so that what is stored and compared is byte for
 * byte what upstream stores: zero values of omitempty fields vanish, structs that are not pointers are present even when empty,
 * fields without omitempty are present with their zero value, quantities are canonical.
 * Source: encoding/json "omitempty"; KEP-5589 for omitzero on creationTimestamp.
 */
import { canonicalQuantity, isQuantity } from "@knarr/apimachinery/quantity.ts";
import type { FieldSchema, StructSchema, TypeSchema } from "./schema.ts";

type Fields = Record<string, unknown>;

/** Whether Go's omitempty drops the value of a non-pointer field. */
function isGoEmpty(value: unknown): boolean {
  if (value === false || value === 0 || value === "" || value === 0n) return true;
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.length === 0;
  for (const key in value) if (Object.hasOwn(value, key)) return false;
  return true;
}

/**
 * What is written for a non-pointer field that was never set; undefined means nothing.
 * Differs from upstream: Go writes null for lists, maps and times that were never set; we write [] or nothing, because no client tells
 * them apart and null is no value of our types.
 */
function zeroValue(type: TypeSchema): unknown {
  switch (type.kind) {
    case "struct":
      return zeroStruct(type.struct);
    case "list":
      return [];
    case "map":
    case "bytes":
    case "raw":
    case "any":
    case "fieldsV1":
    case "time":
    case "microTime":
      return undefined;
    case "string":
      return "";
    case "boolean":
      return false;
    case "int32":
    case "int64":
    case "double":
    case "intOrString":
      return 0;
    case "quantity":
      return "0";
    case "duration":
      return "0s";
    default:
      return type satisfies never;
  }
}

/** Types that are Go structs with their own JSON form: omitempty never drops them. */
function isOpaqueStruct(type: TypeSchema): boolean {
  return type.kind === "quantity" || type.kind === "intOrString" || type.kind === "duration" || type.kind === "raw";
}

/** Fields that appear when they were absent: not a pointer, and either a struct or without omitempty. */
function isAlwaysWritten(field: FieldSchema): boolean {
  if (field.pointer || field.omitZero) return false;
  if (!field.omitEmpty) return true;
  const { kind } = field.type;
  return kind === "struct" || kind === "duration" || kind === "intOrString" || kind === "quantity";
}

const writtenFields = new WeakMap<StructSchema, readonly (readonly [name: string, type: TypeSchema])[]>();

/** The fields that are there even when nobody set them. */
function alwaysWritten(struct: StructSchema): readonly (readonly [name: string, type: TypeSchema])[] {
  const known = writtenFields.get(struct);
  if (known !== undefined) return known;
  const fields = [...struct.fields.values()]
    .filter((field) => isAlwaysWritten(field) && zeroValue(field.type) !== undefined)
    .map((field) => [field.name, field.type] as const);
  writtenFields.set(struct, fields);
  return fields;
}

/** An object of the struct's zero value as Go writes it: `{}` for most, {"replicas":0} for a ReplicaSetStatus. */
export function zeroStruct(struct: StructSchema): Fields {
  const zero: Fields = {};
  for (const [name, type] of alwaysWritten(struct)) zero[name] = zeroValue(type);
  return zero;
}

function normalizeValue(value: unknown, type: TypeSchema): unknown {
  switch (type.kind) {
    case "struct":
      if (typeof value === "object" && value !== null) normalizeStruct(value as Fields, type.struct);
      return value;
    case "list":
      if (Array.isArray(value) && (!isPlain(type.items) || value.includes(null))) {
        for (let i = 0; i < value.length; i++) value[i] = normalizeItem(value[i], type.items);
      }
      return value;
    case "map":
      if (typeof value === "object" && value !== null) normalizeMap(value as Fields, type.values);
      return value;
    case "quantity":
      // What is no quantity is left for validation to name.
      if (typeof value === "number") return canonicalQuantity(value);
      if (typeof value === "bigint") return normalizeValue(String(value), type);
      return typeof value === "string" && isQuantity(value) ? canonicalQuantity(value) : value;
    default:
      return value;
  }
}

/** null in a list or map is Go's zero value of the type; types whose zero value is null keep it. */
function normalizeItem(value: unknown, type: TypeSchema): unknown {
  // Empty bytes come back from the store as such, not as null: that is how protobuf writes both.
  if (value === null && type.kind === "bytes") return "";
  return value === null ? (zeroValue(type) ?? null) : normalizeValue(value, type);
}

function normalizeMap(map: Fields, type: TypeSchema): void {
  const plain = isPlain(type);
  for (const key of Object.keys(map)) {
    const value = map[key];
    if (plain && value !== null) continue;
    const normal = normalizeItem(value, type);
    if (normal === value) continue;
    Object.defineProperty(map, key, {
      value: normal,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
}

/** Values that need no look inside. */
function isPlain(type: TypeSchema): boolean {
  return type.kind !== "struct" && type.kind !== "list" && type.kind !== "map" && type.kind !== "quantity";
}

/** What becomes of a field's value. */
interface FieldPlan {
  /** Go's omitempty drops what is empty. */
  readonly drops: boolean;
  /** Values are looked into; undefined where they stay as they are. */
  readonly inner: TypeSchema | undefined;
}

const fieldPlans = new WeakMap<StructSchema, ReadonlyMap<string, FieldPlan>>();

/** Made once for each struct: every object goes through here several times for each write. */
function plansOf(struct: StructSchema): ReadonlyMap<string, FieldPlan> {
  const known = fieldPlans.get(struct);
  if (known !== undefined) return known;
  const plans = new Map<string, FieldPlan>();
  for (const [name, field] of struct.fields) {
    const { type } = field;
    // Go drops empty scalars, lists and maps; structs stay.
    const drops = field.omitEmpty && !field.pointer && !isOpaqueStruct(type) && type.kind !== "struct";
    plans.set(name, { drops, inner: isPlain(type) ? undefined : type });
  }
  fieldPlans.set(struct, plans);
  return plans;
}

/** Mutates. Idempotent. Unknown fields are left alone. */
export function normalizeStruct(object: Fields, struct: StructSchema): void {
  const plans = plansOf(struct);
  for (const key of Object.keys(object)) {
    const plan = plans.get(key);
    if (plan === undefined) continue;
    const value = object[key];
    if (value === null || value === undefined || (plan.drops && isGoEmpty(value))) delete object[key];
    else if (plan.inner !== undefined) {
      const normal = normalizeValue(value, plan.inner);
      if (normal !== value) object[key] = normal;
    }
  }
  for (const [name, type] of alwaysWritten(struct)) {
    if (object[name] === undefined) object[name] = zeroValue(type);
  }
}
