/**
 * The JSON body of a list, joined from the objects' own bytes. Yields buffers of about 64 KiB made as they are asked for, so that the
 * server's memory does not grow with the size of the list; objects are copied, never re-encoded.
 * Differs from upstream: the items carry kind and apiVersion, because their bytes are those of GET; clients ignore or print them.
 */
import type { ListPage } from "./types.ts";

const CHUNK_BYTES = 64 * 1024;
const COMMA = 0x2c;

/** `{"kind":"PodList","apiVersion":"v1","metadata":{...},"items":[...]}\n` */
export function* listBody(
  page: ListPage,
  of: { readonly kind: string; readonly apiVersion: string },
): Generator<Buffer> {
  const metadata = {
    resourceVersion: page.resourceVersion,
    ...(page.continueToken === undefined ? {} : { continue: page.continueToken }),
    ...(page.remainingItemCount === undefined ? {} : { remainingItemCount: page.remainingItemCount }),
  };
  const head = `{"kind":${JSON.stringify(`${of.kind}List`)},"apiVersion":${JSON.stringify(of.apiVersion)},"metadata":${JSON.stringify(metadata)},"items":[`;
  let chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let at = chunk.write(head);
  for (const [index, { bytes }] of page.items.entries()) {
    if (at + bytes.length + 1 > chunk.length) {
      yield chunk.subarray(0, at);
      chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes.length + 1));
      at = 0;
    }
    if (index > 0) chunk[at++] = COMMA;
    at += bytes.copy(chunk, at);
  }
  if (at > 0) yield chunk.subarray(0, at);
  yield Buffer.from("]}\n");
}
