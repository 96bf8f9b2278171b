/**
 * JSON values to Kubernetes' protobuf, driven by the field tables, byte for byte as upstream's generated code writes them:
 * fields by ascending number; what is no pointer, list, map or byte string is always written, zero or not; map entries
 * sorted by key; lists of numbers unpacked (proto2).
 *
 * The reverse of decode.ts. Input is what is stored: objects that were checked and normalized when they were written.
 * Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf; generated.pb.go and generated.proto of k8s.io/api
 */
import { type FieldSchema, kindSchema, type StructSchema, structSchema, type TypeSchema } from "@knarr/api/schema.ts";
import { parseDuration } from "@knarr/apimachinery/duration.ts";
import { compareUtf8, escapedForGo, stringifyJson } from "@knarr/apimachinery/json.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { parseInstant } from "@knarr/apimachinery/time.ts";
import { BackwardWriter } from "./backward-writer.ts";
import { WireType } from "./wire.ts";

const MAGIC = Buffer.from("k8s\0");

/** Writes a value without its tag; `undefined` and null are the type's zero. */
type ValueWriter = (out: BackwardWriter, value: unknown) => void;
/** Writes the fields of a message, without length and tag. */
type MessageWriter = (out: BackwardWriter, object: JsonObject) => void;
/** Writes one field of a message with its tag, or nothing. */
type FieldWriter = (out: BackwardWriter, object: JsonObject) => void;

const EMPTY: JsonObject = Object.freeze({});
/** Go types that are lists and still messages of their own: {1: items}. Source: +protobuf.nullable in k8s.io/api */
const MESSAGE_LISTS = /(^|\.)(Verbs|ExtraValue)$/;
const shared = new BackwardWriter();
const messageWriters = new WeakMap<StructSchema, MessageWriter>();

/** The schema of what `apiVersion` and `kind` name, meta's own kinds among them; undefined when it has no protobuf form. */
export function protobufSchema(apiVersion: string, kind: string): StructSchema | undefined {
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  // /api and /api/v1 answer without a version.
  if (META_KINDS.has(kind) && (apiVersion === "v1" || apiVersion === "" || group === "meta.k8s.io"))
    return structSchema("meta/v1", kind);
  // Their schemas have members of several forms, which the tables don't tell apart.
  return group === "apiextensions.k8s.io" ? undefined : kindSchema(group, version, kind);
}

const META_KINDS: ReadonlySet<string> = new Set([
  "Status",
  "DeleteOptions",
  "APIGroup",
  "APIGroupList",
  "APIResourceList",
  "APIVersions",
  "PartialObjectMetadata",
  "PartialObjectMetadataList",
]);

/** The object in its envelope. Throws TypeError when an object has no schema: ask protobufSchema first. */
export function encodeObject(object: JsonObject): Buffer {
  const { apiVersion = "", kind = "" } = object as { apiVersion?: string; kind?: string };
  const schema = protobufSchema(apiVersion, kind);
  if (schema === undefined) throw new TypeError(`${apiVersion} ${kind} has no protobuf form`);
  return encodeEnvelope({ apiVersion, kind }, encodeMessage(object, schema));
}

/** The message alone: what stands in a list's items. */
export function encodeMessage(object: JsonObject, schema: StructSchema): Buffer {
  shared.reset();
  messageWriter(schema)(shared, object);
  return shared.take();
}

export interface TypeMeta {
  readonly apiVersion: string;
  readonly kind: string;
}

/** `k8s\0` and a runtime.Unknown around an encoded object. */
export function encodeEnvelope(type: TypeMeta, raw: Buffer): Buffer {
  return Buffer.concat([envelopeHead(type, raw.length), raw, ENVELOPE_TAIL]);
}

/** What stands before the object in its envelope, for answers that are written piece by piece. */
export function envelopeHead({ apiVersion, kind }: TypeMeta, rawLength: number): Buffer {
  const out = shared;
  out.reset();
  out.varint(rawLength);
  out.tag(2, WireType.bytes);
  const end = out.written;
  writeString(out, 2, kind);
  writeString(out, 1, apiVersion);
  out.lengthSince(end);
  out.tag(1, WireType.bytes);
  out.bytes(MAGIC);
  return out.take();
}

