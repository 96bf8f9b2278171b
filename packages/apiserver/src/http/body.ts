/** Reads a request's body, bounded. */
import { createGunzip } from "node:zlib";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { RequestContext } from "./request-context.ts";

/** Source: k8s.io/apiserver MaxRequestBodyBytes. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;

/** The whole body; throws 413 beyond the limit and 400 when the client breaks off. */
export async function readBody(context: RequestContext): Promise<Buffer> {
  const declared = Number(context.header("content-length"));
  if (declared > MAX_BODY_BYTES) throw statusErrors.tooLarge(MAX_BODY_BYTES);
  const gzipped = context.header("content-encoding").trim().toLowerCase() === "gzip";
  const source = gzipped ? context.request.pipe(createGunzip()) : context.request;
  const chunks: Buffer[] = [];
  let total = 0;
  try {
    for await (const chunk of source) {
      const bytes = chunk as Buffer;
      total += bytes.length;
      if (total > MAX_BODY_BYTES) throw statusErrors.tooLarge(MAX_BODY_BYTES);
      chunks.push(bytes);
    }
  } catch (error) {
    if (error instanceof Error && error.name === "StatusError") throw error;
    throw statusErrors.badRequest("unable to read the request body");
  }
  const only = chunks[0];
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, total);
}
