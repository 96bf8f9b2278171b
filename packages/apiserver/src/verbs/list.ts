/**
 * GET of a collection. Plain JSON is streamed from the cache's Buffers, so a list of any size costs no memory of its own;
 * tables and metadata lists are rendered item by item into the same stream.
 */
import { createGzip } from "node:zlib";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { negotiate, type Representation } from "../http/media-type.ts";
import type { RequestContext } from "../http/request-context.ts";
import { acceptsGzip, baseHeaders, GZIP_LEVEL, GZIP_THRESHOLD_BYTES, sendBytes, writeHead } from "../http/respond.ts";
import type { ListPage } from "../storage/types.ts";
import { metadataOnly } from "../tables/partial-metadata.ts";
import { listTable } from "../tables/show.ts";
import type { ResourceRequest } from "./environment.ts";
import { listMetadata } from "./list-metadata.ts";
import { parseListQuery, storeListOptions } from "./list-options.ts";
import { decodeStored, servedBytes } from "./object-codec.ts";
import { storageOf } from "./write.ts";

/** Bytes joined into one write: large enough for full TLS records, small enough to interleave with other answers. */
const CHUNK_BYTES = 256 * 1024;
const COMMA = Buffer.from(",");

export async function listObjects(request: ResourceRequest): Promise<void> {
  const { context, resource, namespace } = request;
  const representation = negotiate(context.header("accept"));
  const query = parseListQuery(context.query, resource, { namespace, name: request.name, watch: false });
  const page = await storageOf(request).list({ ...storeListOptions(query), signal: context.signal });
  if (representation.transform === "Table") {
    await sendBytes(context, 200, listTable(request, page, context.query.get("includeObject") ?? ""), {
      contentType: representation.contentType,
    });
    return;
  }
  await sendStream(context, itemsOf(request, page, representation), representation);
}

/** The list document as a sequence of Buffers. */
function* itemsOf(request: ResourceRequest, page: ListPage, representation: Representation): Generator<Buffer> {
  const { descriptor } = request.resource;
  const partial = representation.transform !== "none";
  const head = {
    kind: partial ? "PartialObjectMetadataList" : descriptor.listKind,
    apiVersion: partial ? "meta.k8s.io/v1" : apiVersionOf(descriptor.ref),
    metadata: listMetadata(page),
  };
  yield Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`);
  let first = true;
  for (const item of page.items) {
    if (!first) yield COMMA;
    first = false;
    yield partial
      ? Buffer.from(JSON.stringify(metadataOnly(decodeStored(descriptor, item))))
      : servedBytes(request.resource, item);
  }
  yield Buffer.from("]}\n");
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
