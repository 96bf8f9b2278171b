/** Stored objects in the representation that a client accepts. */
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { stringify as stringifyYaml } from "yaml";
import type { Representation } from "../http/media-type.ts";
import type { ListPage, StoredObject } from "../storage/types.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { listMetadata } from "../verbs/list-metadata.ts";
import { decodeStored, servedBytes } from "../verbs/object-codec.ts";
import { metadataOnly } from "./partial-metadata.ts";
import { columnDefinitions, type IncludeObject, table, tableRow } from "./table.ts";

export interface Shown {
  readonly body: Buffer;
  readonly contentType: string;
}

export function includeObjectOf(text: string): IncludeObject {
  if (text === "") return "Metadata";
  if (text === "None" || text === "Metadata" || text === "Object") return text;
  throw statusErrors.badRequest(
    `unrecognized includeObject value: ${JSON.stringify(text)}, must be one of None, Metadata, Object`,
  );
}

export function showObject(request: ResourceRequest, stored: StoredObject, representation: Representation): Shown {
  return showBytes(request, () => servedBytes(request.resource, stored), stored, representation);
}

function showBytes(
  request: ResourceRequest,
  plain: () => Buffer,
  stored: StoredObject,
  representation: Representation,
): Shown {
  const { contentType, transform } = representation;
  const { descriptor } = request.resource;
  if (transform === "Table") {
    const include = includeObjectOf(request.context.query.get("includeObject") ?? "");
    const object = decodeStored(descriptor, stored);
    const row = tableRow(descriptor, object, request.env.clock.now(), include);
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    return { body: jsonBuffer(table(columnDefinitions(descriptor), [row], metadata)), contentType };
  }
  if (transform === "PartialObjectMetadata") {
    return { body: jsonBuffer(metadataOnly(decodeStored(descriptor, stored))), contentType };
  }
  if (transform === "PartialObjectMetadataList") {
    throw statusErrors.notAcceptable(["application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"]);
  }
  return representBytes(plain(), representation);
}

/** JSON bytes as they are, indented, or as YAML. */
export function representBytes(bytes: Buffer, representation: Representation): Shown {
  const { contentType } = representation;
  if (contentType === "application/yaml") {
    return {
      body: Buffer.from(stringifyYaml(JSON.parse(bytes.toString()), { aliasDuplicateObjects: false })),
      contentType,
    };
  }
  if (!representation.pretty) return { body: bytes, contentType };
  return { body: Buffer.from(`${JSON.stringify(JSON.parse(bytes.toString()), null, 2)}\n`), contentType };
}

export function listTable(request: ResourceRequest, page: ListPage, includeText: string): Buffer {
  const { descriptor } = request.resource;
  const include = includeObjectOf(includeText);
  const nowMs = request.env.clock.now();
  const rows = page.items.map((item) => tableRow(descriptor, decodeStored(descriptor, item), nowMs, include));
  return jsonBuffer(table(columnDefinitions(descriptor), rows, listMetadata(page)));
}

function jsonBuffer(value: unknown): Buffer {
  return Buffer.from(`${stringifyJson(value)}\n`);
}
