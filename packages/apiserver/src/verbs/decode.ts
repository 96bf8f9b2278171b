/**
 * Request bodies to objects: JSON, YAML or protobuf, the right kind, checked against the field tables, in the form that
 * upstream's types give them.
 * Source: k8s.io/apiserver handlers create.go, patch.go, rest.go (transformDecodeError); KEP-2885 (field validation).
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import { normalizeStruct } from "@knarr/api/normalize.ts";
import { kindSchema, type StructSchema, type TypeSchema } from "@knarr/api/schema.ts";
import { findDuplicateKeys } from "@knarr/apimachinery/duplicate-keys.ts";
import { conversionComplaint } from "@knarr/apimachinery/from-unstructured.ts";
import { JsonError, parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { checkTypes, DecodeError, hasNoDuplicates, strictErrorText } from "@knarr/apimachinery/strict-decode.ts";
import { typedErrors } from "@knarr/apimachinery/typed-errors.ts";
import { parseYaml, YamlError } from "@knarr/apimachinery/yaml.ts";
import { preparedYaml } from "../http/large-yaml.ts";
import { OBJECT_TYPES, PROTOBUF_TYPE, parseMediaType } from "../http/media-type.ts";
import { decodeMessage, openEnvelope } from "../protobuf/decode.ts";
import { WireError } from "../protobuf/wire.ts";
import type { Patched } from "./patch-body.ts";
import type { FieldValidation } from "./write-options.ts";

export interface Decoded {
  readonly object: KubeObject;
  /** Texts for Warning headers. */
  readonly warnings: readonly string[];
}

type Gvk = { readonly group: string; readonly version: string; readonly kind: string };

/** A parsed body, with what its parser found and the text that duplicate keys can be found in; undefined without such. */
interface Parsed {
  readonly value: unknown;
  readonly complaints: readonly string[];
  readonly text: string | undefined;
}

const BODY_TYPES = OBJECT_TYPES;

/** A POST or PUT body as an object of the resource. Throws 400 and 415. */
export function decodeObject(
  descriptor: KindDescriptor,
  body: Buffer,
  contentType: string,
  validation: FieldValidation,
): Decoded {
  return decode(descriptor.ref, body, contentType, validation);
}

/** A body of some other kind: Binding, Eviction, Scale, a review. */
export function decodeBody(gvk: Gvk, body: Buffer, contentType: string): KubeObject {
  return decode(gvk, body, contentType, "Ignore").object;
}

function decode(gvk: Gvk, body: Buffer, contentType: string, validation: FieldValidation): Decoded {
  const parsed = parseBody(gvk, body, contentType);
  const document = identified(parsed.value, gvk, body);
  const findings = check(document, gvk, parsed.text, (why) =>
    statusErrors.badRequest(`${document.kind} in version "${gvk.version}" cannot be handled as a ${gvk.kind}: ${why}`),
  );
  const complaints = [...findings, ...parsed.complaints];
  if (validation === "Strict" && complaints.length > 0) {
    throw statusErrors.badRequest(
      `${gvk.kind} in version "${gvk.version}" cannot be handled as a ${gvk.kind}: ${strictErrorText(complaints)}`,
    );
  }
  return finish(document, gvk, { warnings: validation === "Warn" ? complaints : [], isPure: findings.length === 0 });
}

/** A patched document as an object of the resource. What is wrong is shown as upstream has it in hand at that moment. */
export function decodePatched(
  descriptor: KindDescriptor,
  { document, complaints: ofPatch, patchMap }: Patched,
  validation: FieldValidation,
): Decoded {
  const gvk = descriptor.ref;
  const object = identified(document, gvk);
  const invalid = (why: string) => {
    const shown = JSON.stringify(patchMap?.() ?? stringifyJson(object));
    const message = `Invalid value: ${shown}: ${why}`;
    return statusErrors.invalid("", "", "", [{ type: "FieldValueInvalid", field: "patch", message }]);
  };
  const schema = kindSchema(gvk.group, gvk.version, gvk.kind);
  // Only looked for when something is wrong: almost nothing is.
  const conversion = () =>
    patchMap === undefined || schema === undefined ? undefined : conversionComplaint(object, schema);
  const ofObject = check(object, gvk, undefined, (why) => invalid(conversion() ?? why));
  const complaints = [...ofPatch, ...ofObject];
  if (validation === "Strict" && complaints.length > 0) throw invalid(strictErrorText(complaints));
  return finish(object, gvk, { warnings: validation === "Warn" ? complaints : [], isPure: ofObject.length === 0 });
}

