/**
 * Checks a parsed document against the schema of its type: JSON types as Go's decoder would, unknown fields as upstream's
 * strict decoder. Wording after encoding/json and sigs.k8s.io/json.
 */
import { countKeysInText, findDuplicateKeys } from "./duplicate-keys.ts";
import { DurationError, parseDuration } from "./duration.ts";
import { quoteGo } from "./go-text.ts";
import { stringifyJson } from "./json.ts";
import { quantityComplaint } from "./quantity.ts";
import { isJsonObject, type StructSchema, type TypeSchema } from "./schema.ts";
import { canonicalTime, TimeError } from "./time.ts";

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

/** What strict validation will complain of. */
interface Findings {
  readonly unknown: string[];
  /** Paths that Go's decoder does not look below: unknown fields and raw values. */
  readonly opaque: string[];
}

const NO_FINDINGS: DecodeFindings = { strictErrors: [] };

/** Upstream stops counting here. Source: sigs.k8s.io/json, saveStrictError */
const MAX_STRICT_ERRORS = 100;

/**
 * Throws DecodeError for the first value of a wrong type. Returns what strict validation complains of; `text` is the JSON source for
 * finding duplicate keys, undefined when there are none or another parser found them. A field that is unknown and repeated is unknown only.
 */
export function checkTypes(value: unknown, schema: StructSchema, text: string | undefined): DecodeFindings {
  if (text === undefined && conforms(value, { kind: "struct", struct: schema })) return NO_FINDINGS;
  const findings: Findings = { unknown: [], opaque: [] };
  if (!isJsonObject(value)) {
    throw new DecodeError(`json: cannot unmarshal ${jsonTypeOf(value)} into Go value of type v1.${schema.name}`);
  }
  checkStruct(value, schema, { path: "", goPath: "", goStruct: schema.name, goType: schema.name }, findings);
  const { unknown, opaque } = findings;
  const hidden = new Set(opaque);
  const repeated = text === undefined ? [] : findDuplicateKeys(text).filter((path) => !isBelowAny(path, hidden));
  const errors = [
    ...unknown.map((path) => `unknown field ${quoteGo(path)}`),
    ...repeated.map((path) => `duplicate field ${quoteGo(path)}`),
  ];
  return { strictErrors: errors.slice(0, MAX_STRICT_ERRORS) };
}

/**
 * Whether there is nothing to complain of, which is true of almost every document: quicker than keeping account of where one is. Of the
 * types that read their own JSON the complaint is thrown at once, as it names no field.
 */
function conforms(value: unknown, type: TypeSchema): boolean {
  switch (type.kind) {
    case "struct": {
      if (!isJsonObject(value)) return false;
      const { fields } = type.struct;
      for (const key of Object.keys(value)) {
        const field = fields.get(key);
        if (field === undefined) return false;
        const inner = value[key];
        if (inner !== null && !conforms(inner, field.type)) return false;
      }
      return true;
    }
    case "list":
      if (!Array.isArray(value)) return false;
      for (const item of value) if (item !== null && !conforms(item, type.items)) return false;
      return true;
    case "map":
      if (!isJsonObject(value)) return false;
      for (const key of Object.keys(value)) {
        if (value[key] !== null && !conforms(value[key], type.values)) return false;
      }
      return true;
    case "raw":
    case "any":
      return true;
    case "fieldsV1":
      return isJsonObject(value);
    default:
      return scalarConforms(value, type.kind);
  }
}

function scalarConforms(value: unknown, kind: CheckedKind): boolean {
  switch (kind) {
    case "string":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "int32":
    case "int64":
      return integerComplaint(value, kind) === undefined;
    case "double":
      return typeof value === "number" || typeof value === "bigint";
    case "bytes":
      return typeof value === "string" && isBase64(value);
    default:
      checkSelfDecoding(value, kind);
      return true;
  }
}

