/** Image archives into a node's Docker Engine, as `docker load` does, without needing its client. */
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { request } from "@knarr/daemon/node-http.ts";

const TIMEOUT_MS = 120_000;

export interface LoadIntoEngineOptions {
  readonly socket: string;
  readonly signal: AbortSignal;
}

/** Throws with the engine's words, or the system's when the archive can't be read. An engine that is still starting answers when it is ready. */
export async function loadIntoEngine(archive: string, { socket, signal }: LoadIntoEngineOptions): Promise<void> {
  const call = request({
    socketPath: socket,
    method: "POST",
    path: "/images/load?quiet=1",
    headers: { "content-type": "application/x-tar" },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  const answered = new Promise<string>((resolve, reject) => {
    call.once("error", reject);
    call.once("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("error", reject);
      response.once("end", () => {
        const text = Buffer.concat(parts).toString();
        // The status is sent before the archive is read: later troubles are in the body.
        const failure = /"error":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
        if (response.statusCode === 200 && failure === undefined) resolve(text);
        else reject(new Error(`Docker Engine could not load ${archive}: ${failure ?? text.trim()}`));
      });
    });
  });
  let unreadable: Error | undefined;
  const archiveStream = createReadStream(archive);
  archiveStream.once("error", (error) => (unreadable = error));
  // The answer tells more than a connection that broke because of it.
  const sent = pipeline(archiveStream, call).catch((error: Error) => void call.destroy(error));
  try {
    await Promise.all([answered, sent]);
  } catch (error) {
    throw unreadable ?? error;
  }
}
