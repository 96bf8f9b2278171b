/**
 * Checks a parsed document against the schema of its type: JSON types as Go's decoder would, unknown fields as upstream's
 * strict decoder. Wording after encoding/json and sigs.k8s.io/json.
 */
import { findDuplicateKeys } from "./duplicate-keys.ts";
import { isQuantity, QuantityError } from "./quantity.ts";
import { type FieldSchema, isJsonObject, type StructSchema, type TypeSchema } from "./schema.ts";
import { parseRfc3339 } from "./time.ts";

/** The document does not have the types of its kind; the message is Go's. The request is a 400. */
export class DecodeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "DecodeError";
  }
}

export interface DecodeFindings {
  /** `unknown field "spec.foo"`: unknown fields first, then duplicates. */
  readonly strictErrors: readonly string[];
}

/** Where we are: the path with indices for strict errors, the path without them and the struct for type errors. */
interface Place {
  readonly path: string;
  readonly goPath: string;
  readonly goStruct: string;
  /** Go type of the field, for messages. */
  readonly goType: string;
}

/**
 * Throws DecodeError for the first value of a wrong type. Returns what strict validation complains of; `text` is the
 * JSON source for finding duplicate keys, undefined when those were found by another parser.
 */
export function checkTypes(value: unknown, schema: StructSchema, text: string | undefined): DecodeFindings {
  const unknown: string[] = [];
  if (!isJsonObject(value)) {
    throw new DecodeError(`json: cannot unmarshal ${jsonTypeOf(value)} into Go value of type v1.${schema.name}`);
  }
  checkStruct(value, schema, { path: "", goPath: "", goStruct: schema.name, goType: schema.name }, unknown);
  const duplicates =
    text === undefined ? [] : findDuplicateKeys(text).map((path) => `duplicate field ${JSON.stringify(path)}`);
  return { strictErrors: [...unknown, ...duplicates] };
}

/** `strict decoding error: unknown field "a", duplicate field "b"`. */
export function strictErrorText(errors: readonly string[]): string {
  return `strict decoding error: ${errors.join(", ")}`;
}

function jsonTypeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return typeof value === "bigint" ? "number" : typeof value;
}

function checkStruct(value: Record<string, unknown>, schema: StructSchema, place: Place, unknown: string[]): void {
  for (const [key, inner] of Object.entries(value)) {
    const path = place.path === "" ? key : `${place.path}.${key}`;
    const field = schema.fields.get(key);
    if (field === undefined) {
      unknown.push(`unknown field ${JSON.stringify(path)}`);
      continue;
    }
    if (inner === null) continue;
    const goPath = place.goPath === "" ? key : `${place.goPath}.${key}`;
    checkValue(inner, field.type, { path, goPath, goStruct: schema.name, goType: field.goType }, unknown, field);
  }
}

function checkValue(
  value: unknown,
  type: TypeSchema,
  place: Place,
  unknown: string[],
  field: FieldSchema | undefined,
): void {
  switch (type.kind) {
    case "struct":
      if (!isJsonObject(value)) throw mismatch(value, place, `v1.${type.struct.name}`);
      return checkStruct(value, type.struct, place, unknown);
    case "list": {
      if (!Array.isArray(value)) throw mismatch(value, place, goListType(place.goType));
      for (const [i, item] of value.entries()) {
        // A null item is the zero value, as everywhere in Go.
        if (item !== null) checkValue(item, type.items, itemPlace(place, `[${i}]`), unknown, field);
      }
      return;
    }
    case "map":
      if (!isJsonObject(value)) throw mismatch(value, place, place.goType.replace(/^\*/, ""));
      for (const [key, item] of Object.entries(value)) {
        if (item !== null) checkValue(item, type.values, itemPlace(place, `.${key}`), unknown, undefined);
      }
      return;
    default:
      return checkScalar(value, type.kind, place);
  }
}

function itemPlace(place: Place, step: string): Place {
  const goType = place.goType.replace(/^\*/, "").replace(/^(\[\]|map\[\w+\])/, "");
  return { ...place, path: `${place.path}${step}`, goType };
}

/** "[]Container" reads "[]v1.Container"; built-in types stay. */
function goListType(goType: string): string {
  return goType.replace(/^\*/, "").replace(/^(\[\]\*?)([A-Z]\w*)$/, "$1v1.$2");
}

function mismatch(value: unknown, place: Place, goType: string): DecodeError {
  const named = goType.replace(/^\*/, "").replace(/^([A-Z]\w*)$/, "v1.$1");
  return new DecodeError(
    `json: cannot unmarshal ${jsonTypeOf(value)} into Go struct field ${place.goStruct}.${place.goPath} of type ${named}`,
  );
}

const INT_LIMITS = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
} as const;

function checkScalar(value: unknown, kind: Exclude<TypeSchema["kind"], "struct" | "list" | "map">, place: Place): void {
  switch (kind) {
    case "string":
      if (typeof value !== "string") throw mismatch(value, place, place.goType);
      return;
    case "boolean":
      if (typeof value !== "boolean") throw mismatch(value, place, "bool");
      return;
    case "int32":
    case "int64":
      return checkInteger(value, kind, place);
    case "double":
      if (typeof value !== "number") throw mismatch(value, place, "float64");
      return;
    case "bytes":
      return checkBytes(value, place);
    case "time":
    case "microTime":
      return checkTime(value, kind, place);
    case "quantity":
      if (typeof value === "string" ? !isQuantity(value) : typeof value !== "number")
        throw new DecodeError(new QuantityError().message);
      return;
    case "intOrString":
      if (typeof value === "string") return;
      return checkInteger(value, "int32", place);
    case "duration":
      if (typeof value !== "string") throw mismatch(value, place, "string");
      return;
    case "fieldsV1":
      if (!isJsonObject(value)) throw mismatch(value, place, "v1.FieldsV1");
      return;
    case "raw":
    case "any":
      return;
    default:
      kind satisfies never;
  }
}

function checkInteger(value: unknown, kind: "int32" | "int64", place: Place): void {
  if (typeof value !== "number" && typeof value !== "bigint") throw mismatch(value, place, kind);
  const [low, high] = INT_LIMITS[kind];
  const isWhole = typeof value === "bigint" || Number.isInteger(value);
  if (!isWhole || BigInt(value) < low || BigInt(value) > high) {
    throw new DecodeError(
      `json: cannot unmarshal number ${value} into Go struct field ${place.goStruct}.${place.goPath} of type ${kind}`,
    );
  }
}

function checkBytes(value: unknown, place: Place): void {
  if (typeof value !== "string") throw mismatch(value, place, "[]uint8");
  const text = value.replace(/[\r\n]/g, "");
  const bad = /[^A-Za-z0-9+/=]/.exec(text);
  const wrongEnd = text.length % 4 !== 0 || /=(?!=?$)/.test(text);
  if (bad !== null || wrongEnd) {
    throw new DecodeError(`illegal base64 data at input byte ${bad?.index ?? text.length - (text.length % 4)}`);
  }
}

function checkTime(value: unknown, kind: "time" | "microTime", place: Place): void {
  if (typeof value !== "string") throw mismatch(value, place, kind === "time" ? "v1.Time" : "v1.MicroTime");
  if (value === "" || parseRfc3339(value) !== undefined) return;
  const layout = kind === "time" ? "2006-01-02T15:04:05Z07:00" : "2006-01-02T15:04:05.000000Z07:00";
  throw new DecodeError(
    `parsing time ${JSON.stringify(value)} as "${layout}": cannot parse ${JSON.stringify(value)} as "2006"`,
  );
}