/** The configuration of a server-side apply: YAML, of which JSON is a part. */
export function decodeApplyBody(descriptor: KindDescriptor, body: Buffer, validation: FieldValidation): Decoded {
  const gvk = descriptor.ref;
  const parsed = parseYamlBody(body, (why) => statusErrors.badRequest(`error decoding YAML: ${why}`));
  if (!isJsonObject(parsed.value)) throw statusErrors.badRequest("error decoding YAML: expected an object");
  if (validation === "Strict" && parsed.complaints.length > 0) {
    throw statusErrors.badRequest(`error strict decoding YAML: ${parsed.complaints.join(", ")}`);
  }
  const document = parsed.value;
  requireMetadata(document);
  const typed = (why: string) =>
    statusErrors.unspecified(
      `failed to create typed patch object (${applyName(document)}; ${gvk.group}/${gvk.version}, Kind=${gvk.kind}): ${why}`,
    );
  const schema = kindSchema(gvk.group, gvk.version, gvk.kind);
  if (schema !== undefined) {
    const errors = typedErrors(document, schema);
    if (errors.length === 1) throw typed(errors[0] ?? "");
    if (errors.length > 1) throw typed(`errors:\n${errors.map((one) => `  ${one}`).join("\n")}`);
    // What only Go's decoder finds: quantities, durations and times that are none.
    check(document, gvk, undefined, typed);
  }
  const warnings = validation === "Warn" ? parsed.complaints : [];
  return { object: document as unknown as KubeObject, warnings };
}

function applyName(document: JsonObject): string {
  // Its types are not checked yet: this is for the error that says so.
  const { metadata } = document;
  const text = (field: string) => {
    const value = isJsonObject(metadata) ? metadata[field] : undefined;
    return typeof value === "string" ? value : "";
  };
  return `${text("namespace")}/${text("name")}`;
}

function parseBody(gvk: Gvk, body: Buffer, contentType: string): Parsed {
  const { type } = parseMediaType(contentType === "" ? "application/json" : contentType);
  const unrecognized = (why: string) =>
    statusErrors.badRequest(
      `the object provided is unrecognized (must be of type ${gvk.kind}): ${why} (${summaryOf(body)})`,
    );
  switch (type) {
    case "application/json":
      try {
        const text = body.toString();
        const value = parseJson(text);
        return { value, complaints: [], text: hasNoDuplicates(text, value) ? undefined : text };
      } catch (error) {
        if (!(error instanceof JsonError)) throw error;
        throw unrecognized(`couldn't get version/kind; json parse error: ${error.message}`);
      }
    case "application/yaml":
      return parseYamlBody(body, unrecognized);
    case PROTOBUF_TYPE:
      return parseProtobuf(gvk, body, unrecognized);
    default:
      throw statusErrors.unsupportedMediaType(BODY_TYPES);
  }
}

/** The beginning of a body that says nothing: JSON as it is, anything else in hex. Source: handlers/rest.go summarizeData */
function summaryOf(body: Buffer): string {
  if (body.length === 0) return "<empty>";
  const start = body.subarray(0, 30);
  const text = body[0] === 0x7b ? start.toString() : start.toString("hex");
  return body.length > start.length ? `${text} ...` : text;
}

function parseProtobuf(gvk: Gvk, body: Buffer, failure: (why: string) => StatusError): Parsed {
  try {
    const { apiVersion, kind, raw } = openEnvelope(body);
    const schema = kindSchema(gvk.group, gvk.version, gvk.kind);
    if (schema === undefined) throw statusErrors.unsupportedMediaType(BODY_TYPES);
    const named = { apiVersion: apiVersion || apiVersionOf(gvk), kind: kind || gvk.kind };
    // Of another kind: the caller says so, without a look inside.
    const same = named.apiVersion === apiVersionOf(gvk) && named.kind === gvk.kind;
    return { value: { ...(same ? decodeMessage(raw, schema) : {}), ...named }, complaints: [], text: undefined };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw failure(error.message);
  }
}

/** JSON, which most appliers send, is ten times faster read as what it is; with duplicate keys YAML names their lines. */
function parseJsonInYaml(text: string): { readonly value: unknown } | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value = parseJson(text);
    return findDuplicateKeys(text).length === 0 ? { value } : undefined;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    if (error.cause === undefined) throw new YamlError(`error converting YAML to JSON: yaml: ${error.message}`);
    // YAML's flow style, perhaps.
    return undefined;
  }
}

