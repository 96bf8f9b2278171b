/**
 * GET of a collection. Plain JSON is streamed from the cache's Buffers, so a list of any size costs no memory of its own;
 * lists of metadata are rendered item by item into the same stream, tables and protobuf as a whole.
 */
import { createGzip } from "node:zlib";
import { parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { ChunkWriter } from "../http/chunk-writer.ts";
import { JSON_TYPE, PROTOBUF_TYPE, type Representation, representationFor } from "../http/media-type.ts";
import { representBytes } from "../http/represent.ts";
import type { RequestContext } from "../http/request-context.ts";
import { acceptsGzip, baseHeaders, GZIP_LEVEL, GZIP_THRESHOLD_BYTES, sendBytes, writeHead } from "../http/respond.ts";
import type { TypeMeta } from "../protobuf/encode.ts";
import type { ListPage, StoredObject } from "../storage/types.ts";
import { listTable } from "../tables/show.ts";
import type { ResourceRequest } from "./environment.ts";
import { listMetadata } from "./list-metadata.ts";
import { parseListQuery, storeListOptions } from "./list-options.ts";
import { encodeProtobufList } from "./list-protobuf.ts";
import { decodeStored, servedBytes } from "./object-codec.ts";
import { storageOf } from "./write.ts";

const OPEN = Buffer.from("{");
const COMMA_OPEN = Buffer.from(",{");
const TAIL = Buffer.from("]}\n");

export async function listObjects(request: ResourceRequest): Promise<void> {
  const { context, resource, namespace } = request;
  const representation = representationFor(context);
  const query = parseListQuery(context.query, resource, { namespace, name: request.name, watch: false });
  const page = await storageOf(request).list({ ...storeListOptions(query), signal: context.signal });
  await sendPage(request, page, representation);
}

/** Sends the page as a list of the resource, a table or a list of metadata. */
export async function sendPage(request: ResourceRequest, page: ListPage, asked: Representation): Promise<void> {
  const { context } = request;
  if (asked.transform === "PartialObjectMetadata") {
    throw statusErrors.notAcceptable(["application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"]);
  }
  if (asked.transform === "Table") {
    const { body, contentType } = listTable(request, page, asked);
    return sendBytes(context, 200, body, { contentType });
  }
  const of = listType(request, asked);
  if (asked.contentType === PROTOBUF_TYPE) {
    const at = (index: number) =>
      decodeStored(request.resource.descriptor, page.items[index] as StoredObject) as unknown as JsonObject;
    const { length } = page.items;
    const pieces = await encodeProtobufList({ ...of, metadata: listMetadata(page), length, at });
    return sendStream(context, pieces, asked);
  }
  // What is recorded must be in one piece.
  if (asked.contentType === JSON_TYPE && !asked.pretty && context.audit?.wantsResponse !== true) {
    return asked.transform === "none"
      ? sendStored(request, page, of, asked)
      : sendStream(context, jsonPieces(request, page, of), asked);
  }
  const bytes = Buffer.concat([...jsonPieces(request, page, of)]);
  const { body, contentType } = representBytes(bytes, asked);
  await sendBytes(context, 200, body, { contentType });
}

interface ListType {
  readonly list: TypeMeta;
  readonly item: TypeMeta;
}

function listType(request: ResourceRequest, { transform, metaVersion }: Representation): ListType {
  const { ref, listKind } = request.resource.descriptor;
  const partial = transform === "PartialObjectMetadataList";
  const apiVersion = partial ? `meta.k8s.io/${metaVersion}` : apiVersionOf(ref);
  const kind = partial ? "PartialObjectMetadata" : ref.kind;
  return {
    list: { kind: partial ? "PartialObjectMetadataList" : listKind, apiVersion },
    item: { kind, apiVersion },
  };
}

/** The list document as a sequence of Buffers. Items of a typed list don't repeat its kind and apiVersion, as upstream. */
function* jsonPieces(request: ResourceRequest, page: ListPage, { list, item }: ListType): Generator<Buffer> {
  const { descriptor } = request.resource;
  const partial = list.kind === "PartialObjectMetadataList";
  const head = { ...list, metadata: listMetadata(page) };
  yield Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`);
  const typed = Buffer.from(`{"kind":"${item.kind}","apiVersion":"${item.apiVersion}",`);
  let first = true;
  for (const stored of page.items) {
    if (partial) {
      const metadata = JSON.stringify({ ...item, metadata: decodeStored(descriptor, stored).metadata });
      yield Buffer.from(first ? metadata : `,${metadata}`);
    } else {
      yield first ? OPEN : COMMA_OPEN;
      const bytes = servedBytes(request.resource, stored);
      yield bytes.subarray(0, typed.length).equals(typed) ? bytes.subarray(typed.length) : untyped(bytes);
    }
    first = false;
  }
  yield TAIL;
}

/** What follows the item's opening brace, without kind and apiVersion, of an object that was written with its fields in another order. */
function untyped(bytes: Buffer): Buffer {
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = parseJson(bytes) as JsonObject;
  return Buffer.from(stringifyJson(rest).slice(1));
}

/** Sends a sequence of Buffers. */
async function sendStream(
  context: RequestContext,
  pieces: Iterable<Buffer>,
  representation: Representation,
): Promise<void> {
  const writer = new ChunkWriter(context, startOf(context, representation, undefined));
  for (const piece of pieces) if (!(await writer.putAll(piece))) return;
  await writer.end();
}

/**
 * The items as they are stored. Items of a typed list don't repeat its kind and apiVersion, as upstream; those that our own writes made
 * begin with them, which makes the length known beforehand and leaves nothing to do but copy.
 */
async function sendStored(
  request: ResourceRequest,
  page: ListPage,
  { list, item }: ListType,
  asked: Representation,
): Promise<void> {
  const { context, resource } = request;
  const head = Buffer.from(`${JSON.stringify({ ...list, metadata: listMetadata(page) }).slice(0, -1)},"items":[`);
  const typed = Buffer.from(`{"kind":"${item.kind}","apiVersion":"${item.apiVersion}",`);
  const isTyped = (bytes: Buffer) => bytes.compare(typed, 0, typed.length, 0, typed.length) === 0;
  let length = head.length + TAIL.length - (page.items.length > 0 ? 1 : 0);
  for (const { bytes } of page.items) length += bytes.length - typed.length + COMMA_OPEN.length;
  const isKnown = resource.servesStoredBytes && page.items.every(({ bytes }) => isTyped(bytes));
  const writer = new ChunkWriter(context, startOf(context, asked, isKnown ? length : undefined));
  writer.put(head);
  let opening = OPEN;
  for (const stored of page.items) {
    const bytes = resource.servesStoredBytes ? stored.bytes : servedBytes(resource, stored);
    if (!writer.put(opening) && !(await writer.putAll(opening))) return;
    opening = COMMA_OPEN;
    if (!isTyped(bytes)) {
      if (!(await writer.putAll(untyped(bytes)))) return;
    } else if (!writer.put(bytes, typed.length) && !(await writer.putAll(bytes, typed.length))) return;
  }
  if (await writer.putAll(TAIL)) await writer.end();
}

/** Sends the headers, compressed if it is worth while and the client can read it. */
function startOf(context: RequestContext, representation: Representation, length: number | undefined) {
  return (firstBytes: number, isWhole: boolean): NodeJS.WritableStream => {
    const headers = baseHeaders(context, representation.contentType);
    const compress = acceptsGzip(context) && (!isWhole || firstBytes > GZIP_THRESHOLD_BYTES);
    const known = isWhole ? firstBytes : length;
    if (compress) Object.assign(headers, { "content-encoding": "gzip", vary: "Accept-Encoding" });
    else if (known !== undefined) headers["content-length"] = known;
    writeHead(context, 200, headers);
    if (!compress) return context.response;
    const gzip = createGzip({ level: GZIP_LEVEL });
    gzip.pipe(context.response);
    return gzip;
  };
}
