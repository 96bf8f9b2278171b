/**
 * A GET to a server that is known by the fingerprint of its certificate instead of by a CA. The credentials are sent only
 * after the certificate was seen to be the right one.
 */
import { request } from "node:https";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { RestConfig } from "@knarr/client/rest-config.ts";
import { CliError } from "./verb.ts";

const TIMEOUT_MS = 10_000;

export interface PinnedRequest {
  readonly url: string;
  /** SHA-256 of the certificate in DER, hexadecimal. */
  readonly sha256: string;
  readonly signal: AbortSignal;
}

export async function pinnedGet(
  config: RestConfig,
  { url, sha256, signal: given }: PinnedRequest,
): Promise<{ readonly status: number; readonly body: string }> {
  const target = new URL(url);
  const signal = AbortSignal.any([given, AbortSignal.timeout(TIMEOUT_MS)]);
  const { cert, key } = (await config.credentials?.()) ?? config;
  const socket = await open(target, {
    sha256,
    signal,
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  const token = typeof config.token === "function" ? await config.token() : config.token;
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const sent = request(
    target,
    {
      createConnection: () => socket,
      signal,
      headers: { accept: "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      response.on("error", reject);
    },
  );
  sent.on("error", reject);
  sent.end();
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

async function open(
  target: URL,
  options: { sha256: string; signal: AbortSignal; cert?: string | Buffer; key?: string | Buffer },
): Promise<TLSSocket> {
  const { sha256, signal, ...credentials } = options;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connectTls({
    host: target.hostname.replace(/^\[|\]$/g, ""),
    port: Number(target.port),
    // The fingerprint takes the place of the chain.
    rejectUnauthorized: false,
    ...credentials,
  });
  socket.once("secureConnect", resolve);
  socket.once("error", reject);
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
    const shown = socket.getPeerCertificate().fingerprint256?.replaceAll(":", "").toLowerCase();
    if (shown === sha256) return socket;
    throw new CliError(
      `the server at ${target.host} is not the scheduler: its certificate is not the one in the Lease`,
    );
  } catch (error) {
    socket.destroy();
    if (error instanceof CliError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(`the scheduler can't be reached at ${target.host}, the address in its Lease: ${reason}`);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