function parseYamlBody(body: Buffer, failure: (why: string) => StatusError): Parsed {
  try {
    const text = body.toString();
    const json = parseJsonInYaml(text);
    if (json !== undefined) return { value: json.value, complaints: [], text: undefined };
    const { value, duplicates } = preparedYaml(body) ?? parseYaml(text);
    const complaints = duplicates.length === 0 ? [] : [`yaml: unmarshal errors:\n  ${duplicates.join("\n  ")}`];
    return { value, complaints, text: undefined };
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw failure(error.message);
  }
}

const GO_NAMES: Readonly<Record<string, string>> = { boolean: "bool", bigint: "number" };

/** The document with apiVersion, kind and metadata; throws when they are of something else. */
function identified(parsed: unknown, gvk: Gvk, body: Buffer = Buffer.alloc(0)): JsonObject {
  // To Go's decoder null is an object of which nothing is said.
  const value = parsed ?? {};
  if (!isJsonObject(value)) {
    const what = Array.isArray(value) ? "array" : (GO_NAMES[typeof value] ?? typeof value);
    const into =
      'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';
    const why = `couldn't get version/kind; json parse error: json: cannot unmarshal ${what} into Go value of type ${into}`;
    throw statusErrors.badRequest(
      `the object provided is unrecognized (must be of type ${gvk.kind}): ${why} (${summaryOf(body)})`,
    );
  }
  const expected = apiVersionOf(gvk);
  const { apiVersion = "", kind = "" } = value;
  if (apiVersion !== "" && apiVersion !== expected) {
    throw statusErrors.badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected})`,
    );
  }
  if (kind !== "" && kind !== gvk.kind) {
    throw statusErrors.badRequest(
      `${kind} in version "${gvk.version}" cannot be handled as a ${gvk.kind}: ` +
        `converting (${gvk.version}.${kind}) to (${gvk.version}.${gvk.kind}): unknown conversion`,
    );
  }
  value.apiVersion = expected;
  value.kind = gvk.kind;
  requireMetadata(value);
  return value;
}

function requireMetadata(document: JsonObject): void {
  if (document.metadata === undefined || document.metadata === null) document.metadata = {};
}

/** Types are checked whatever the validation; returns what strict validation complains of. */
function check(
  document: JsonObject,
  gvk: Gvk,
  text: string | undefined,
  failure: (why: string) => StatusError,
): readonly string[] {
  const schema = kindSchema(gvk.group, gvk.version, gvk.kind);
  if (schema === undefined) return [];
  try {
    return checkTypes(document, schema, text).strictErrors;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw failure(error.message);
  }
}

/** `isPure`: the check found no unknown field. */
function finish(
  document: JsonObject,
  gvk: Gvk,
  { warnings, isPure }: { readonly warnings: readonly string[]; readonly isPure: boolean },
): Decoded {
  const schema = kindSchema(gvk.group, gvk.version, gvk.kind);
  if (schema !== undefined) {
    if (!isPure) pruneUnknown(document, schema);
    normalizeStruct(document, schema);
  }
  return { object: document as unknown as KubeObject, warnings };
}

/** Mutates: the object in the form that Go's types give it. */
export function normalize(gvk: Gvk, object: KubeObject): KubeObject {
  const schema = kindSchema(gvk.group, gvk.version, gvk.kind);
  if (schema !== undefined) normalizeStruct(object as unknown as JsonObject, schema);
  return object;
}

/** Fields that the kind does not have are dropped, as Go's decoder does. */
function pruneUnknown(object: JsonObject, schema: StructSchema): void {
  for (const key of Object.keys(object)) {
    const field = schema.fields.get(key);
    if (field === undefined) delete object[key];
    else pruneValue(object[key], field.type);
  }
}

function pruneValue(value: unknown, type: TypeSchema): void {
  if (typeof value !== "object" || value === null) return;
  switch (type.kind) {
    case "struct":
      if (isJsonObject(value)) pruneUnknown(value, type.struct);
      return;
    case "list":
      if (Array.isArray(value)) for (const item of value) pruneValue(item, type.items);
      return;
    case "map":
      for (const item of Object.values(value)) pruneValue(item, type.values);
      return;
    default:
      return;
  }
}
