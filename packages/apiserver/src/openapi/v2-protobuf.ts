/**
 * The OpenAPI v2 document in gnostic's protobuf form, which kubectl up to 1.27 reads and nothing else. Pure.
 * Source: github.com/google/gnostic openapiv2 (message numbers).
 */
import { WireWriter } from "../protobuf/writer.ts";
import type { Json } from "./schemas.ts";

export function encodeDocument(document: Json): Buffer {
  const info = document.info as Json;
  const paths = new WireWriter();
  for (const [path, item] of Object.entries(document.paths as Json))
    paths.message(2, named(path, pathItem(item as Json)));
  const definitions = new WireWriter();
  for (const [name, one] of Object.entries(document.definitions as Json)) {
    definitions.message(1, named(name, schema(one as Json)));
  }
  return new WireWriter()
    .string(1, document.swagger)
    .message(2, new WireWriter().string(1, info.title).string(2, info.version))
    .message(8, paths)
    .message(9, definitions)
    .finish();
}

function named(name: string, value: WireWriter): WireWriter {
  return new WireWriter().string(1, name).message(2, value);
}

/** gnostic's Any: the value as YAML text; JSON is YAML. */
function any(value: unknown): WireWriter {
  return new WireWriter().string(2, JSON.stringify(value));
}

function extensions(writer: WireWriter, number: number, object: Json): WireWriter {
  for (const [key, value] of Object.entries(object)) {
    if (key.startsWith("x-")) writer.message(number, named(key, any(value)));
  }
  return writer;
}

function pathItem(item: Json): WireWriter {
  const writer = new WireWriter();
  for (const [method, number] of [
    ["get", 2],
    ["put", 3],
    ["post", 4],
    ["delete", 5],
    ["patch", 8],
  ] as const) {
    if (item[method] !== undefined) writer.message(number, operation(item[method] as Json));
  }
  for (const one of (item.parameters ?? []) as Json[]) writer.message(9, parameterItem(one));
  return writer;
}

function operation(one: Json): WireWriter {
  const writer = new WireWriter()
    .strings(1, one.tags)
    .string(5, one.operationId)
    .strings(6, one.produces)
    .strings(7, one.consumes);
  for (const each of (one.parameters ?? []) as Json[]) writer.message(8, parameterItem(each));
  const responses = new WireWriter();
  for (const [code, response] of Object.entries(one.responses as Json)) {
    responses.message(1, named(code, new WireWriter().message(1, responseOf(response as Json))));
  }
  return extensions(writer.message(9, responses).strings(10, one.schemes), 13, one);
}

function responseOf(response: Json): WireWriter {
  const writer = new WireWriter().string(1, response.description);
  if (response.schema !== undefined) {
    writer.message(2, new WireWriter().message(1, schema(response.schema as Json)));
  }
  return writer;
}

function parameterItem(one: Json): WireWriter {
  return new WireWriter().message(1, parameter(one));
}

function parameter(one: Json): WireWriter {
  if (one.in === "body") {
    const body = new WireWriter().string(2, one.name).string(3, "body").bool(4, one.required);
    return new WireWriter().message(1, body.message(5, schema(one.schema as Json)));
  }
  const inPath = one.in === "path";
  const parts = new WireWriter().bool(1, one.required).string(2, one.in).string(4, one.name);
  // The two differ by one field (allowEmptyValue) and so in every number after it.
  const rest = inPath
    ? parts.string(5, one.type).bool(19, one.uniqueItems)
    : parts.string(6, one.type).bool(20, one.uniqueItems);
  return new WireWriter().message(2, new WireWriter().message(inPath ? 4 : 3, rest));
}

function schema(one: Json): WireWriter {
  const writer = new WireWriter().string(1, one.$ref).string(2, one.format).string(4, one.description);
  if (one.default !== undefined) writer.message(5, any(one.default));
  writer.strings(19, one.required);
  for (const value of (one.enum ?? []) as unknown[]) writer.message(20, any(value));
  if (one.additionalProperties !== undefined) {
    writer.message(21, new WireWriter().message(1, schema(one.additionalProperties as Json)));
  }
  if (one.type !== undefined) writer.message(22, new WireWriter().strings(1, [one.type]));
  if (one.items !== undefined) writer.message(23, new WireWriter().message(1, schema(one.items as Json)));
  if (one.properties !== undefined) {
    const properties = new WireWriter();
    for (const [name, value] of Object.entries(one.properties as Json)) {
      properties.message(1, named(name, schema(value as Json)));
    }
    writer.message(25, properties);
  }
  return extensions(writer, 31, one);
}
