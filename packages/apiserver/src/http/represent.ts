/** API objects in the representation that a client accepts: JSON, indented JSON, YAML or protobuf. Pure. */
import { escapedForGo, parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { stringify as stringifyYaml } from "yaml";
import { encodeObject, protobufSchema } from "../protobuf/encode.ts";
import { JSON_TYPE, PROTOBUF_TYPE, type Representation, YAML_TYPE } from "./media-type.ts";

/** 1.1, because Go's readers take "yes" and "012" for what they were in that version; long lines stay lines. */
const YAML_OPTIONS = { version: "1.1", aliasDuplicateObjects: false, lineWidth: 0 } as const;

export interface Shown {
  readonly body: Buffer;
  readonly contentType: string;
}

/** JSON bytes as they are when that is what the client wants. Throws 406 when the object has no protobuf form. */
export function representBytes(bytes: Buffer, representation: Representation): Shown {
  if (representation.contentType === JSON_TYPE && !representation.pretty)
    return { body: bytes, contentType: JSON_TYPE };
  return representValue(parseJson(bytes) as JsonObject, representation);
}

/** Throws 406 when the object has no protobuf form. */
export function representValue(value: object, { contentType, pretty }: Representation): Shown {
  switch (contentType) {
    case PROTOBUF_TYPE:
      return { body: protobufOf(value as JsonObject), contentType };
    case YAML_TYPE:
      return { body: Buffer.from(stringifyYaml(value, YAML_OPTIONS)), contentType };
    case JSON_TYPE:
      return { body: Buffer.from(`${escapedForGo(stringifyJson(value, pretty ? 2 : 0))}\n`), contentType };
    default:
      throw new TypeError(`unknown content type ${contentType satisfies never}`);
  }
}

/** Source: protobuf serializer's errNotMarshalable, answered with 406. */
function protobufOf(value: JsonObject): Buffer {
  const { apiVersion = "", kind = "" } = value as { apiVersion?: string; kind?: string };
  if (protobufSchema(apiVersion, kind) === undefined) throw statusErrors.notAcceptable([JSON_TYPE, YAML_TYPE]);
  return encodeObject(value);
}
