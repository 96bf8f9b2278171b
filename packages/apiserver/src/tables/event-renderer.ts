/**
 * Watch events in the representation that one watcher asked for. Plain JSON is the shared frame, untouched; a frame in
 * protobuf is made once per event and lives as long as the event does in the watch cache's window.
 */
import { parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { PROTOBUF_TYPE, type Representation } from "../http/media-type.ts";
import { representValue } from "../http/represent.ts";
import { encodeWatchFrame } from "../protobuf/encode.ts";
import type { ObjectEvent } from "../storage/types.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { decodeStored, encodeForWire } from "../verbs/object-codec.ts";
import { metadataOnly } from "./partial-metadata.ts";
import { includeObjectOf } from "./show.ts";
import { columnDefinitions, type IncludeObject, table, tableRow } from "./table.ts";

/** Frames of the stored version, without a transform. */
const protobufFrames = new WeakMap<ObjectEvent, Buffer>();

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
    const { transform, contentType } = this.#representation;
    const isError = event.type === "ERROR";
    if (contentType === PROTOBUF_TYPE) return this.#protobuf(event, isError);
    if (isError) return event.frame;
    const { resource } = this.#request;
    if (transform === "none") {
      if (resource.servesStoredBytes) return event.frame;
      const object = encodeForWire(resource.descriptor, decodeStored(resource.descriptor, event.object));
      return Buffer.concat([Buffer.from(`{"type":"${event.type}","object":`), object, Buffer.from("}\n")]);
    }
    return Buffer.from(`${stringifyJson({ type: event.type, object: this.#transformed(event) })}\n`);
  }

  #protobuf(event: ObjectEvent, isError: boolean): Buffer {
    const { resource } = this.#request;
    const { transform } = this.#representation;
    if (isError) return this.#protobufFrame(event.type, parseJson(event.object.bytes) as object);
    if (transform !== "none") return this.#protobufFrame(event.type, this.#transformed(event));
    if (!resource.servesStoredBytes) {
      return this.#protobufFrame(event.type, decodeStored(resource.descriptor, event.object));
    }
    let frame = protobufFrames.get(event);
    if (frame === undefined) {
      frame = this.#protobufFrame(event.type, parseJson(event.object.bytes) as JsonObject);
      protobufFrames.set(event, frame);
    }
    return frame;
  }

  /** Throws 406 when the kind has no protobuf form. */
  #protobufFrame(type: string, object: object): Buffer {
    return encodeWatchFrame(type, representValue(object, this.#representation).body);
  }

  #transformed(event: ObjectEvent): object {
    const { resource, env } = this.#request;
    const { descriptor } = resource;
    const object = decodeStored(descriptor, event.object);
    if (this.#representation.transform !== "Table") return metadataOnly(object, this.#representation);
    const isBookmark = event.type === "BOOKMARK";
    const row = isBookmark
      ? { cells: descriptor.columns.map(() => ""), object: metadataOnly(object) }
      : tableRow(descriptor, object, env.clock.now(), this.#include);
    // Only the first event tells the columns.
    const columns = this.#columnsSent ? [] : columnDefinitions(descriptor);
    if (!isBookmark) this.#columnsSent = true;
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    const shown = table(columns, [row], metadata, this.#representation) as { columnDefinitions: unknown };
    return columns.length === 0 ? { ...shown, columnDefinitions: null } : shown;
  }
}
