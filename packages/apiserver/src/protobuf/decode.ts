/**
 * Kubernetes' protobuf to JSON values, driven by the field tables.
 *
 * A body is `k8s\0` and a runtime.Unknown: {1: {1: apiVersion, 2: kind}, 2: the object, 3: encoding, 4: type}.
 * Differs in form from JSON: embedded structs are messages of their own (Volume.volumeSource), times are seconds and
 * nanoseconds, zero values of fields that are not pointers are written.
 *
 * Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf; generated.proto of k8s.io/api
 */
import type { FieldSchema, StructSchema, TypeSchema } from "@knarr/api/schema.ts";
import { JsonError, parseJson } from "@knarr/apimachinery/json.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { microTime, rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { WireError, WireReader, WireType } from "./wire.ts";

const MAGIC = Buffer.from("k8s\0");
/** As the JSON parser: deeper documents are an attack. */
const MAX_DEPTH = 1_000;

export interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Buffer;
}

/** Throws WireError when the bytes are no envelope. */
export function openEnvelope(body: Buffer): Envelope {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new WireError("provided data does not appear to be a protobuf message, expected prefix k8s");
  }
  const reader = new WireReader(body.subarray(MAGIC.length));
  let apiVersion = "";
  let kind = "";
  let raw: Buffer = Buffer.alloc(0);
  while (!reader.done) {
    const { number, type } = reader.tag();
    if (number === 1 && type === WireType.bytes) {
      const meta = new WireReader(reader.bytes());
      while (!meta.done) {
        const tag = meta.tag();
        if (tag.type !== WireType.bytes) meta.skip(tag.type);
        else if (tag.number === 1) apiVersion = meta.bytes().toString();
        else if (tag.number === 2) kind = meta.bytes().toString();
        else meta.bytes();
      }
    } else if (number === 2 && type === WireType.bytes) raw = reader.bytes();
    else reader.skip(type);
  }
  return { apiVersion, kind, raw };
}

/** The object as JSON has it, zero values included; the caller normalizes. Throws WireError. */
export function decodeMessage(bytes: Buffer, schema: StructSchema): JsonObject {
  const object: JsonObject = {};
  decodeInto(object, bytes, schema, 0);
  return object;
}

interface Members {
  readonly fields: ReadonlyMap<number, FieldSchema>;
  /** Embedded structs by the number of their message. */
  readonly embedded: ReadonlyMap<number, StructSchema>;
}

const membersCache = new WeakMap<StructSchema, Members>();

function membersOf(schema: StructSchema): Members {
  let members = membersCache.get(schema);
  if (members === undefined) {
    const fields = new Map<number, FieldSchema>();
    const embedded = new Map<number, StructSchema>();
    for (const field of schema.fields.values()) {
      if (field.embeddedIn !== undefined) embedded.set(field.embeddedIn.number, field.embeddedIn.struct);
      else if (field.number > 0) fields.set(field.number, field);
    }
    members = { fields, embedded };
    membersCache.set(schema, members);
  }
  return members;
}

function decodeInto(object: JsonObject, bytes: Buffer, schema: StructSchema, depth: number): void {
  if (depth > MAX_DEPTH) throw new WireError("exceeded max depth");
  const { fields, embedded } = membersOf(schema);
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const { number, type } = reader.tag();
    const inner = embedded.get(number);
    const field = fields.get(number);
    if (inner !== undefined && type === WireType.bytes) decodeInto(object, reader.bytes(), inner, depth + 1);
    else if (field === undefined) reader.skip(type);
    else decodeField(object, field, reader, type, depth);
  }
}

function decodeField(object: JsonObject, field: FieldSchema, reader: WireReader, wire: number, depth: number): void {
  const { type, name } = field;
  switch (type.kind) {
    case "list": {
      const list = Array.isArray(object[name]) ? (object[name] as unknown[]) : [];
      object[name] = list;
      if (wire === WireType.bytes && isScalarNumber(type.items)) {
        const packed = new WireReader(reader.bytes());
        while (!packed.done) list.push(decodeValue(type.items, packed, numberWire(type.items), depth));
      } else list.push(decodeValue(type.items, reader, wire, depth));
      return;
    }
    case "map": {
      const map = (object[name] ?? {}) as JsonObject;
      object[name] = map;
      decodeEntry(map, type.values, reader.bytes(), depth);
      return;
    }
    default:
      object[name] = decodeValue(type, reader, wire, depth);
  }
}

function decodeEntry(map: JsonObject, type: TypeSchema, bytes: Buffer, depth: number): void {
  const reader = new WireReader(bytes);
  let key = "";
  let value: unknown = zeroOf(type);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag.number === 1 && tag.type === WireType.bytes) key = reader.bytes().toString();
    else if (tag.number === 2) value = decodeMapValue(type, reader, tag.type, depth);
    else reader.skip(tag.type);
  }
  Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
}

