/** Reads a request's body, bounded. */
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { prepareYaml } from "./large-yaml.ts";
import type { RequestContext } from "./request-context.ts";

/** Source: k8s.io/apiserver MaxRequestBodyBytes. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;

/** The whole body; throws 413 beyond the limit and 400 when the client breaks off. */
export async function readBody(context: RequestContext): Promise<Buffer> {
  const declared = Number(context.header("content-length"));
  if (declared > MAX_BODY_BYTES) throw statusErrors.tooLarge(MAX_BODY_BYTES);
  const gzipped = context.header("content-encoding").trim().toLowerCase() === "gzip";
  const { body } = context;
  if (!gzipped) return await prepared(context, await collect(body, body));
  const gunzip = createGunzip();
  // A pipe does not tell its end of a source that broke off.
  body.once("close", () => void (body.readableEnded || gunzip.destroy()));
  return await prepared(context, await collect(body.pipe(gunzip), body));
}

async function prepared(context: RequestContext, body: Buffer): Promise<Buffer> {
  context.audit?.requestBody(body, context.header("content-type"));
  await prepareYaml(body, context.header("content-type"));
  return body;
}

/** Events cost a fraction of an async iterator, and nearly every body is one chunk. */
function collect(source: Readable, body: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    const stop = () => {
      source.removeListener("data", onData);
      source.removeListener("end", onEnd);
      source.removeListener("error", onBroken);
      source.removeListener("close", onBroken);
    };
    const fail = (error: StatusError) => {
      stop();
      // What is still to come is not kept, but read, so that the connection can carry the answer.
      source.on("error", ignoreAfterRefusal);
      body.resume();
      reject(error);
    };
    const onData = (chunk: Buffer) => {
      total += chunk.length;
      if (total > MAX_BODY_BYTES) fail(statusErrors.tooLarge(MAX_BODY_BYTES));
      else chunks.push(chunk);
    };
    const onEnd = () => {
      stop();
      const only = chunks[0];
      resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, total));
    };
    const onBroken = () => fail(statusErrors.badRequest("unable to read the request body"));
    if (source.readableEnded) {
      onEnd();
      return;
    }
    if (source.destroyed) {
      onBroken();
      return;
    }
    source.on("data", onData);
    source.on("end", onEnd);
    source.on("error", onBroken);
    source.on("close", onBroken);
  });
}

/** The body was refused already; what its decoder says of the rest is no news. */
function ignoreAfterRefusal(): void {}