/** contentEncoding and contentType, both empty and both written. */
export const ENVELOPE_TAIL: Buffer = Buffer.from([0x1a, 0, 0x22, 0]);

/** Tag and length of a repeated field's item. */
export function itemHead(number: number, length: number): Buffer {
  shared.reset();
  shared.varint(length);
  shared.tag(number, WireType.bytes);
  return shared.take();
}

/**
 * One frame of a watch stream: four bytes of length, big end first, and a WatchEvent {1: type, 2: {1: raw}} without an
 * envelope of its own; `object` has one.
 */
export function encodeWatchFrame(type: string, object: Buffer): Buffer {
  const out = shared;
  out.reset();
  out.bytes(object);
  out.varint(object.length);
  out.tag(1, WireType.bytes);
  out.lengthSince(0);
  out.tag(2, WireType.bytes);
  writeString(out, 1, type);
  const event = out.take();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(event.length);
  return Buffer.concat([length, event]);
}

function writeString(out: BackwardWriter, number: number, text: string): void {
  const end = out.written;
  out.text(text);
  out.lengthSince(end);
  out.tag(number, WireType.bytes);
}

function messageWriter(schema: StructSchema): MessageWriter {
  let writer = messageWriters.get(schema);
  if (writer === undefined) {
    // Set before it is filled: types refer to themselves.
    let writers: readonly FieldWriter[] | undefined;
    writer = (out, object) => {
      writers ??= fieldWriters(schema);
      for (const write of writers) write(out, object);
    };
    messageWriters.set(schema, writer);
  }
  return writer;
}

/** Highest number first, because the message is written backwards. */
function fieldWriters(schema: StructSchema): FieldWriter[] {
  const byNumber = new Map<number, FieldWriter>();
  for (const field of schema.fields.values()) {
    if (field.embeddedIn !== undefined) {
      const { number, struct } = field.embeddedIn;
      if (!byNumber.has(number)) byNumber.set(number, embeddedWriter(number, struct));
    } else if (field.number > 0) byNumber.set(field.number, fieldWriter(field));
  }
  return [...byNumber].sort(([a], [b]) => b - a).map(([, writer]) => writer);
}

/** An embedded struct is a message of its own, made of the members that JSON has inline. */
function embeddedWriter(number: number, struct: StructSchema): FieldWriter {
  return (out, object) => {
    const end = out.written;
    messageWriter(struct)(out, object);
    out.lengthSince(end);
    out.tag(number, WireType.bytes);
  };
}

function fieldWriter(field: FieldSchema): FieldWriter {
  const { name, number, type } = field;
  if (type.kind === "list") {
    const items = listWriter(number, type.items);
    if (!MESSAGE_LISTS.test(field.goType)) return (out, object) => items(out, object[name]);
    return (out, object) => {
      if (object[name] !== undefined && object[name] !== null) wrappedList(type.items)(out, object[name], number);
    };
  }
  if (type.kind === "map") {
    const entries = mapWriter(number, type.values);
    return (out, object) => entries(out, object[name]);
  }
  const write = valueWriter(type);
  const wire = wireTypeOf(type);
  const absentIsNothing = field.pointer || type.kind === "bytes";
  return (out, object) => {
    const value = object[name];
    if (absentIsNothing && (value === undefined || value === null)) return;
    write(out, value);
    out.tag(number, wire);
  };
}

function wireTypeOf(type: TypeSchema): number {
  switch (type.kind) {
    case "boolean":
    case "int32":
    case "int64":
      return WireType.varint;
    case "double":
      return WireType.fixed64;
    default:
      return WireType.bytes;
  }
}

function listWriter(number: number, items: TypeSchema): ValueWriter {
  const write = valueWriter(items);
  const wire = wireTypeOf(items);
  return (out, value) => {
    if (!Array.isArray(value)) return;
    for (let at = value.length - 1; at >= 0; at -= 1) {
      write(out, value[at]);
      out.tag(number, wire);
    }
  };
}