/** As many keys in the text as in what was parsed from it, unchanged since: much cheaper than looking for their names. */
export function hasNoDuplicates(text: string, value: unknown): boolean {
  return countKeysInText(text) === countKeys(value);
}

function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countKeys(item);
    return count;
  }
  for (const key of Object.keys(value)) count += 1 + countKeys((value as Record<string, unknown>)[key]);
  return count;
}

/** Whether the path or one that it lies below is in the set. */
function isBelowAny(path: string, parents: ReadonlySet<string>): boolean {
  if (parents.size === 0) return false;
  for (let end = 0; end < path.length; end++) {
    if ((path[end] === "." || path[end] === "[") && parents.has(path.slice(0, end))) return true;
  }
  return parents.has(path);
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

function checkStruct(value: Record<string, unknown>, schema: StructSchema, place: Place, findings: Findings): void {
  for (const key of Object.keys(value)) {
    const path = place.path === "" ? key : `${place.path}.${key}`;
    const field = schema.fields.get(key);
    if (field === undefined) {
      findings.unknown.push(path);
      findings.opaque.push(path);
      continue;
    }
    const inner = value[key];
    if (inner === null) continue;
    const goPath = place.goPath === "" ? key : `${place.goPath}.${key}`;
    checkValue(inner, field.type, { path, goPath, goStruct: schema.name, goType: field.goType }, findings);
  }
}

function checkValue(value: unknown, type: TypeSchema, place: Place, findings: Findings): void {
  switch (type.kind) {
    case "struct":
      if (!isJsonObject(value)) throw mismatch(value, place, `v1.${type.struct.name}`);
      return checkStruct(value, type.struct, place, findings);
    case "list": {
      if (!Array.isArray(value)) throw mismatch(value, place);
      for (const [i, item] of value.entries()) {
        // A null item is the zero value, as everywhere in Go.
        if (item !== null) checkValue(item, type.items, itemPlace(place, `[${i}]`), findings);
      }
      return;
    }
    case "map":
      if (!isJsonObject(value)) throw mismatch(value, place);
      for (const key of Object.keys(value)) {
        if (value[key] !== null) checkValue(value[key], type.values, itemPlace(place, `.${key}`), findings);
      }
      return;
    case "raw":
    case "any":
      findings.opaque.push(place.path);
      return;
    case "fieldsV1":
      findings.opaque.push(place.path);
      if (!isJsonObject(value)) throw mismatch(value, place, "v1.FieldsV1");
      return;
    default:
      return checkScalar(value, type.kind, place);
  }
}

function itemPlace(place: Place, step: string): Place {
  const goType = place.goType.replace(/^\*/, "").replace(/^(\[\]|map\[[^\]]+\])/, "");
  return { ...place, path: `${place.path}${step}`, goType };
}

/** As Go prints a type: "*meta/v1.Time" reads "v1.Time", "[]Container" reads "[]v1.Container". */
function printedType(goType: string): string {
  return goType
    .replace(/^\*/, "")
    .replace(/(?:[a-z0-9]+\/)+(?=[a-z0-9]+\.)/g, "")
    .replace(/(^|[\]*[])([A-Z])/g, "$1v1.$2");
}

function mismatch(value: unknown, place: Place, goType = printedType(place.goType)): DecodeError {
  return new DecodeError(
    `json: cannot unmarshal ${jsonTypeOf(value)} into Go struct field ${place.goStruct}.${place.goPath} of type ${goType}`,
  );
}

const INT_LIMITS = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
} as const;

type CheckedKind = Exclude<TypeSchema["kind"], "struct" | "list" | "map" | "raw" | "any" | "fieldsV1">;

