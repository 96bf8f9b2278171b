/** Stored objects in the representation that a client accepts. */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { Representation } from "../http/media-type.ts";
import { representBytes, representValue, type Shown } from "../http/represent.ts";
import type { ListPage, StoredObject } from "../storage/types.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { listMetadata } from "../verbs/list-metadata.ts";
import { decodeStored, servedBytes } from "../verbs/object-codec.ts";
import { metadataOnly } from "./partial-metadata.ts";
import { columnDefinitions, type IncludeObject, table, tableRow } from "./table.ts";

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
  const { transform } = representation;
  const { descriptor } = request.resource;
  if (transform === "Table") {
    const include = includeObjectOf(request.context.query.get("includeObject") ?? "");
    const object = decodeStored(descriptor, stored);
    const row = tableRow(descriptor, object, request.env.clock.now(), include);
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    return representValue(table(columnDefinitions(descriptor), [row], metadata, representation), representation);
  }
  if (transform === "PartialObjectMetadata") {
    return representValue(metadataOnly(decodeStored(descriptor, stored), representation), representation);
  }
  if (transform === "PartialObjectMetadataList") {
    throw statusErrors.notAcceptable(["application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"]);
  }
  return representBytes(plain(), representation);
}

export function listTable(request: ResourceRequest, page: ListPage, representation: Representation): Shown {
  const { descriptor } = request.resource;
  const include = includeObjectOf(request.context.query.get("includeObject") ?? "");
  const nowMs = request.env.clock.now();
  const objects = page.items.map((item) => decodeStored(descriptor, item));
  if (descriptor.compareRows !== undefined) objects.sort((a, b) => descriptor.compareRows?.(a, b) ?? 0);
  const rows = objects.map((object) => tableRow(descriptor, object, nowMs, include));
  return representValue(table(columnDefinitions(descriptor), rows, listMetadata(page), representation), representation);
}