function wrappedList(items: TypeSchema): (out: BackwardWriter, value: unknown, number: number) => void {
  const inner = listWriter(1, items);
  return (out, value, number) => {
    const end = out.written;
    inner(out, value);
    out.lengthSince(end);
    out.tag(number, WireType.bytes);
  };
}

function mapWriter(number: number, values: TypeSchema): ValueWriter {
  const wrapped = values.kind === "list" ? wrappedList(values.items) : undefined;
  const write = values.kind === "list" ? undefined : valueWriter(values);
  const wire = wireTypeOf(values);
  return (out, value) => {
    if (typeof value !== "object" || value === null) return;
    const map = value as JsonObject;
    const keys = Object.keys(map).sort(compareUtf8);
    for (let at = keys.length - 1; at >= 0; at -= 1) {
      const key = keys[at] as string;
      const entry = map[key];
      const end = out.written;
      if (wrapped !== undefined) wrapped(out, entry, 2);
      else if (values.kind !== "bytes" || (entry !== undefined && entry !== null)) {
        write?.(out, entry);
        out.tag(2, wire);
      }
      writeString(out, 1, key);
      out.lengthSince(end);
      out.tag(number, WireType.bytes);
    }
  };
}

function delimited(write: ValueWriter): ValueWriter {
  return (out, value) => {
    const end = out.written;
    write(out, value);
    out.lengthSince(end);
  };
}

function valueWriter(type: TypeSchema): ValueWriter {
  switch (type.kind) {
    case "boolean":
      return (out, value) => out.varint(value === true ? 1 : 0);
    case "int32":
    case "int64":
      return (out, value) => out.varint((value ?? 0) as number | bigint);
    case "double":
      return (out, value) => out.double(Number(value ?? 0));
    case "string":
      return delimited((out, value) => out.text((value ?? "") as string));
    case "bytes":
      return delimited((out, value) => out.bytes(Buffer.from((value ?? "") as string, "base64")));
    case "struct": {
      // Not messageWriter(type.struct) once and for all: types refer to themselves.
      const { struct } = type;
      return delimited((out, value) => messageWriter(struct)(out, (value ?? EMPTY) as JsonObject));
    }
    case "time":
      return delimited((out, value) => writeTime(out, value, 0));
    case "microTime":
      return delimited((out, value) => writeTime(out, value, 1000));
    case "duration":
      return delimited((out, value) => {
        out.varint(parseDuration((value ?? "0s") as string));
        out.tag(1, WireType.varint);
      });
    case "quantity":
      return delimited((out, value) => writeString(out, 1, String(value ?? "0")));
    case "intOrString":
      return delimited(writeIntOrString);
    case "raw":
    case "fieldsV1":
    case "any":
      return delimited(writeRaw);
    case "list":
    case "map":
      throw new TypeError("nested lists and maps have no protobuf form");
    default:
      throw new TypeError(`unknown type ${type satisfies never}`);
  }
}

/** The zero time is an empty message; a Time has no fraction, a MicroTime whole units of so many. */
function writeTime(out: BackwardWriter, value: unknown, unitNanos: 0 | 1000): void {
  if (typeof value !== "string") return;
  const { epochSeconds, nanos } = parseInstant(value, "seconds");
  out.varint(unitNanos === 0 ? 0 : nanos - (nanos % unitNanos));
  out.tag(2, WireType.varint);
  out.varint(epochSeconds);
  out.tag(1, WireType.varint);
}

function writeIntOrString(out: BackwardWriter, value: unknown): void {
  const isText = typeof value === "string";
  writeString(out, 3, isText ? value : "");
  out.varint(isText ? 0 : Number(value ?? 0));
  out.tag(2, WireType.varint);
  out.varint(isText ? 1 : 0);
  out.tag(1, WireType.varint);
}

/** {1: JSON}, nothing for null. */
function writeRaw(out: BackwardWriter, value: unknown): void {
  if (value === undefined || value === null) return;
  writeString(out, 1, escapedForGo(stringifyJson(value)));
}