/** A list as a map's value is a message {1: items} (ExtraValue). */
function decodeMapValue(type: TypeSchema, reader: WireReader, wire: number, depth: number): unknown {
  if (type.kind !== "list") return decodeValue(type, reader, wire, depth);
  const inner = new WireReader(reader.bytes());
  const items: unknown[] = [];
  while (!inner.done) {
    const tag = inner.tag();
    if (tag.number === 1) items.push(decodeValue(type.items, inner, tag.type, depth));
    else inner.skip(tag.type);
  }
  return items;
}

function zeroOf(type: TypeSchema): unknown {
  if (type.kind === "struct" || type.kind === "map") return {};
  if (type.kind === "list") return [];
  return isScalarNumber(type) ? 0 : type.kind === "boolean" ? false : "";
}

function isScalarNumber(type: TypeSchema): boolean {
  return type.kind === "int32" || type.kind === "int64" || type.kind === "double" || type.kind === "boolean";
}

function numberWire(type: TypeSchema): number {
  return type.kind === "double" ? WireType.fixed64 : WireType.varint;
}

function expect(wire: number, wanted: number): void {
  if (wire !== wanted) throw new WireError(`wrong wireType = ${wire}`);
}

function decodeValue(type: TypeSchema, reader: WireReader, wire: number, depth: number): unknown {
  expect(wire, isScalarNumber(type) ? numberWire(type) : WireType.bytes);
  switch (type.kind) {
    case "boolean":
      return reader.varint() !== 0n;
    case "int32":
    case "int64":
      return reader.integer();
    case "double":
      return reader.double();
    case "string":
      return reader.bytes().toString();
    case "bytes":
      return reader.bytes().toString("base64");
    case "struct": {
      const object: JsonObject = {};
      decodeInto(object, reader.bytes(), type.struct, depth + 1);
      return object;
    }
    case "list":
    case "map":
      throw new WireError("nested lists and maps have no protobuf form");
    case "time":
    case "microTime":
      return decodeTime(reader.bytes(), type.kind);
    case "duration":
      return durationText(numbersOf(reader.bytes()).get(1) ?? 0);
    case "quantity":
      return textOf(reader.bytes(), 1) ?? "0";
    case "intOrString":
      return decodeIntOrString(reader.bytes());
    case "raw":
    case "fieldsV1":
    case "any":
      return decodeRaw(reader.bytes());
    default:
      throw new WireError(`unknown type ${type satisfies never}`);
  }
}

function numbersOf(bytes: Buffer): Map<number, number | bigint> {
  const reader = new WireReader(bytes);
  const numbers = new Map<number, number | bigint>();
  while (!reader.done) {
    const { number, type } = reader.tag();
    if (type === WireType.varint) numbers.set(number, reader.integer());
    else reader.skip(type);
  }
  return numbers;
}

function textOf(bytes: Buffer, wanted: number): string | undefined {
  return bytesOf(bytes, wanted)?.toString();
}

function bytesOf(bytes: Buffer, wanted: number): Buffer | undefined {
  const reader = new WireReader(bytes);
  let found: Buffer | undefined;
  while (!reader.done) {
    const { number, type } = reader.tag();
    if (number === wanted && type === WireType.bytes) found = reader.bytes();
    else reader.skip(type);
  }
  return found;
}

/** null for the zero time, as JSON has it: an empty message. */
function decodeTime(bytes: Buffer, kind: "time" | "microTime"): string | null {
  if (bytes.length === 0) return null;
  const numbers = numbersOf(bytes);
  const seconds = Number(numbers.get(1) ?? 0);
  const nanos = Number(numbers.get(2) ?? 0);
  const ms = seconds * 1000 + nanos / 1e6;
  if (!(Math.abs(ms) <= 8.64e15)) throw new WireError("time out of range");
  return kind === "time" ? rfc3339Seconds(ms) : microTime(ms);
}

/** Go's Duration.String for whole seconds and below, which is all that the API uses. */
function durationText(nanos: number | bigint): string {
  const total = Number(nanos) / 1e9;
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const seconds = Number((total % 60).toFixed(9));
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

function decodeIntOrString(bytes: Buffer): number | string {
  const numbers = numbersOf(bytes);
  if (Number(numbers.get(1) ?? 0) === 1) return textOf(bytes, 3) ?? "";
  return Number(BigInt.asIntN(32, BigInt(numbers.get(2) ?? 0)));
}

/** {1: raw}: JSON inside. */
function decodeRaw(bytes: Buffer): unknown {
  const raw = bytesOf(bytes, 1);
  if (raw === undefined || raw.length === 0) return null;
  try {
    return parseJson(raw);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new WireError(`raw extension is not JSON: ${error.message}`);
  }
}
