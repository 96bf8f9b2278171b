/**
 * GET of a collection. Plain JSON is streamed from the cache's Buffers, so a list of any size costs no memory of its own;
 * lists of metadata are rendered item by item into the same stream, tables and protobuf as a whole.
 */
import { createGzip } from "node:zlib";
import { parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
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

/** Bytes joined into one write: large enough for full TLS records, small enough to interleave with other answers. */
const CHUNK_BYTES = 256 * 1024;
const OPEN = Buffer.from("{");
const COMMA_OPEN = Buffer.from(",{");

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
  if (asked.contentType === JSON_TYPE && !asked.pretty) {
    return sendStream(context, jsonPieces(request, page, of), asked);
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
      yield untyped(servedBytes(request.resource, stored), typed);
    }
    first = false;
  }
  yield Buffer.from("]}\n");
}

/** What follows the item's opening brace, without kind and apiVersion. */
function untyped(bytes: Buffer, typed: Buffer): Buffer {
  if (bytes.subarray(0, typed.length).equals(typed)) return bytes.subarray(typed.length);
  // Written by somebody else, with its fields in another order.
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = parseJson(bytes) as JsonObject;
  return Buffer.from(stringifyJson(rest).slice(1));
}

async function sendStream(
  context: RequestContext,
  pieces: Iterable<Buffer>,
  representation: Representation,
): Promise<void> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let sink: NodeJS.WritableStream | undefined;
  const start = (whole: boolean): NodeJS.WritableStream => {
    const headers = baseHeaders(context, representation.contentType);
    const compress = acceptsGzip(context) && (!whole || waitingBytes > GZIP_THRESHOLD_BYTES);
    if (compress) Object.assign(headers, { "content-encoding": "gzip", vary: "Accept-Encoding" });
    else if (whole) headers["content-length"] = waitingBytes;
    writeHead(context, 200, headers);
    if (!compress) return context.response;
    const gzip = createGzip({ level: GZIP_LEVEL });
    gzip.pipe(context.response);
    return gzip;
  };
  for (const piece of pieces) {
    waiting.push(piece);
    waitingBytes += piece.length;
    if (waitingBytes < CHUNK_BYTES) continue;
    sink ??= start(false);
    const more = sink.write(Buffer.concat(waiting, waitingBytes));
    waiting = [];
    waitingBytes = 0;
    if (!more && !(await drained(context, sink))) return;
  }
  sink ??= start(true);
  if (context.method === "HEAD") context.response.end();
  else sink.end(Buffer.concat(waiting, waitingBytes));
}

/** Resolves true when the sink takes more, false when the client is gone. */
export function drained(context: RequestContext, sink: NodeJS.WritableStream): Promise<boolean> {
  const { signal } = context;
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const done = (open: boolean) => {
      sink.removeListener("drain", onDrain);
      signal.removeEventListener("abort", onAbort);
      resolve(open);
    };
    const onDrain = () => done(true);
    const onAbort = () => done(false);
    sink.once("drain", onDrain);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