function checkScalar(value: unknown, kind: CheckedKind, place: Place): void {
  switch (kind) {
    case "string":
      if (typeof value !== "string") throw mismatch(value, place);
      return;
    case "boolean":
      if (typeof value !== "boolean") throw mismatch(value, place, "bool");
      return;
    case "int32":
    case "int64": {
      const wrong = integerComplaint(value, kind);
      if (wrong === undefined) return;
      throw new DecodeError(
        `json: cannot unmarshal ${wrong} into Go struct field ${place.goStruct}.${place.goPath} of type ${kind}`,
      );
    }
    case "double":
      if (typeof value !== "number" && typeof value !== "bigint") throw mismatch(value, place, "float64");
      return;
    case "bytes":
      return checkBytes(value, place);
    default:
      return checkSelfDecoding(value, kind);
  }
}

/** Types that read their own JSON: their complaints name no field. */
function checkSelfDecoding(value: unknown, kind: "time" | "microTime" | "duration" | "quantity" | "intOrString"): void {
  switch (kind) {
    case "quantity": {
      const complaint = quantityComplaint(typeof value === "string" ? value : stringifyJson(value));
      if (complaint !== undefined) throw new DecodeError(complaint);
      return;
    }
    case "intOrString": {
      const wrong = typeof value === "string" ? undefined : integerComplaint(value, "int32");
      if (wrong !== undefined) throw new DecodeError(`json: cannot unmarshal ${wrong} into Go value of type int32`);
      return;
    }
    default:
      return checkText(value, kind);
  }
}

function checkText(value: unknown, kind: "time" | "microTime" | "duration"): void {
  if (typeof value !== "string") {
    throw new DecodeError(`json: cannot unmarshal ${jsonTypeOf(value)} into Go value of type string`);
  }
  try {
    if (kind === "duration") parseDuration(value);
    else canonicalTime(value, kind === "time" ? "seconds" : "micros");
  } catch (error) {
    if (error instanceof DurationError || error instanceof TimeError) throw new DecodeError(error.message);
    throw error;
  }
}

/** What the value is, when it is no integer of the size: "string", "number 1.5". */
function integerComplaint(value: unknown, kind: "int32" | "int64"): string | undefined {
  if (typeof value !== "number" && typeof value !== "bigint") return jsonTypeOf(value);
  // Most by far are small, and need no big integers to tell.
  if (typeof value === "number" && (value | 0) === value) return undefined;
  const [low, high] = INT_LIMITS[kind];
  const isWhole = typeof value === "bigint" || Number.isInteger(value);
  return isWhole && BigInt(value) >= low && BigInt(value) <= high ? undefined : `number ${value}`;
}

function isBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  return !/[^A-Za-z0-9+/]/.test(text.slice(0, -2)) && /^(?:|==|[A-Za-z0-9+/][A-Za-z0-9+/=])$/.test(text.slice(-2));
}

function checkBytes(value: unknown, place: Place): void {
  if (typeof value !== "string") throw mismatch(value, place, "[]uint8");
  const text = /[\r\n]/.test(value) ? value.replace(/[\r\n]/g, "") : value;
  if (!isBase64(text)) throw new DecodeError(`illegal base64 data at input byte ${base64FaultAt(value)}`);
}

/** Where Go's decoder gives up. Source: Go encoding/base64, decodeQuantum */
function base64FaultAt(text: string): number {
  let inQuantum = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? "";
    if (char === "\r" || char === "\n") continue;
    if (char === "=") return paddingFaultAt(text, i, inQuantum);
    if (!/[A-Za-z0-9+/]/.test(char)) return i;
    inQuantum = (inQuantum + 1) % 4;
  }
  return text.length - inQuantum;
}

function paddingFaultAt(text: string, at: number, inQuantum: number): number {
  if (inQuantum < 2) return at;
  let next = at + 1;
  const skipLines = () => {
    while (/[\r\n]/.test(text[next] ?? "")) next++;
  };
  skipLines();
  if (inQuantum === 2) {
    if (next === text.length) return text.length;
    if (text[next] !== "=") return next - 1;
    next++;
    skipLines();
  }
  return next;
}
