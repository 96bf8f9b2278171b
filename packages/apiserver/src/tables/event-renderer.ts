/**
 * Watch events in the representation that one watcher asked for. Plain JSON is the shared frame, untouched.
 */
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import type { Representation } from "../http/media-type.ts";
import type { ObjectEvent } from "../storage/types.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { decodeStored, encodeForWire } from "../verbs/object-codec.ts";
import { metadataOnly } from "./partial-metadata.ts";
import { includeObjectOf } from "./show.ts";
import { columnDefinitions, type IncludeObject, table, tableRow } from "./table.ts";

export class EventRenderer {
  readonly #request: ResourceRequest;
  readonly #representation: Representation;
  readonly #include: IncludeObject;
  #columnsSent = false;

  constructor(request: ResourceRequest, representation: Representation) {
    this.#request = request;
    this.#representation = representation;
    this.#include = includeObjectOf(request.context.query.get("includeObject") ?? "");
  }

  frame(event: ObjectEvent): Buffer {
    const { resource } = this.#request;
    if (event.type === "ERROR") return event.frame;
    if (this.#representation.transform === "none") {
      if (resource.servesStoredBytes) return event.frame;
      const object = encodeForWire(resource.descriptor, decodeStored(resource.descriptor, event.object));
      return Buffer.concat([Buffer.from(`{"type":"${event.type}","object":`), object, Buffer.from("}\n")]);
    }
    return Buffer.from(`${stringifyJson({ type: event.type, object: this.#transformed(event) })}\n`);
  }

  #transformed(event: ObjectEvent): object {
    const { resource, env } = this.#request;
    const { descriptor } = resource;
    const object = decodeStored(descriptor, event.object);
    if (this.#representation.transform !== "Table") return metadataOnly(object);
    const isBookmark = event.type === "BOOKMARK";
    const row = isBookmark
      ? { cells: descriptor.columns.map(() => ""), object: metadataOnly(object) }
      : tableRow(descriptor, object, env.clock.now(), this.#include);
    // Only the first event tells the columns.
    const columns = this.#columnsSent ? [] : columnDefinitions(descriptor);
    if (!isBookmark) this.#columnsSent = true;
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    const shown = table(columns, [row], metadata) as { columnDefinitions: unknown };
    return columns.length === 0 ? { ...shown, columnDefinitions: null } : shown;
  }
}
